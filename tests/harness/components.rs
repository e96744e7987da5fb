//! Files that a gateway must refuse as plugins, in the WebAssembly text format.

use std::path::PathBuf;

use crate::Folder;

/// Something that is no good plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// Bytes that are no WebAssembly at all.
    NoWebAssembly,
    /// The first half of a component.
    Truncated,
    /// A core module, as `wasm32-unknown-unknown` makes it.
    CoreModule,
    /// A component without exports.
    ExportingNothing,
    /// A component for version 0.9.0 of the filter interface.
    OfAnotherVersion,
    /// A component that wants to call other services behind the gateway's back.
    WantingHttp,
    /// A component that imports what nobody has heard of.
    WantingTheUnknown,
}

impl Component {
    /// Writes it as `plugin.wasm` and gives the path.
    pub fn write(self, folder: &Folder) -> PathBuf {
        folder.write("plugin.wasm", self.bytes())
    }

    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        let text = match self {
            Component::NoWebAssembly => return b"this is no WebAssembly".to_vec(),
            Component::Truncated => {
                let mut bytes = Component::OfAnotherVersion.bytes();
                bytes.truncate(bytes.len() / 2);
                return bytes;
            }
            Component::CoreModule => r#"(module (func (export "on-request")))"#,
            Component::ExportingNothing => "(component)",
            Component::OfAnotherVersion => {
                r#"(component
                    (core module $code (func (export "describe")))
                    (core instance $code (instantiate $code))
                    (func $describe (canon lift (core func $code "describe")))
                    (instance $filter (export "describe" (func $describe)))
                    (export "portcullis:filter/filter@0.9.0" (instance $filter)))"#
            }
            Component::WantingHttp => r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#,
            Component::WantingTheUnknown => {
                r#"(component (import "example:secrets/vault@1.0.0" (instance (export "open" (func)))))"#
            }
        };
        wat::parse_str(text).expect("the text format")
    }
}

#[cfg(test)]
mod tests {
    use super::Component;

    #[test]
    fn every_text_is_valid() {
        for component in [
            Component::Truncated,
            Component::CoreModule,
            Component::ExportingNothing,
            Component::OfAnotherVersion,
            Component::WantingHttp,
            Component::WantingTheUnknown,
        ] {
            assert!(component.bytes().starts_with(b"\0asm"), "{component:?}");
        }
    }
}
