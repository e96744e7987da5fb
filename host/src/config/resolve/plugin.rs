//! `[plugin.NAME]`, and the standard plugins.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::rules::{Rules, rules};
use super::scope::Scope;
use crate::config::file::{self, Located};
use crate::config::resolved::{Grants, Plugin, PluginSource};

/// The plugins of a configuration, each with what it says about limits and failures.
pub(super) struct Plugins<'a> {
    own: HashMap<&'a str, (Arc<Plugin>, Rules)>,
    standard: &'a [&'a str],
    used: RefCell<HashMap<String, Arc<Plugin>>>,
}

impl<'a> Plugins<'a> {
    /// Those of all documents.
    pub(super) fn of(scopes: &[Scope<'a>], standard: &'a [&'a str]) -> Self {
        let mut own = HashMap::new();
        for scope in scopes {
            for (name, table) in &scope.document.file.plugin.0 {
                let rules = rules(scope, table.rules(), Rules::default());
                if let Some(plugin) = plugin(scope, name, table) {
                    own.entry(name.value.as_str()).or_insert((Arc::new(plugin), rules));
                }
            }
        }
        Self {
            own,
            standard,
            used: RefCell::default(),
        }
    }

    /// The plugin of this name: one's own, or a standard one, which is declared by its first use, at `span`.
    pub(super) fn find(&self, scope: &Scope<'_>, name: &str, span: &Range<usize>) -> Option<(Arc<Plugin>, Rules)> {
        if let Some((plugin, rules)) = self.own.get(name) {
            return Some((Arc::clone(plugin), *rules));
        }
        if !self.standard.contains(&name) {
            return None;
        }
        let mut used = self.used.borrow_mut();
        let plugin = used.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Plugin {
                name: name.to_owned(),
                source: PluginSource::Standard(name.to_owned()),
                // They are part of the gateway, and import only what they need.
                grants: Grants {
                    rate_limit: true,
                    jwt: true,
                },
                place: scope.place(span),
            })
        });
        Some((Arc::clone(plugin), Rules::default()))
    }
}

fn plugin(scope: &Scope<'_>, name: &Located<String>, table: &Located<file::Plugin>) -> Option<Plugin> {
    let Some(source) = &table.source else {
        scope.missing(
            &table.span,
            "source",
            "write for example `source = \"filters/geo.wasm\"`",
        );
        return None;
    };
    let path = scope.folder.join(&source.value);
    if !path.is_file() {
        let label = if path.is_dir() { "a folder" } else { "no such file" };
        let problem = scope.problem(
            &source.span,
            format!("the file of plugin `{}` cannot be read", name.value),
            label,
        );
        let note = format!("paths are relative to `{}`", scope.source.path.display());
        scope.report(problem.note(note));
    }
    let grant = table.grant.as_ref();
    Some(Plugin {
        name: name.value.clone(),
        source: PluginSource::File(path),
        grants: Grants {
            rate_limit: grant.and_then(|grant| grant.rate_limit).unwrap_or(false),
            jwt: grant.and_then(|grant| grant.jwt).unwrap_or(false),
        },
        place: scope.place(&name.span),
    })
}
