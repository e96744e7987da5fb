//! `portcullis run`: serves until it is told to stop.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{descriptors, exit};
use crate::acme;
use crate::admin::{Admin, AdminListener};
use crate::config::resolved::ListenAddress;
use crate::config::{self, Loaded, Problems};
use crate::gateway::{Environment, Gateway};
use crate::reload::Reloader;
use crate::server::Server;
use crate::server::handover::{Predecessor, Successor};
use crate::server::inherited::Inherited;
use crate::telemetry::Metrics;
use crate::wasm::Engine;
use crate::wasm::capabilities::Services;

/// What to serve.
pub(crate) enum Source {
    /// A file, followed while it changes.
    File(PathBuf),
    /// What is already loaded; it does not change.
    Loaded(Box<Loaded>),
}

/// Where a gateway listens, once it does.
pub(crate) struct Listening {
    /// The first for clients.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Something is wrong with the configuration.
    #[error("{0}")]
    Configuration(#[from] Problems),
    /// Something is wrong with the machine, or in its way.
    #[error("{0}")]
    Machine(String),
}

/// Serves a file.
pub(crate) fn run(path: &Path) -> ExitCode {
    // Before there are threads: it takes variables out of the environment.
    let inherited = Inherited::from_systemd();
    let source = Source::File(path.to_owned());
    exit(super::runtime().and_then(|runtime| runtime.block_on(serve(source, inherited, |_| {}))))
}

/// Serves until a signal says to stop. `ready` is called once everything listens.
pub(crate) async fn serve(
    source: Source,
    mut inherited: Inherited,
    ready: impl FnOnce(&Listening),
) -> Result<(), Failed> {
    let machine = |error: &dyn std::fmt::Display| Failed::Machine(error.to_string());
    let standard = super::standard();
    let (path, Loaded { config, warnings }) = match source {
        Source::File(path) => {
            let loaded = config::load(&path, &standard)?;
            (Some(path), loaded)
        }
        Source::Loaded(loaded) => (None, *loaded),
    };
    start_log(&config.log.level);
    for warning in &warnings {
        tracing::warn!("{}", warning.render(false));
    }
    descriptors::raise(&config.server.limits);
    let environment = Environment {
        engine: Engine::new(&config.wasm).map_err(|error| machine(&error))?,
        services: Services::new(Some(tokio::runtime::Handle::current())),
        metrics: Metrics::default(),
    };
    let (admin_address, handover) = (config.server.admin, config.server.handover.clone());
    let gateway = Gateway::build(config, &environment, None).await?;
    acme::prepare_stores(&gateway.acme)?;
    gateway.publish(&environment.metrics);
    let mut reloader = path.map(|path| Reloader::new(&path, standard, environment.clone(), &gateway));

    let mut hangup = signal(SignalKind::hangup()).map_err(|error| machine(&error))?;
    let mut stop = Stop::new().map_err(|error| machine(&error))?;
    let mut predecessor = None;
    if let Some(path) = &handover {
        let taken = Predecessor::take_over(path).map_err(|error| {
            Failed::Machine(format!(
                "the gateway at `{}` passes nothing on: {error} (`server.handover`)",
                path.display()
            ))
        })?;
        if let Some((other, sockets)) = taken {
            tracing::info!("taking the listening sockets of the gateway that runs already");
            (predecessor, inherited) = (Some(other), sockets);
        }
    }
    let admin = Admin::new(&environment.metrics);
    let mut admin_listens = match admin_address {
        Some(address) => Some(admin.listen(address, &mut inherited).map_err(|error| {
            Failed::Machine(format!(
                "the admin address {address} cannot be listened on: {error} (`server.admin`, in the demo `--admin`)"
            ))
        })?),
        None => None,
    };
    let mut server = Server::start(gateway, &environment.metrics, &mut inherited).map_err(|error| machine(&error))?;
    if predecessor.is_none() {
        server.keep_certificates();
    }
    for address in inherited.left() {
        tracing::warn!("this process was given a socket for {address}, where no listener is; nobody is served there");
    }
    drop(inherited);
    let listening = Listening {
        address: server.listening().iter().find_map(|one| match one.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }),
        admin: admin_listens.as_ref().map(AdminListener::address),
    };
    for one in server.listening() {
        tracing::info!(listener = %one.listener, "listening on {one}");
    }
    if let Some(address) = listening.admin {
        tracing::info!("admin on http://{address}");
    }
    ready(&listening);

    let mut settled = pin!(server.settled());
    let mut is_ready = false;
    let (mut successor, mut another_serves, mut outcome) = (None, false, Ok(()));
    loop {
        let changed = async {
            match &mut reloader {
                Some(reloader) => reloader.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            settled = &mut settled, if !is_ready => {
                if !settled {
                    tracing::warn!("it is not known yet how every upstream is doing; serving all the same");
                }
                is_ready = true;
                if let Some(predecessor) = predecessor.take() {
                    if let Err(error) = predecessor.ready() {
                        outcome = Err(machine(&error));
                        another_serves = true;
                        break;
                    }
                    server.take_files();
                    server.keep_certificates();
                }
                admin.set_ready(true);
                tracing::info!("ready");
                if let Some(path) = &handover {
                    let sockets = server.sockets_to_pass_on().into_iter();
                    let sockets = sockets.chain(admin_listens.as_ref().and_then(AdminListener::to_pass_on)).collect();
                    let patience = server.current().config.server.timeouts.handover;
                    successor = Successor::await_at(path, sockets, patience)
                        .map_err(|error| {
                            tracing::warn!(%error, path = %path.display(), "no other gateway can take over from here");
                        })
                        .ok();
                }
                continue;
            }
            () = followed(&mut successor) => {
                tracing::info!("another gateway serves in this one's place");
                another_serves = true;
                break;
            }
            () = changed => {}
            Some(()) = hangup.recv() => {}
            () = stop.wait() => break,
        }
        if let Some(reloader) = &mut reloader {
            reloader.reload(&mut server).await;
        }
    }

    let drain_limit = server.current().config.server.timeouts.drain;
    tracing::info!(
        seconds = drain_limit.as_secs_f64(),
        "stopping: connections may finish, a second signal ends them"
    );
    admin.set_ready(false);
    // Its copies of the listening sockets close: clients that come now are refused instead of left waiting.
    if successor.is_some_and(Successor::close) {
        server.leave_files();
    }
    if another_serves {
        // Whoever asks how things are is to hear it from the other one.
        drop(admin_listens.take());
    }
    server.drain();
    tokio::select! {
        whole = server.finish(drain_limit) => {
            if !whole {
                tracing::warn!("connections that had not finished in time were closed");
            }
        }
        () = stop_at_once(&mut stop, another_serves) => tracing::warn!("stopped at once, connections were closed"),
    }
    outcome
}

/// Waits for the signal that cuts off what is under way. Of a gateway that drains since another one serves, the first signal
/// asks for no more than it does already.
async fn stop_at_once(stop: &mut Stop, another_serves: bool) {
    if another_serves {
        stop.wait().await;
    }
    stop.wait().await;
}

/// Waits until another gateway serves in this one's place.
async fn followed(successor: &mut Option<Successor>) {
    match successor {
        Some(successor) => successor.ready().await,
        None => std::future::pending().await,
    }
}

/// The signals that end a process.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> std::io::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Lines on stderr. `PORTCULLIS_LOG` overrides the configured level.
fn start_log(level: &str) {
    let filter = std::env::var("PORTCULLIS_LOG").unwrap_or(level.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let _ = log.try_init();
}
