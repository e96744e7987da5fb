//! Mixed traffic for minutes or hours, while targets die and return, certificates and configuration are replaced, and a
//! filter crashes on purpose. Not one response may be lost or mixed up that a dying target or a crashing filter does not
//! explain, and memory and descriptors must not grow.
//!
//! ```sh
//! cargo bench -p portcullis-tests --bench soak                     # three minutes
//! cargo bench -p portcullis-tests --bench soak -- --hours 8
//! cargo test -p portcullis-tests --bench soak                      # ten seconds, with the unoptimised build
//! ```

mod certificates;
mod events;
mod grpc;
mod http;
mod http3;
mod tally;
mod targets;
mod upheaval;
mod websocket;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_tests::{Folder, Gateway};

use crate::certificates::Certificates;
use crate::tally::{Kind, Tally};
use crate::targets::Targets;

/// What all traffic shares.
struct World {
    gateway: Gateway,
    targets: Targets,
    certificates: Certificates,
    tally: Tally,
}

fn main() -> ExitCode {
    let Some(length) = length(std::env::args().skip(1)) else {
        eprintln!("usage: soak [--minutes N | --hours N | --seconds N]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if runtime.block_on(soak(length)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How long: three minutes unless it is said otherwise, ten seconds for `cargo test`, which passes `--test` or nothing that
/// it passes to `cargo bench`.
fn length(mut arguments: impl Iterator<Item = String>) -> Option<Duration> {
    let mut length = Duration::from_secs(10);
    while let Some(argument) = arguments.next() {
        let unit = match argument.as_str() {
            "--bench" => {
                length = Duration::from_secs(180);
                continue;
            }
            "--test" => continue,
            "--seconds" => 1.0,
            "--minutes" => 60.0,
            "--hours" => 3600.0,
            _ => return None,
        };
        let number: f64 = arguments.next()?.parse().ok()?;
        length = Duration::try_from_secs_f64(number * unit).ok()?;
    }
    Some(length)
}

async fn soak(length: Duration) -> bool {
    let folder = Folder::new();
    let certificates = Certificates::new();
    certificates.issue(&folder);
    let targets = Targets::start().await;
    let gateway = Gateway::start_in(folder, upheaval::configuration(&targets, 0), &[]).await;
    let world = Arc::new(World {
        gateway,
        targets,
        certificates,
        tally: Tally::default(),
    });
    let end = Instant::now() + length;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        tasks.spawn(http::one_after_the_other(world.clone(), number, end));
        tasks.spawn(http::crashing(world.clone(), end));
        tasks.spawn(websocket::talk(world.clone(), end));
    }
    for _ in 0..2 {
        tasks.spawn(http::at_once(world.clone(), end));
        tasks.spawn(http3::one_after_the_other(world.clone(), end));
        tasks.spawn(grpc::stream(world.clone(), end));
        tasks.spawn(grpc::call(world.clone(), end));
    }
    for secure in [false, true] {
        tasks.spawn(events::follow(world.clone(), secure, end));
    }
    tasks.spawn(upheaval::targets_die_and_return(world.clone(), end));
    tasks.spawn(upheaval::files_change(world.clone(), end));
    let usage = watch_usage(&world, end).await;
    let mut well = true;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            eprintln!("traffic ended too early: {error}");
            well = false;
        }
    }
    well &= report(&world, &usage);
    // It drains, with all that is still open closed: nothing is left over.
    let code = world.gateway.stop().await;
    println!("gateway ended with code {code}");
    well && code == 0
}

/// What the gateway uses, from time to time.
struct Usage {
    rss_kib: Vec<u64>,
    fds: Vec<usize>,
}

async fn watch_usage(world: &World, end: Instant) -> Usage {
    let mut usage = Usage {
        rss_kib: Vec::new(),
        fds: Vec::new(),
    };
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(500)).await;
        usage.rss_kib.push(world.gateway.rss_kib());
        usage.fds.push(world.gateway.fds());
    }
    usage
}

/// Prints what happened. Whether all of it is as it must be.
fn report(world: &World, usage: &Usage) -> bool {
    let mut well = true;
    println!(
        "{:<12} {:>10} {:>10} {:>12} {:>12}",
        "traffic", "good", "explained", "unexplained", "mixed up"
    );
    for kind in Kind::ALL {
        let counts = world.tally.counts(kind);
        println!(
            "{:<12} {:>10} {:>10} {:>12} {:>12}",
            kind.name(),
            counts.good,
            counts.explained,
            counts.unexplained,
            counts.mixed_up
        );
        // Traffic that never got through shows nothing.
        well &= counts.good > 0 && counts.unexplained == 0 && counts.mixed_up == 0;
    }
    for line in world.tally.unexplained() {
        println!("unexplained: {line}");
    }
    let deaths = world.targets.deaths();
    println!(
        "targets died {deaths} times, files were replaced {} times",
        world.tally.reloads()
    );
    // The first third is warming up: pools, caches, instances.
    let third = usage.rss_kib.len() / 3;
    let median = |part: &[u64]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    let (early, late) = (
        median(&usage.rss_kib[third..2 * third.max(1)]),
        median(&usage.rss_kib[usage.rss_kib.len() - third.max(1)..]),
    );
    let fds = |part: &[usize]| median(&part.iter().map(|fds| *fds as u64).collect::<Vec<_>>());
    let (early_fds, late_fds) = (
        fds(&usage.fds[third..2 * third.max(1)]),
        fds(&usage.fds[usage.fds.len() - third.max(1)..]),
    );
    println!(
        "resident memory {early} KiB in the second third, {late} KiB in the last; descriptors {early_fds}, {late_fds}"
    );
    // Pools and instances are still being filled in the first seconds.
    let is_long = usage.rss_kib.len() >= 120;
    let grown = is_long && (late > early + early / 10 + 1024 || late_fds > early_fds + 32);
    if grown {
        println!("memory or descriptors have grown");
    }
    // A filter's panic is told too, of a thread without such a name.
    if world.gateway.log().contains("thread 'worker-") {
        println!("the gateway's log tells of a panic");
        well = false;
    }
    well && !grown
}
