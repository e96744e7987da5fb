//! `compress`, of `[server]` and of routes.

use super::scope::Scope;
use crate::config::file::{self, Located, Switch};
use crate::config::resolved::{Compress, Encoding, Levels, MediaPattern};
use crate::config::suggest::did_you_mean;

/// What compresses well and is not compressed already.
const TYPES: [&str; 17] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/ecmascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/graphql",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "image/svg+xml",
    "font/ttf",
    "font/otf",
];

/// As it is written; where a route has a table, what it leaves out is the server's.
pub(super) fn compress(
    scope: &Scope<'_>,
    written: Option<&Located<Switch<file::Compress>>>,
    server: Option<&Compress>,
) -> Option<Compress> {
    match written.map(|written| &written.value) {
        None => server.cloned(),
        Some(Switch::Flag(false)) => None,
        Some(Switch::Flag(true)) => Some(server.cloned().unwrap_or_else(default)),
        Some(Switch::With(table)) => {
            let base = server.cloned().unwrap_or_else(default);
            Some(filled(scope, table, base))
        }
    }
}

fn default() -> Compress {
    Compress {
        encodings: Encoding::ALL.to_vec(),
        least: 1024,
        types: TYPES.iter().filter_map(|text| MediaPattern::parse(text)).collect(),
        levels: Levels {
            zstd: 3,
            brotli: 4,
            gzip: 5,
        },
        at_once: 256,
    }
}

fn filled(scope: &Scope<'_>, table: &file::Compress, base: Compress) -> Compress {
    let level = table.level.as_ref();
    let number = |key, written: Option<&Located<i64>>, range, base: i32| {
        i32::try_from(scope.number(key, written, range, i64::from(base))).unwrap_or(base)
    };
    let at_once = scope.number("at_once", table.at_once.as_ref(), 1..=100_000, 256);
    Compress {
        encodings: encodings(scope, table).unwrap_or(base.encodings),
        least: table.least.as_ref().map_or(base.least, |least| least.value.0.0),
        types: types(scope, table).unwrap_or(base.types),
        levels: Levels {
            zstd: number(
                "zstd",
                level.and_then(|level| level.zstd.as_ref()),
                1..=9,
                base.levels.zstd,
            ),
            brotli: number(
                "br",
                level.and_then(|level| level.br.as_ref()),
                0..=7,
                base.levels.brotli,
            ),
            gzip: number(
                "gzip",
                level.and_then(|level| level.gzip.as_ref()),
                1..=9,
                base.levels.gzip,
            ),
        },
        at_once: match table.at_once {
            Some(_) => usize::try_from(at_once).unwrap_or(base.at_once),
            None => base.at_once,
        },
    }
}

fn encodings(scope: &Scope<'_>, table: &file::Compress) -> Option<Vec<Encoding>> {
    let written = table.encodings.as_ref()?;
    if written.0.is_empty() && !scope.has_unread(&written.span) {
        let help = "write `compress = false` to send responses as they are";
        scope.wrong_help(&written.span, "no encoding", "expected at least one", help);
    }
    let names = Encoding::ALL.map(Encoding::as_str);
    let mut encodings = Vec::new();
    for name in &written.0 {
        match Encoding::ALL
            .into_iter()
            .find(|encoding| encoding.as_str() == name.value)
        {
            Some(encoding) if encodings.contains(&encoding) => {
                scope.wrong(
                    &name.span,
                    format!("`{}` is listed twice", name.value),
                    "listed again here",
                );
            }
            Some(encoding) => encodings.push(encoding),
            None => {
                let problem = scope.problem(&name.span, "an unknown encoding", "expected `zstd`, `br` or `gzip`");
                scope.report(problem.help(did_you_mean(&name.value, names)));
            }
        }
    }
    Some(encodings)
}

fn types(scope: &Scope<'_>, table: &file::Compress) -> Option<Vec<MediaPattern>> {
    let written = &table.types.as_ref()?.0;
    let parsed = written.iter().filter_map(|text| {
        let parsed = MediaPattern::parse(text);
        if parsed.is_none() {
            let help = "write for example `text/*`, `application/json` or `application/*+json`";
            scope.wrong_help(&text.span, "not a media type", "expected a type and a subtype", help);
        }
        parsed
    });
    Some(parsed.collect())
}
