//! What wit-bindgen makes of the WIT package. Nothing of it shows in the SDK's own interface.
#![allow(missing_docs, reason = "generated")]
#![allow(unreachable_pub, reason = "generated")]
#![allow(clippy::all, reason = "generated")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "generated")]

wit_bindgen::generate!({
    world: "plugin",
    path: "../wit/v0.1",
    pub_export_macro: true,
    default_bindings_module: "portcullis_sdk::guest::bindings",
});
