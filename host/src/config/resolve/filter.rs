//! `[filter.NAME]`, and the entries of a route's `filters`.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::names::Names;
use super::plugin::Plugins;
use super::rules::{Rules, rules};
use super::scope::Scope;
use super::settings::Settings;
use crate::config::file::{self, FilterEntry, Located, Shorthand};
use crate::config::resolved::{FilterUse, Plugin};

/// The filters that routes share.
pub(super) struct Filters<'a> {
    shared: HashMap<&'a str, FilterUse>,
    names: &'a Names<'a>,
    plugins: &'a Plugins<'a>,
}

impl<'a> Filters<'a> {
    /// Those of all documents.
    pub(super) fn of(scopes: &[Scope<'a>], names: &'a Names<'a>, plugins: &'a Plugins<'a>) -> Self {
        let mut filters = Self {
            shared: HashMap::new(),
            names,
            plugins,
        };
        for scope in scopes {
            for (name, table) in &scope.document.file.filter.0 {
                if let Some(filter) = filters.shared(scope, name, table) {
                    filters.shared.entry(name.value.as_str()).or_insert(filter);
                }
            }
        }
        filters
    }

    /// `[filter.NAME]`
    fn shared(&self, scope: &Scope<'_>, name: &Located<String>, table: &Located<file::Filter>) -> Option<FilterUse> {
        let settings = Settings::of(scope, table.settings.as_ref(), &name.span);
        let Some(used) = &table.plugin else {
            scope.missing(&table.span, "use", "write for example `use = \"jwt-auth\"`");
            return None;
        };
        let Some((plugin, outer)) = self.plugins.find(scope, used, &used.span) else {
            rules(scope, table.rules(), Rules::default());
            self.unknown_plugin(scope, used);
            return None;
        };
        self.names.mark_used("plugin", used);
        let rules = rules(scope, table.rules(), outer);
        let filter = filter_use(scope, &name.value, &name.span, plugin, settings, rules);
        Some(FilterUse { shared: true, ..filter })
    }

    /// A `use` of `[filter]` that names no plugin.
    fn unknown_plugin(&self, scope: &Scope<'_>, used: &Located<String>) {
        if self.names.is_declared("plugin", used) {
            return;
        }
        if self.names.is_declared("filter", used) {
            let help = "`use` of a `[filter]` names a plugin; list both filters on the route instead";
            scope.wrong_help(
                &used.span,
                "a filter that uses a filter",
                "a `[filter]`, not a plugin",
                help,
            );
            return;
        }
        self.names.unknown_filter(scope, used, &used.span, false);
    }

    /// One entry of a route's `filters`.
    pub(super) fn entry(&self, scope: &Scope<'_>, entry: &Located<Shorthand<FilterEntry>>) -> Option<FilterUse> {
        match &entry.value {
            Shorthand::Short(name) => self.short(scope, name, &entry.span),
            Shorthand::Long(table) => self.long(scope, table, &entry.span),
        }
    }

    /// `"signed-in"`
    fn short(&self, scope: &Scope<'_>, name: &str, span: &Range<usize>) -> Option<FilterUse> {
        if self.names.is_declared("filter", name) {
            self.names.mark_used("filter", name);
            return self.shared.get(name).cloned();
        }
        let Some((plugin, rules)) = self.plugins.find(scope, name, span) else {
            if !self.names.is_declared("plugin", name) {
                self.names.unknown_filter(scope, name, span, true);
            }
            return None;
        };
        self.names.mark_used("plugin", name);
        let settings = Settings::of(scope, None, span);
        Some(filter_use(scope, name, span, plugin, settings, rules))
    }

    /// `{ use = "rate-limit", settings = { rate = "5/min" } }`
    fn long(&self, scope: &Scope<'_>, table: &FilterEntry, span: &Range<usize>) -> Option<FilterUse> {
        let Some(used) = &table.plugin else {
            scope.missing(span, "use", "write for example `use = \"rate-limit\"`");
            return None;
        };
        if let Some(name) = &table.name {
            scope.name(name, &name.span);
        }
        if self.names.is_declared("filter", used) {
            return self.named(scope, table, used);
        }
        let settings = Settings::of(scope, table.settings.as_ref(), span);
        let Some((plugin, outer)) = self.plugins.find(scope, used, &used.span) else {
            rules(scope, table.rules(), Rules::default());
            if !self.names.is_declared("plugin", used) {
                self.names.unknown_filter(scope, used, &used.span, true);
            }
            return None;
        };
        self.names.mark_used("plugin", used);
        let rules = rules(scope, table.rules(), outer);
        let name = table.name.as_ref().map_or(used, |name| name);
        Some(filter_use(scope, &name.value, span, plugin, settings, rules))
    }

    /// `{ use = "signed-in", name = "again", on_failure = "skip" }`, where `signed-in` is a `[filter]`.
    fn named(&self, scope: &Scope<'_>, table: &FilterEntry, used: &Located<String>) -> Option<FilterUse> {
        self.names.mark_used("filter", used);
        if let Some(settings) = &table.settings {
            let title = format!("`{}` has settings of its own", used.value);
            let help = "give this route's settings a `[filter]` of their own, or `use` the plugin itself here";
            let place = if scope.secrets.at(&used.span).is_some() {
                "this filter has settings of its own"
            } else {
                &title
            };
            scope.wrong_help(
                &settings.span,
                place,
                "settings of a shared filter stand in its `[filter]`",
                help,
            );
        }
        let shared = self.shared.get(used.value.as_str());
        let outer = shared.map_or_else(Rules::default, |shared| Rules {
            limits: shared.limits,
            on_failure: shared.on_failure,
            reuse: shared.reuse,
            quarantine: shared.quarantine,
        });
        let Rules {
            limits,
            on_failure,
            reuse,
            quarantine,
        } = rules(scope, table.rules(), outer);
        let filter = shared?.clone();
        let name = table
            .name
            .as_ref()
            .map_or_else(|| Arc::clone(&filter.name), |name| Arc::from(name.value.as_str()));
        Some(FilterUse {
            name,
            // Under another name it is another filter.
            shared: table.name.is_none(),
            limits,
            on_failure,
            reuse,
            quarantine,
            ..filter
        })
    }
}

/// A filter that is written at `span`.
fn filter_use(
    scope: &Scope<'_>,
    name: &str,
    span: &Range<usize>,
    plugin: Arc<Plugin>,
    settings: Settings,
    rules: Rules,
) -> FilterUse {
    FilterUse {
        name: Arc::from(name),
        shared: false,
        plugin,
        settings: settings.value,
        settings_shown: settings.shown,
        settings_places: settings.places,
        limits: rules.limits,
        on_failure: rules.on_failure,
        reuse: rules.reuse,
        quarantine: rules.quarantine,
        place: scope.place(span),
    }
}
