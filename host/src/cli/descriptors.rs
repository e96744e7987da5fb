//! How many files and connections the process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::resolved::Limits;

/// Takes as many as the system gives. Shells and service managers start a process with 1,024, for the sake of programs that
/// call `select`, and let it have more if it asks.
pub(super) fn raise(limits: &Limits) {
    let allowed = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    if wanted != allowed
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let Some(most) = getrlimit(Resource::Nofile).current else {
        return;
    };
    if most < limits.connections as u64 {
        tracing::warn!(
            "the system lets this process open {most} files (`ulimit -Hn`), and `server.limits.connections` is {}",
            limits.connections
        );
    }
}
