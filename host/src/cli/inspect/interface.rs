//! Which version of the filter interface a component is built for.

/// The name of what a plugin exports, up to its version.
const EXPORT: &[u8] = b"portcullis:filter/filter@";

/// The version in the name of the export: `0.1.0`. A component keeps names as plain text, and this is the only place where the
/// whole version stands: a gateway tells versions apart only as far as they differ for it.
pub(super) fn version(component: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(component, EXPORT)? + EXPORT.len();
    let version = component
        .get(at..)?
        .iter()
        .take(32)
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    let version: String = version.map(|byte| char::from(*byte)).collect();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_ends_with_the_name() {
        assert_eq!(
            version(b"\0asm..portcullis:filter/filter@0.1.0\x05abc").as_deref(),
            Some("0.1.0")
        );
        assert_eq!(version(b"\0asm..portcullis:filter/filter@"), None);
        assert_eq!(version(b""), None);
    }
}
