//! How calls fail, and what that makes of the answer.

use std::ops::RangeInclusive;

use http::StatusCode;
use thiserror::Error;

use crate::backend::aggregate::json::Malformed;
use crate::backend::aggregate::misread::Misread;
use crate::backend::aggregate::template::Unfilled;

/// Why a call has no answer, or none of use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// What it should send has a reference without a fit value.
    #[error(transparent)]
    Unfilled(#[from] Unfilled),
    /// Its own time, or that of the whole answer, was over.
    #[error("took too long")]
    Timeout,
    /// Nobody could be asked.
    #[error("not reachable")]
    Unreachable,
    /// The answer broke off, or was no HTTP.
    #[error("broke off")]
    Broken,
    /// A status that is none of `success`.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// Whether the client may see it.
        passed: bool,
    },
    /// The body is not JSON.
    #[error("malformed body: {0}")]
    Malformed(#[from] Malformed),
    /// The body, or all bodies together, are larger than allowed.
    #[error("too large")]
    TooLarge,
    /// There are more items than allowed.
    #[error("{0} items")]
    TooManyItems(usize),
    /// What there should be a call for each element of is no array.
    #[error("not an array")]
    NotAnArray,
    /// The body is no object, and so has no members to be the answer's.
    #[error("not an object")]
    NotAnObject,
    /// Two members would have one name.
    #[error("`{0}` twice")]
    Clash(String),
    /// Another call has written the same place.
    #[error("`{0}` is another call's")]
    Collision(String),
}

/// What the failure of a required call makes of the answer. Only the host's `rejection.rs` picks a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailsWith {
    /// What the client has sent cannot be used.
    BadRequest,
    /// A service is to blame.
    BadGateway,
    /// Time was over.
    GatewayTimeout,
    /// The service's own status is passed.
    Passed(StatusCode),
}

/// That there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("call {call:?}: {failure}")]
pub(crate) struct Failed {
    /// The call to blame; `None` where all together are.
    pub(crate) call: Option<usize>,
    /// Why.
    pub(crate) failure: Failure,
}

impl Failure {
    /// The words in logs, in metrics, and in the answer's `errors`: nothing of the inside.
    pub(crate) const WORDS: [&str; 6] = [
        "missing-input",
        "timeout",
        "unavailable",
        "status",
        "too-large",
        "malformed",
    ];

    /// Which of these is its.
    pub(crate) fn place(&self) -> usize {
        match self {
            Failure::Unfilled(_) => 0,
            Failure::Timeout => 1,
            Failure::Unreachable | Failure::Broken => 2,
            Failure::Status { .. } => 3,
            Failure::TooLarge | Failure::TooManyItems(_) => 4,
            Failure::Malformed(_)
            | Failure::NotAnArray
            | Failure::NotAnObject
            | Failure::Clash(_)
            | Failure::Collision(_) => 5,
        }
    }

    /// Its word.
    pub(crate) fn word(&self) -> &'static str {
        Failure::WORDS[self.place()]
    }

    /// What it makes of the answer, where the call is required.
    pub(crate) fn fails_with(&self) -> FailsWith {
        match self {
            Failure::Unfilled(unfilled) if unfilled.clients => FailsWith::BadRequest,
            Failure::Timeout => FailsWith::GatewayTimeout,
            Failure::Status { status, passed: true } => FailsWith::Passed(*status),
            _ => FailsWith::BadGateway,
        }
    }
}

/// A set of statuses: `2xx`, `404`, `500-504`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// `2xx`: what counts as success, where nothing else is said.
    pub(crate) fn success() -> Self {
        Self(vec![200..=299])
    }

    /// Adds those that a text names.
    ///
    /// # Errors
    /// For what is neither a status nor a range of them.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), Misread> {
        let status = |text: &str| {
            text.parse()
                .ok()
                .filter(|status| (100..=599).contains(status) && text.len() == 3)
        };
        let class = |text: &str| match text.as_bytes() {
            [digit @ b'1'..=b'5', b'x', b'x'] => Some(u16::from(digit - b'0') * 100),
            _ => None,
        };
        let range = match text.split_once('-') {
            Some((first, last)) => status(first)
                .zip(status(last))
                .map(|(first, last): (u16, u16)| first..=last),
            None => class(text)
                .map(|first| first..=first + 99)
                .or_else(|| status(text).map(|status: u16| status..=status)),
        };
        match range.filter(|range| !range.is_empty()) {
            Some(range) => self.0.push(range),
            None => {
                let help = "write for example `2xx`, `404` or `500-504`".to_owned();
                return Err(Misread::new(0..text.len(), format!("`{text}` is no status")).help(help));
            }
        }
        Ok(())
    }

    /// Whether a status is one of them.
    pub(crate) fn contains(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classes_ranges_and_single_ones() {
        let mut statuses = Statuses::default();
        for text in ["2xx", "404", "500-502"] {
            statuses.add(text).unwrap();
        }
        let has = |status| statuses.contains(StatusCode::from_u16(status).unwrap());
        assert_eq!(
            [199, 200, 299, 300, 403, 404, 500, 502, 503].map(has),
            [false, true, true, false, false, true, true, true, false]
        );
        for text in ["", "6xx", "2x", "99", "0404", "502-500", "a-b", "600"] {
            assert!(Statuses::default().add(text).is_err(), "{text}");
        }
    }
}
