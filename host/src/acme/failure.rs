//! Why a certificate could not be obtained.

use std::iter::successors;

use instant_acme::Error;

/// Why a certificate could not be obtained, in words for the log.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failure {
    why: String,
    /// What the authority calls it, where it has refused something: `urn:ietf:params:acme:error:rateLimited`.
    kind: Option<String>,
    pub(super) cost: Cost,
}

/// What a failure costs with the authority, which counts some things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// It has not answered, or was never asked.
    Nothing,
    /// It has said no.
    Refusal,
    /// It has issued a certificate, of which there are few in a week for the same domains.
    Certificate,
}

impl Failure {
    /// Something of this machine, or of the network.
    pub(super) fn here(why: impl Into<String>) -> Failure {
        Failure {
            why: printable(&why.into()),
            kind: None,
            cost: Cost::Nothing,
        }
    }

    /// The authority's answer.
    pub(super) fn refused(why: impl Into<String>) -> Failure {
        Failure {
            cost: Cost::Refusal,
            ..Failure::here(why)
        }
    }

    /// A certificate was issued that is of no use. The next one will hardly be better.
    pub(super) fn in_vain(why: impl Into<String>) -> Failure {
        Failure {
            cost: Cost::Certificate,
            ..Failure::here(why)
        }
    }

    /// The same, of one domain.
    pub(super) fn about(self, domain: &str) -> Failure {
        Failure {
            why: format!("{domain}: {}", self.why),
            ..self
        }
    }

    /// Whether the authority has refused with this kind of error (RFC 8555 section 6.7).
    pub(super) fn is(&self, kind: &str) -> bool {
        let own = self
            .kind
            .as_deref()
            .and_then(|own| own.strip_prefix("urn:ietf:params:acme:error:"));
        own == Some(kind)
    }
}

/// What an authority says, as one line of a log: without control characters, and no longer than somebody reads.
fn printable(text: &str) -> String {
    const MOST: usize = 1000;
    let mut line: String = text
        .chars()
        .take(MOST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        if let Error::Api(problem) = &error {
            return Failure {
                kind: problem.r#type.clone(),
                ..Failure::refused(problem.to_string())
            };
        }
        let causes = successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
        // Many repeat what caused them.
        texts.dedup_by(|cause, error| error.ends_with(cause.as_str()));
        Failure::here(texts.join(": "))
    }
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use super::*;

    #[test]
    fn what_an_authority_says_is_one_short_line() {
        let said = format!("no\nERROR forged\x1b[31m {}", "x".repeat(2000));
        let shown = Failure::refused(said).to_string();
        assert!(shown.starts_with("no ERROR forged [31m x"), "{shown}");
        assert!(
            shown.chars().count() == 1001 && shown.ends_with("x…"),
            "{}",
            shown.len()
        );
    }

    #[test]
    fn a_refusal_is_told_from_silence() {
        let problem = Problem {
            r#type: Some("urn:ietf:params:acme:error:rateLimited".to_owned()),
            detail: Some("too many".to_owned()),
            status: Some(429),
            subproblems: Vec::new(),
        };
        let refused = Failure::from(Error::Api(problem));
        assert_eq!(refused.cost, Cost::Refusal);
        assert!(refused.is("rateLimited") && !refused.is("malformed"));
        assert!(refused.to_string().contains("too many"), "{refused}");

        let silent = Failure::from(Error::Other("connection refused".into()));
        assert_eq!(silent.cost, Cost::Nothing);
        assert_eq!(silent.to_string(), "connection refused");
    }
}
