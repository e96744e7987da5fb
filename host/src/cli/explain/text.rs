//! An explanation, for people.

use std::fmt;

use super::backend::{Backend, Sends, Upstream};
use super::filter::Filter;
use super::{Answer, Explanation, Refused, Taken};
use crate::cli::output::{count, printable, size};

/// Where the places begin, in columns.
const PLACES: usize = 50;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}{}\n", self.method, self.host, printable(&self.requested))?;
        match &self.answer {
            Answer::Route(taken) => {
                let normal = self.path.as_deref().unwrap_or_default();
                let changed = normal != self.requested.split('?').next().unwrap_or_default();
                route(f, &self.method, taken, normal, changed)
            }
            Answer::Refused(refused) => self::refused(f, refused),
        }
    }
}

fn route(f: &mut fmt::Formatter<'_>, method: &str, taken: &Taken, path: &str, changed: bool) -> fmt::Result {
    aside(f, &format!("route     {}", taken.name), &taken.place)?;
    for (number, pattern) in taken.matches.iter().enumerate() {
        writeln!(f, "{:10}{pattern}", if number == 0 { "match" } else { "" })?;
    }
    aside(
        f,
        &format!("path      {path}"),
        if changed { "in its normal form" } else { "" },
    )?;
    for (name, value) in &taken.parameters {
        writeln!(f, "          {name} = {}", value.as_str().unwrap_or_default())?;
    }
    let body = taken.body_size.map_or("without a limit".to_owned(), size);
    writeln!(f, "limits    timeout {}, body {body}\n", taken.timeout)?;
    match taken.filters.len() {
        0 => writeln!(f, "no filters\n")?,
        1 => writeln!(f, "one filter")?,
        _ => writeln!(f, "filters, in this order; responses pass them in reverse")?,
    }
    for (number, filter) in taken.filters.iter().enumerate() {
        self::filter(f, number + 1, filter)?;
    }
    if !taken.filters.is_empty() {
        writeln!(f)?;
    }
    backend(f, method, &taken.backend)
}

fn filter(f: &mut fmt::Formatter<'_>, number: usize, filter: &Filter) -> fmt::Result {
    aside(f, &format!("{number}. {}", filter.name), &filter.place)?;
    writeln!(f, "   plugin   {} ({})", filter.plugin, filter.source)?;
    writeln!(
        f,
        "   phases   {}",
        if filter.phases.is_empty() {
            "none".to_owned()
        } else {
            filter.phases.join(", ")
        }
    )?;
    if !filter.capabilities.is_empty() {
        writeln!(f, "   imports  {}", filter.capabilities.join(", "))?;
    }
    for (number, setting) in filter.settings.iter().enumerate() {
        let word = if number == 0 { "settings" } else { "" };
        let line = format!("   {word:8} {} = {}", setting.key, setting.value);
        aside(f, &line, &setting.place)?;
    }
    let limits = &filter.limits;
    writeln!(
        f,
        "   limits   memory {}, cpu {}, time {}, body {}",
        limits.memory, limits.cpu, limits.time, limits.body
    )?;
    writeln!(f, "   failure  {}", filter.on_failure)
}

fn backend(f: &mut fmt::Formatter<'_>, method: &str, backend: &Backend) -> fmt::Result {
    match backend {
        Backend::Proxy { to, sends } => {
            writeln!(f, "backend   upstream {}", described(to))?;
            targets(f, to)?;
            self::sends(f, method, sends)
        }
        Backend::Split { to, sends } => {
            for (number, part) in to.iter().enumerate() {
                let word = if number == 0 { "backend" } else { "" };
                let upstream = described(&part.upstream);
                writeln!(f, "{word:10}{}% to upstream {upstream}", part.percent)?;
                targets(f, &part.upstream)?;
            }
            self::sends(f, method, sends)
        }
        Backend::Aggregate { calls, .. } => {
            for (number, line) in calls.lines().enumerate() {
                let word = if number == 0 { "backend" } else { "" };
                writeln!(f, "{word:10}{line}")?;
            }
            Ok(())
        }
        Backend::Redirect { status, location } => writeln!(f, "backend   redirect {status} to {location}"),
        Backend::Respond { status, headers, size } => {
            writeln!(f, "backend   respond {status} with {}", count(*size, "byte"))?;
            if headers.is_empty() {
                Ok(())
            } else {
                writeln!(f, "fields    {}", headers.join(", "))
            }
        }
    }
}

/// `users, least-request over http/1.1`
fn described(upstream: &Upstream) -> String {
    format!(
        "{}, {} over http/{}",
        upstream.upstream, upstream.balance, upstream.http
    )
}

fn targets(f: &mut fmt::Formatter<'_>, upstream: &Upstream) -> fmt::Result {
    if let Some(source) = &upstream.discover {
        writeln!(f, "discover  {source}")?;
    }
    for (number, target) in upstream.targets.iter().enumerate() {
        let label = if number == 0 { "target" } else { "" };
        write!(f, "{label:10}{}", target.url)?;
        if target.weight != 1 {
            write!(f, ", weight {}", target.weight)?;
        }
        if target.priority != 0 {
            write!(f, ", priority {}", target.priority)?;
        }
        if let Some(zone) = &target.zone {
            write!(f, ", zone {zone}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn sends(f: &mut fmt::Formatter<'_>, method: &str, sends: &Sends) -> fmt::Result {
    let host = sends.host.as_deref().unwrap_or("as the client's");
    writeln!(f, "sends     {method} {}, host {host}", sends.path)?;
    match &sends.mirror {
        Some(mirror) => writeln!(f, "copies    {} to upstream {}", mirror.share, mirror.upstream),
        None => Ok(()),
    }
}

fn refused(f: &mut fmt::Formatter<'_>, refused: &Refused) -> fmt::Result {
    writeln!(f, "{}: {}", refused.status, refused.reason)?;
    if refused.nearest.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nnearest routes")?;
    for nearest in &refused.nearest {
        aside(f, &format!("  {}", nearest.pattern), &nearest.why)?;
    }
    Ok(())
}

/// A line with something beside it, in a column where there is room.
fn aside(f: &mut fmt::Formatter<'_>, line: &str, beside: &str) -> fmt::Result {
    let room = PLACES.saturating_sub(2);
    let line = format!("{line:room$}  {beside}");
    writeln!(f, "{}", line.trim_end())
}
