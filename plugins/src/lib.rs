//! The standard plugins, compiled to WebAssembly components when this crate is built.
//!
//! ```
//! let plugin = portcullis_plugins::find("token-auth").unwrap();
//! assert!(plugin.component.starts_with(b"\0asm"));
//! ```
//!
//! Each is a folder beside this crate's `Cargo.toml`; `README.md` there lists them and says how to add one.

/// A plugin that ships inside the gateway.
#[derive(Debug)]
pub struct Standard {
    /// Its name, by which a configuration uses it without naming a file: `token-auth`.
    pub name: &'static str,
    /// The component: WebAssembly in its binary form.
    pub component: &'static [u8],
}

/// Every standard plugin, by name.
pub fn all() -> &'static [Standard] {
    STANDARD
}

/// The standard plugin of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Standard> {
    STANDARD.iter().find(|plugin| plugin.name == name)
}

static STANDARD: &[Standard] = include!(concat!(env!("OUT_DIR"), "/standard.rs"));

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{all, find};

    /// `\0asm`, then version 13 in layer 1: a component, where a core module has version 1 in layer 0.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn every_plugin_folder_is_a_component_here() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let entries = fs::read_dir(here).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
        let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();

        assert_eq!(all().iter().map(|plugin| plugin.name).collect::<Vec<_>>(), names);
        for plugin in all() {
            assert!(plugin.component.starts_with(COMPONENT), "{}", plugin.name);
        }
    }

    #[test]
    fn a_plugin_is_found_by_its_name_alone() {
        assert_eq!(find("rate-limit").unwrap().name, "rate-limit");
        assert!(find("rate_limit").is_none());
        assert!(find("").is_none());
    }
}
