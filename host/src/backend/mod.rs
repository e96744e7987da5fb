//! What answers a route. Each backend turns a request into a response; filters run before and after it.

pub(crate) mod fixed;
pub(crate) mod proxy;
pub(crate) mod redirect;

use std::rc::Rc;

use crate::upstream::Upstream;

/// A route's backend, on one thread.
pub(crate) enum Backend {
    /// Forwards to an upstream.
    Proxy(proxy::Proxy),
    /// Sends the client elsewhere.
    Redirect(redirect::Redirect),
    /// Always gives the same response.
    Fixed(fixed::Fixed),
}

impl Backend {
    /// The backend that a route was configured with.
    pub(crate) fn new(settings: &crate::config::resolved::Backend, upstreams: &[Rc<Upstream>]) -> Option<Backend> {
        use crate::config::resolved::Backend as Settings;
        Some(match settings {
            Settings::Proxy { upstream, path, host } => {
                let upstream = upstreams.get(*upstream)?.clone();
                Backend::Proxy(proxy::Proxy {
                    upstream,
                    path: path.clone(),
                    host: host.clone(),
                })
            }
            Settings::Redirect { to, status, keep_query } => Backend::Redirect(redirect::Redirect {
                to: to.clone(),
                status: *status,
                keep_query: *keep_query,
            }),
            Settings::Fixed { status, headers, body } => {
                Backend::Fixed(fixed::Fixed::new(*status, headers, body.clone()))
            }
        })
    }
}
