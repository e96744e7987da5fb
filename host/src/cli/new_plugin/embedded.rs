//! The SDK, its template and the WIT, as they were when this binary was built.

/// Paths in the repository, and texts. `build.rs` writes the list.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The files of a folder, with their paths in it: `folder` ends with a slash.
pub(super) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .filter_map(move |(path, text)| Some((path.strip_prefix(folder)?, *text)))
}

/// The text of one file.
pub(super) fn file(path: &str) -> Option<&'static str> {
    FILES.iter().find_map(|(known, text)| (*known == path).then_some(*text))
}
