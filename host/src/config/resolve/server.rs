//! `[server]`, `[log]` and `[wasm]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::compress::compress;
use super::http2::http2_limits;
use super::scope::Scope;
use crate::config::file;
use crate::config::interpolate::Environment;
use crate::config::resolved::{AccessLog, LeastPace, Limits, Log, Server, Timeouts, Wasm};
use crate::config::suggest::did_you_mean;
use crate::router::PathRules;

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// `[server]`, and `version`.
pub(super) fn server(scope: &Scope<'_>) -> Server {
    version(scope);
    let written = scope.document.file.server.as_ref();
    let none = file::Server::default();
    let table = written.map_or(&none, |server| &server.value);
    Server {
        admin: admin(scope, table),
        threads: threads(scope, table),
        handover: handover(scope, table),
        trusted_proxies: table
            .trusted_proxies
            .iter()
            .flat_map(|list| list.0.iter())
            .map(|network| network.value.0.trunc())
            .collect(),
        compress: compress(scope, table.compress.as_ref(), None),
        limits: limits(scope, table),
        timeouts: timeouts(scope, table),
        paths: PathRules {
            merge_slashes: table.merge_slashes.unwrap_or(false),
            allow_encoded_slash: table.allow_encoded_slash.unwrap_or(false),
            allow_encoded_backslash: table.allow_encoded_backslash.unwrap_or(false),
        },
        underscores_in_headers: table.underscores_in_headers.unwrap_or(false),
    }
}

fn handover(scope: &Scope<'_>, table: &file::Server) -> Option<PathBuf> {
    let path = table.handover.as_ref()?;
    let resolved = scope.folder.join(&path.value);
    // An address of this kind has 107 bytes, and the socket is bound under a longer name first (unix(7)).
    let longest = 96;
    if path.is_empty() || resolved.as_os_str().len() > longest {
        let label = format!("expected 1 to {longest} bytes, the folder included");
        let help = "write for example `handover = \"/run/portcullis/handover.sock\"`";
        scope.wrong_help(&path.span, "not the path of a socket", label, help);
    }
    Some(resolved)
}

fn version(scope: &Scope<'_>) {
    match &scope.document.file.version {
        Some(version) if version.value == 1 => {}
        Some(version) => {
            let help = "write `version = 1`";
            scope.wrong_help(
                &version.span,
                "unknown version of the configuration",
                "only version 1 is known",
                help,
            );
        }
        None => scope.missing(&(0..0), "version", "write `version = 1` as the first line"),
    }
}

fn admin(scope: &Scope<'_>, table: &file::Server) -> Option<SocketAddr> {
    let admin = table.admin.as_ref()?;
    let address = admin.value.0;
    if !address.ip().to_canonical().is_loopback() {
        let problem = scope.problem(
            &admin.span,
            "the admin address is not a loopback address",
            "others could reach it",
        );
        let help = format!("write `127.0.0.1:{}`", address.port());
        let note = "elsewhere it needs a token, which a later version will have";
        scope.report(problem.help(Some(help)).note(note));
    }
    Some(address)
}

fn threads(scope: &Scope<'_>, table: &file::Server) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = scope.number("threads", table.threads.as_ref(), 1..=1_024, 0);
    usize::try_from(threads)
        .ok()
        .filter(|threads| *threads > 0)
        .unwrap_or(cores)
}

fn limits(scope: &Scope<'_>, table: &file::Server) -> Limits {
    let none = file::Limits::default();
    let limits = table.limits.as_ref().map_or(&none, |limits| &limits.value);
    let count = |key, written, most, default| usize_of(scope.number(key, written, 1..=most, default));
    let size =
        |key: &str, written: Option<&file::Located<file::Text<file::Size>>>, least: i64, most: i64, default: i64| {
            let Some(written) = written else {
                return usize_of(default);
            };
            if (least..=most).contains(&i64::try_from(written.value.0.0).unwrap_or(i64::MAX)) {
                return usize::try_from(written.value.0.0).unwrap_or(usize::MAX);
            }
            let label = format!("expected {} to {}", shown(least), shown(most));
            scope.wrong(&written.span, format!("`{key}` is out of range"), label);
            usize_of(default)
        };
    let limits = Limits {
        connections: count("connections", limits.connections.as_ref(), 10_000_000, 10_000),
        connections_per_client: count(
            "connections_per_client",
            limits.connections_per_client.as_ref(),
            10_000_000,
            1_000,
        ),
        header_size: size("header_size", limits.header_size.as_ref(), KIB, 16 * MIB, 64 * KIB),
        header_count: count("header_count", limits.header_count.as_ref(), 10_000, 100),
        uri_size: size("uri_size", limits.uri_size.as_ref(), 64, MIB, 8 * KIB),
        body_size: limits.body_size.as_ref().map_or(Some(10 << 20), |size| size.value.0.0),
        http2_streams: u32::try_from(scope.number("http2_streams", limits.http2_streams.as_ref(), 1..=100_000, 128))
            .unwrap_or(128),
        http2: http2_limits(scope, limits),
    };
    per_client_within_all(scope, table, &limits);
    limits
}

fn per_client_within_all(scope: &Scope<'_>, table: &file::Server, limits: &Limits) {
    let written = table
        .limits
        .as_ref()
        .and_then(|limits| limits.connections_per_client.as_ref());
    if let Some(written) = written.filter(|_| limits.connections_per_client > limits.connections) {
        let label = format!("`connections` is {}", limits.connections);
        scope.wrong(
            &written.span,
            "one client may have more connections than all together",
            label,
        );
    }
}

fn timeouts(scope: &Scope<'_>, table: &file::Server) -> Timeouts {
    let none = file::Timeouts::default();
    let timeouts = table.timeouts.as_ref().map_or(&none, |timeouts| &timeouts.value);
    let limits = table.limits.as_ref().map(|limits| &limits.value);
    let seconds = Duration::from_secs;
    let ready = timeouts.ready.as_ref().map_or(seconds(5), |ready| ready.value.0);
    let handover = scope.duration("handover", timeouts.handover.as_ref(), seconds(300));
    if let (Some(_), Some(written)) = (&timeouts.ready, &timeouts.handover)
        && handover < ready
    {
        let label = format!("`handover` is {handover:?}, `ready` is {ready:?}");
        let title = "a gateway that takes over is given up before it may be ready";
        scope.wrong_help(&written.span, title, label, "make `handover` at least `ready`");
    }
    Timeouts {
        header: scope.duration("header", timeouts.header.as_ref(), seconds(10)),
        handshake: scope.duration("handshake", timeouts.handshake.as_ref(), seconds(10)),
        idle: scope.duration("idle", timeouts.idle.as_ref(), seconds(60)),
        stall: scope.duration("stall", timeouts.stall.as_ref(), seconds(60)),
        upgrade_idle: scope.duration("upgrade_idle", timeouts.upgrade_idle.as_ref(), seconds(3600)),
        pace: LeastPace {
            rate: limits
                .and_then(|limits| limits.body_rate.as_ref())
                .map_or(Some(240), |rate| rate.value.0.0),
            grace: timeouts.body_grace.as_ref().map_or(seconds(20), |grace| grace.value.0),
        },
        // Zero is a way to say: do not wait.
        drain: timeouts.drain.as_ref().map_or(seconds(30), |drain| drain.value.0),
        handover,
        ready,
        reload: timeouts.reload.as_ref().map_or(seconds(2), |reload| reload.value.0),
    }
}

/// `[log]`
pub(super) fn log(scope: &Scope<'_>) -> Log {
    let none = file::Log::default();
    let table = scope.document.file.log.as_ref().map_or(&none, |log| &log.value);
    if let Some(level) = &table.level {
        check_level(scope, level);
    }
    Log {
        level: table
            .level
            .as_ref()
            .map_or_else(|| "info".to_owned(), |level| level.value.clone()),
        access: table
            .access
            .as_ref()
            .map_or(AccessLog::Stdout, |access| match access.value.as_str() {
                "off" => AccessLog::Off,
                "stdout" => AccessLog::Stdout,
                "stderr" => AccessLog::Stderr,
                file => {
                    if file.is_empty() {
                        scope.wrong(
                            &access.span,
                            "`access` is empty",
                            "expected `off`, `stdout`, `stderr` or a file",
                        );
                    }
                    AccessLog::File(scope.folder.join(file))
                }
            }),
    }
}

/// `tracing` takes a word it does not know for the name of a module, so that `level = "inof"` would log nothing.
fn check_level(scope: &Scope<'_>, level: &file::Located<String>) {
    let title = "not a log level";
    for directive in level.split(',').map(str::trim) {
        let word = directive.rsplit('=').next().unwrap_or_default();
        let is_module = directive.contains("::") || directive.contains('[') || directive == "portcullis";
        if !is_module && !LEVELS.contains(&word.to_ascii_lowercase().as_str()) {
            let secret = scope.secrets.at(&level.span).is_some();
            let problem = scope.problem(
                &level.span,
                title,
                "expected `error`, `warn`, `info`, `debug`, `trace` or `off`",
            );
            let example = Some("write for example `info`, or `warn,portcullis=debug`".to_owned());
            let meant = if secret { None } else { did_you_mean(word, LEVELS) };
            scope.report(problem.help(meant.or(example)));
            return;
        }
    }
    if EnvFilter::try_new(&level.value).is_err() {
        scope.wrong(
            &level.span,
            title,
            "expected for example `info`, or `warn,portcullis=debug`",
        );
    }
}

/// `[wasm]`
pub(super) fn wasm(scope: &Scope<'_>, environment: Environment<'_>) -> Wasm {
    let none = file::Wasm::default();
    let table = scope.document.file.wasm.as_ref().map_or(&none, |wasm| &wasm.value);
    let cache = match &table.cache {
        Some(cache) if cache.value == "off" => None,
        Some(cache) => {
            if cache.is_empty() {
                scope.wrong(&cache.span, "`cache` is empty", "expected a folder, or `off`");
            }
            Some(scope.folder.join(&cache.value))
        }
        None => default_cache(environment),
    };
    let instances = scope.number("instances", table.instances.as_ref(), 1..=100_000, 1_000);
    Wasm {
        cache,
        instances: u32::try_from(instances).unwrap_or(1_000),
    }
}

/// `$PORTCULLIS_WASM_CACHE`, else `$XDG_CACHE_HOME/portcullis` or `~/.cache/portcullis` (XDG Base Directory Specification: relative paths do not
/// count).
fn default_cache(environment: Environment<'_>) -> Option<PathBuf> {
    let folder = |name: &str| {
        environment(name)
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
    };
    if let Some(own) = folder("PORTCULLIS_WASM_CACHE") {
        return Some(own);
    }
    let caches = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("portcullis"))
}

fn usize_of(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

/// A size as it would be written.
pub(super) fn shown(bytes: i64) -> String {
    match bytes {
        bytes if bytes % MIB == 0 => format!("{}MiB", bytes / MIB),
        bytes if bytes % KIB == 0 => format!("{}KiB", bytes / KIB),
        bytes => format!("{bytes} bytes"),
    }
}
