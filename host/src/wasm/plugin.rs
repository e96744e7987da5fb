//! A plugin: compiled, its imports checked against its grants, and asked what it is.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::abi::{self, v0_1};
use super::capabilities::Capability;
use super::engine::Engine;
use super::instance;
use super::wasi;
use crate::config::resolved::Grants;
use crate::pipeline::Phases;

/// A compiled component that filters are made of.
pub struct Plugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The capabilities it imports.
    pub capabilities: Vec<Capability>,
    /// SHA-256 of its bytes, in hexadecimal.
    pub hash: String,
    pub(super) pre: v0_1::PluginPre<instance::HostState>,
}

/// What a plugin says of itself.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// One sentence on what it does.
    pub summary: String,
    /// The phases it takes part in.
    pub phases: Phases,
    /// JSON Schema of its settings.
    pub schema: Value,
}

/// Why a plugin does not load: what is wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Not WebAssembly at all.
    #[error("it is not WebAssembly: the file does not begin with `\\0asm`")]
    NotWasm,
    /// A module of core WebAssembly.
    #[error("it is a core WebAssembly module, not a component: build it with `--target wasm32-wasip2`")]
    CoreModule,
    /// The bytes do not compile.
    #[error("it does not compile: {0}")]
    Invalid(String),
    /// Another version of the interface.
    #[error("it is built for version {found} of the filter interface; this gateway speaks {spoken}", spoken = abi::VERSIONS)]
    OtherVersion {
        /// The version it is built for.
        found: String,
    },
    /// No filter in it.
    #[error("it exports no `portcullis:filter/filter`: is it a plugin? `portcullis new plugin NAME` writes one")]
    NoFilter,
    /// It wants what it was not granted.
    #[error("it imports the capability `{0}`, which is not granted")]
    NotGranted(Capability),
    /// It wants what does not exist here.
    #[error("it imports `{0}`, which this gateway does not have")]
    UnknownImport(String),
    /// Its imports or exports have other types than the interface's.
    #[error("it does not fit the filter interface: {0}")]
    Mismatch(String),
    /// It failed when asked what it is.
    #[error("it fails to describe itself: {0}")]
    Describe(String),
}

impl Plugin {
    /// Compiles and checks a component.
    ///
    /// # Errors
    ///
    /// Any of [`PluginError`]; the bytes may be anything at all.
    pub async fn load(engine: &Engine, bytes: &[u8], grants: &Grants) -> Result<Arc<Plugin>, PluginError> {
        let invalid = |error: wasmtime::Error| PluginError::Invalid(format!("{error:#}"));
        match bytes {
            [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => return Err(PluginError::CoreModule),
            [0, b'a', b's', b'm', ..] => {}
            _ => return Err(PluginError::NotWasm),
        }
        let hash = hex(&Sha256::digest(bytes));
        let component = match engine.code_cache() {
            Some(cache) => cache.compile(engine.inner(), &hash, bytes),
            None => Component::new(engine.inner(), bytes),
        };
        let component = component.map_err(invalid)?;
        let capabilities = check_imports(engine, &component, grants)?;
        check_exports(engine, &component)?;
        let pre = engine
            .linker()
            .instantiate_pre(&component)
            .and_then(v0_1::PluginPre::new);
        let pre = pre.map_err(|error| PluginError::Mismatch(format!("{error:#}")))?;
        let manifest = instance::describe(engine, &pre).await.map_err(PluginError::Describe)?;
        Ok(Arc::new(Plugin {
            manifest,
            capabilities,
            hash,
            pre,
        }))
    }
}

fn check_exports(engine: &Engine, component: &Component) -> Result<(), PluginError> {
    let ty = component.component_type();
    let filter = ty
        .exports(engine.inner())
        .find_map(|(name, _)| name.strip_prefix("portcullis:filter/filter@"));
    match filter {
        Some(version) if speaks(version) => Ok(()),
        Some(version) => Err(PluginError::OtherVersion {
            found: version.to_owned(),
        }),
        None => Err(PluginError::NoFilter),
    }
}

fn check_imports(engine: &Engine, component: &Component, grants: &Grants) -> Result<Vec<Capability>, PluginError> {
    let ty = component.component_type();
    let mut wanted = Vec::new();
    for (name, item) in ty.imports(engine.inner()) {
        if wasi::ALLOWED.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        let own = name.strip_prefix(abi::PACKAGE).and_then(|rest| rest.split_once('@'));
        let Some((interface, version)) = own else {
            return Err(PluginError::UnknownImport(name.to_owned()));
        };
        if !speaks(version) {
            return Err(PluginError::OtherVersion {
                found: version.to_owned(),
            });
        }
        if abi::EXCHANGE.contains(&interface) {
            continue;
        }
        let capability = Capability::named(interface).ok_or_else(|| PluginError::UnknownImport(name.to_owned()))?;
        if !matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            return Err(PluginError::Mismatch(format!(
                "`{name}` is not imported as an interface"
            )));
        }
        if !capability.is_granted(grants) {
            return Err(PluginError::NotGranted(capability));
        }
        wanted.push(capability);
    }
    Ok(wanted)
}

fn speaks(version: &str) -> bool {
    version
        .strip_prefix(abi::VERSIONS)
        .is_some_and(|rest| rest.starts_with('.'))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("manifest", &self.manifest)
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
