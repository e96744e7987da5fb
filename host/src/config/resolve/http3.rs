//! `http3`, of a `[[listener]]`.

use super::scope::Scope;
use crate::config::file::{self, Located, Switch};
use crate::config::resolved::{Http3, ListenAddress};

/// HTTP/3 as it is written. None where it is off.
pub(super) fn http3(scope: &Scope<'_>, table: &Located<file::Listener>, addresses: &[ListenAddress]) -> Option<Http3> {
    let switch = table.http3.as_ref()?;
    let written = match &switch.value {
        Switch::Flag(false) => return None,
        Switch::Flag(true) => &file::Http3::default(),
        Switch::With(written) => written,
    };
    if table.tls.is_none() && !scope.is_unread(&table.span, "tls") {
        let help = "write `tls = { certificates = [{ certificate = \"a.pem\", key = \"a.key\" }] }` beside it";
        scope.wrong_help(&switch.span, "`http3` without `tls`", "it is always encrypted", help);
    }
    if let Some(announced) = &table.proxy_protocol
        && !matches!(announced.value, Switch::Flag(false))
    {
        let help = "give HTTP/3 a listener of its own, to which clients come themselves";
        let label = "the PROXY protocol is not spoken over UDP";
        scope.wrong_help(&switch.span, "`http3` beside `proxy_protocol`", label, help);
    }
    if !addresses.is_empty() && !addresses.iter().any(|one| matches!(one, ListenAddress::Tcp(_))) {
        let label = "it needs an address of IP";
        scope.wrong(&switch.span, "`http3` on a Unix socket", label);
    }
    let default = Http3::default();
    Some(Http3 {
        port: written.port.as_ref().and_then(|port| match u16::try_from(port.value) {
            Ok(0) | Err(_) => {
                scope.wrong(&port.span, "not a port", "expected 1 to 65535");
                None
            }
            Ok(port) => Some(port),
        }),
        max_age: written.max_age.as_ref().map_or(default.max_age, |age| age.value.0),
        retry: written.retry.unwrap_or(default.retry),
    })
}
