//! The order of calls, for people.

use std::fmt::Write;

use crate::backend::aggregate::prepare::Aggregate;
use crate::backend::aggregate::settings::OnError;

impl Aggregate {
    /// Which calls are made when, one a line.
    ///
    /// ```text
    /// 1  user    GET users:/users/${path.id}
    /// 2  orders  GET orders:/orders?user=${call.user.body.id}  after user; optional, else its default
    /// ```
    pub(crate) fn explain(&self) -> String {
        let mut order: Vec<usize> = (0..self.calls.len()).collect();
        order.sort_by_key(|call| self.graph.step.get(*call));
        let width = self.calls.iter().map(|call| call.name.len()).max().unwrap_or(0);
        let mut out = String::new();
        for place in order {
            let Some(call) = self.calls.get(place) else { continue };
            let step = self.graph.step.get(place).map_or(1, |step| step + 1);
            let mut notes = Vec::new();
            let needs = self.graph.needs.get(place).map(Vec::as_slice).unwrap_or_default();
            if !needs.is_empty() {
                let names: Vec<_> = needs.iter().map(|need| self.name(*need)).collect();
                notes.push(format!("after {}", names.join(", ")));
            }
            if let Some(foreach) = &call.foreach {
                let (over, items, at_once) = (&foreach.over.written, foreach.items, foreach.at_once);
                notes.push(format!("for each of {over}, at most {items}, {at_once} at once"));
            }
            match &call.on_error {
                _ if call.required => {}
                OnError::Omit => notes.push("optional".to_owned()),
                OnError::Null => notes.push("optional, else null".to_owned()),
                // It may have been filled in from a secret.
                OnError::Default(_) => notes.push("optional, else its default".to_owned()),
            }
            let after = if notes.is_empty() {
                String::new()
            } else {
                format!("  {}", notes.join("; "))
            };
            let _ = writeln!(
                out,
                "{step}  {:width$}  {} {}{after}",
                call.name, call.method, call.target
            );
        }
        out
    }
}
