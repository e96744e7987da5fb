//! Going on in another protocol after an HTTP/1.1 request (RFC 9110 section 7.8): who may ask for it, and when it happens.
//!
//! A client asks with `Upgrade`, the target agrees with 101, and from then on the connection is a [`Tunnel`].

use std::cell::{Cell, RefCell};
use std::task::Waker;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, Version, header};
use http_body::Body as _;

use super::extended_connect::WEBSOCKET;
use super::incoming::Incoming;
use super::outgoing::{Outgoing, Sending};
use super::tunnel::Tunnel;
use crate::upstream::Upgraded;

/// A client's wish to go on in one of these protocols: the value of `Upgrade`. None where nothing may come of it.
pub(super) struct Wish(Option<HeaderValue>);

impl Wish {
    /// The wish that a head holds. Only a request without a body can be the last one of its connection.
    pub(super) fn of(parts: &Parts, body: &Incoming) -> Option<Wish> {
        if parts.version != Version::HTTP_11 || !body.is_end_stream() {
            return None;
        }
        let protocols = parts.headers.get(header::UPGRADE)?;
        let named = words(&parts.headers, header::CONNECTION).any(|word| word.eq_ignore_ascii_case(b"upgrade"));
        Some(Wish(named.then(|| protocols.clone())))
    }

    /// The wish of a client that has asked in the way of HTTP/2.
    pub(super) fn for_websocket() -> Wish {
        Wish(Some(HeaderValue::from_static(WEBSOCKET)))
    }

    /// As much of the wish as the route allows, to be passed on.
    pub(super) fn within(self, allowed: &[Box<str>]) -> Option<HeaderValue> {
        let asked = self.0?;
        let wanted = asked.to_str().ok()?.split(',').map(str::trim);
        let wanted: Vec<&str> = wanted.filter(|protocol| is_allowed(protocol, allowed)).collect();
        if wanted.is_empty() {
            return None;
        }
        HeaderValue::try_from(wanted.join(", ")).ok()
    }
}

/// Whether a protocol (`name`, or `name/version`) is one of these names.
fn is_allowed(protocol: &str, allowed: &[Box<str>]) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// The protocol that a target has changed to, if it is one of those that it was asked for.
pub(crate) fn agreed(asked: &HeaderValue, answer: &HeaderMap) -> Option<HeaderValue> {
    let protocol = answer.get(header::UPGRADE)?;
    let mut asked = asked.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    asked
        .any(|asked| asked.eq_ignore_ascii_case(protocol.as_bytes()))
        .then(|| protocol.clone())
}

fn words(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

/// The response that ends HTTP on a client's connection. The exchange goes on as a tunnel, which the connection takes up when
/// the protocol is done with it.
pub(super) fn switch(outgoing: Outgoing, upgraded: Upgraded) -> Response<Sending> {
    let (mut response, completion) = outgoing.respond_and_go_on();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, upgraded.protocol.clone());
    let connection = completion.connection.clone();
    connection.activity.handshake.agree();
    let tunnel = Tunnel::new(completion, upgraded);
    connection.tunnel.set(Some(Box::new(tunnel)));
    response
}

/// Where an HTTP/1 connection stands with a wish for another protocol. What its client sends after such a request may be in
/// either protocol, so none of it is looked at before the answer is known.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    state: Cell<State>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has asked.
    #[default]
    Idle,
    /// A request has asked, and has no answer yet.
    Asked,
    /// The answer is in the protocol at hand: reading goes on.
    Refused,
    /// The answer is the last of the protocol at hand.
    Agreed,
}

impl Handshake {
    /// A request has asked for another protocol.
    pub(super) fn ask(&self) {
        self.state.set(State::Asked);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.state.get() == State::Asked
    }

    /// The protocol changes after this answer.
    pub(super) fn agree(&self) {
        self.state.set(State::Agreed);
    }

    pub(super) fn is_agreed(&self) -> bool {
        self.state.get() == State::Agreed
    }

    /// The protocol stays as it is.
    pub(super) fn refuse(&self) {
        self.state.set(State::Refused);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// Whether it was refused, told once; the waker hears of it when it is.
    pub(super) fn take_refusal(&self, waker: &Waker) -> bool {
        if self.state.get() == State::Refused {
            self.state.set(State::Idle);
            return true;
        }
        *self.reader.borrow_mut() = Some(waker.clone());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(asked: &'static str, allowed: &[&str]) -> Option<HeaderValue> {
        let allowed: Vec<Box<str>> = allowed.iter().map(|name| Box::from(*name)).collect();
        Wish(Some(HeaderValue::from_static(asked))).within(&allowed)
    }

    #[test]
    fn only_what_the_route_allows_is_passed_on() {
        assert_eq!(within("WebSocket", &["websocket"]).unwrap(), "WebSocket");
        assert_eq!(
            within("h2c, IRC/6.9, websocket", &["irc", "websocket"]).unwrap(),
            "IRC/6.9, websocket"
        );
        assert_eq!(within("h2c", &["websocket"]), None);
        assert_eq!(within("websocket", &[]), None);
        assert_eq!(within("", &["websocket"]), None);
    }

    #[test]
    fn a_target_may_only_change_to_what_it_was_asked_for() {
        let asked = HeaderValue::from_static("websocket, IRC/6.9");
        let answer = |protocol| HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static(protocol))]);
        assert_eq!(agreed(&asked, &answer("WebSocket")).unwrap(), "WebSocket");
        assert_eq!(agreed(&asked, &answer("irc/6.9")).unwrap(), "irc/6.9");
        assert_eq!(agreed(&asked, &answer("irc")), None);
        assert_eq!(agreed(&asked, &answer("websocket, IRC/6.9")), None);
        assert_eq!(agreed(&asked, &HeaderMap::new()), None);
    }

    #[test]
    fn a_refusal_is_told_once() {
        let handshake = Handshake::default();
        handshake.ask();
        assert!(!handshake.take_refusal(Waker::noop()));
        handshake.refuse();
        assert!(handshake.take_refusal(Waker::noop()));
        assert!(!handshake.take_refusal(Waker::noop()) && !handshake.is_asked());
    }
}
