//! The cookie that keeps a client with its target.

use http::uri::Scheme;
use http::{HeaderValue, header};
use sha2::{Digest, Sha256};

use super::Target;
use super::affinity::Affinity;
use crate::config::resolved::Sticky;
use crate::pipeline::Exchange;

/// What names a target in a cookie: nothing that tells its address, and the same in every gateway with the same
/// configuration, so that replicas and restarts keep clients where they are.
pub(super) fn token(sticky: &Sticky, upstream: &str, target: &str) -> u64 {
    let mut hash = Sha256::new();
    for part in [&sticky.key, upstream, target] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |token, byte| token << 8 | u64::from(*byte))
}

/// The token that a cookie holds.
pub(super) fn read(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let is_token = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_token.then(|| u64::from_str_radix(text, 16).ok())?
}

/// Has the client come back to the target that answered it, unless it does so already.
pub(super) fn stick(sticky: &Sticky, target: &Target, affinity: Affinity, exchange: &mut Exchange) {
    if affinity.asked == Some(target.token.get()) {
        return;
    }
    let lasts = sticky
        .lasts
        .map(|lasts| format!("; Max-Age={}", lasts.as_secs().max(1)));
    let secure = if exchange.scheme == Scheme::HTTPS {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{}={:016x}; Path=/; HttpOnly; SameSite=Lax{}{secure}",
        sticky.cookie,
        target.token.get(),
        lasts.unwrap_or_default(),
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        exchange.response.headers.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_key_upstream_and_target_and_is_read_back() {
        let sticky = |key: &str| Sticky {
            cookie: "t".to_owned(),
            lasts: None,
            key: key.to_owned(),
        };
        let first = token(&sticky(""), "users", "10.0.0.1:80");
        assert_eq!(first, token(&sticky(""), "users", "10.0.0.1:80"));
        let others = [
            token(&sticky("k"), "users", "10.0.0.1:80"),
            token(&sticky(""), "orders", "10.0.0.1:80"),
            token(&sticky(""), "users", "10.0.0.2:80"),
        ];
        assert!(!others.contains(&first));
        assert_eq!(read(format!("{first:016x}").as_bytes()), Some(first));
        for text in ["", "zz", "+123456789012345", "00000000000000000", "\u{e9}"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
