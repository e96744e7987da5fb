//! Which names there are, which are used, and which are written twice.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::scope::Scope;
use crate::config::source::Place;
use crate::config::suggest::{any_of, did_you_mean};

/// Every name of a configuration, those of tables that could not be read included.
pub(super) struct Names<'a> {
    declared: HashMap<(&'static str, &'a str), Place>,
    used: RefCell<HashSet<(&'static str, String)>>,
    standard: &'a [&'a str],
}

impl<'a> Names<'a> {
    /// The names in all documents. Names that stand in two files are reported.
    pub(super) fn of(scopes: &[Scope<'a>], standard: &'a [&'a str]) -> Self {
        let mut declared: HashMap<_, Place> = HashMap::new();
        for scope in scopes {
            for one in &scope.document.declared {
                scope.name(&one.name, &one.span);
                if let Some(first) = declared.get(&(one.kind, one.name.as_str())) {
                    let title = format!("{} `{}` is declared twice", one.kind, one.name);
                    let problem = scope.problem(&one.span, title, "declared again here");
                    scope.report(problem.note(format!("first declared at {first}")));
                    continue;
                }
                if one.kind == "plugin" && standard.contains(&one.name.as_str()) {
                    let title = format!("`{}` is the name of a standard plugin", one.name);
                    let help = "standard plugins need no `[plugin]` table; give a plugin of your own another name";
                    scope.wrong_help(&one.span, title, "this name is taken", help);
                }
                declared.insert((one.kind, one.name.as_str()), scope.place(&one.span));
            }
        }
        Self {
            declared,
            used: RefCell::default(),
            standard,
        }
    }

    /// Notes that a name is used.
    pub(super) fn mark_used(&self, kind: &'static str, name: &str) {
        self.used.borrow_mut().insert((kind, name.to_owned()));
    }

    /// Whether a name is declared, be its table readable or not.
    pub(super) fn is_declared(&self, kind: &'static str, name: &str) -> bool {
        self.declared.contains_key(&(kind, name))
    }

    /// Reports that there is no upstream of this name.
    pub(super) fn unknown_upstream(&self, scope: &Scope<'_>, name: &str, span: &Range<usize>) {
        let known = self.all("upstream");
        let title = format!(
            "unknown upstream {}",
            scope.place(span).text().replace(['"', '\''], "`")
        );
        let help = did_you_mean(name, known.iter().copied()).or_else(|| {
            let hint = name
                .contains("://")
                .then_some("`to` names an upstream: declare `[upstream.NAME]` with this URL in its `targets`");
            hint.map(str::to_owned)
        });
        let mut problem = scope.problem(span, title, "no `[upstream]` of this name").help(help);
        problem = match known.as_slice() {
            [] => problem.note("no upstream is declared"),
            known if known.len() <= 12 => problem.note(format!("declared: {}", any_of(known).replace(" or ", ", "))),
            _ => problem,
        };
        scope.report(problem);
    }

    /// Reports that there is no filter or plugin of this name; `filters`: whether `[filter]` tables count.
    pub(super) fn unknown_filter(&self, scope: &Scope<'_>, name: &str, span: &Range<usize>, filters: bool) {
        let mut known = self.all("plugin");
        known.extend(self.standard);
        if filters {
            known.extend(self.all("filter"));
        }
        known.sort_unstable();
        let what = if filters { "filter" } else { "plugin" };
        let written = scope.place(span).text().replace(['"', '\''], "`");
        let label = if filters {
            "no `[filter]` or `[plugin]` of this name, and no standard plugin"
        } else {
            "no `[plugin]` of this name, and no standard plugin"
        };
        let problem = scope.problem(span, format!("unknown {what} {written}"), label);
        scope.report(
            problem
                .help(did_you_mean(name, known))
                .note(format!("standard plugins: {}", self.standard.join(", "))),
        );
    }

    /// Warns of what is declared and never used. Says nothing while there are errors: what is used is not known then.
    pub(super) fn warn_of_unused(&self, scopes: &[Scope<'_>]) {
        if scopes.first().is_none_or(Scope::has_errors) {
            return;
        }
        let used = self.used.borrow();
        for scope in scopes {
            for one in &scope.document.declared {
                if !used.contains(&(one.kind, one.name.clone())) {
                    let title = format!("{} `{}` is never used", one.kind, one.name);
                    let label = match one.kind {
                        "upstream" => "no route has it in `to`",
                        "filter" => "no route has it in `filters`",
                        _ => "no filter has it in `use`",
                    };
                    scope.report(scope.problem(&one.span, title, label).warning());
                }
            }
        }
    }

    fn all(&self, kind: &'static str) -> Vec<&'a str> {
        let mut names: Vec<&str> = self
            .declared
            .keys()
            .filter(|(of, _)| *of == kind)
            .map(|(_, name)| *name)
            .collect();
        names.sort_unstable();
        names
    }
}
