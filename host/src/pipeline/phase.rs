//! The calls that a pipeline makes on a filter.

/// One call that the pipeline makes on a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The request's head is there.
    Request,
    /// The request's whole body is there.
    RequestBody,
    /// The response's head is there.
    Response,
    /// The response's whole body is there.
    ResponseBody,
    /// The exchange has ended.
    Complete,
}

impl Phase {
    /// Every phase, in the order of an exchange.
    pub const ALL: [Phase; 5] = [
        Phase::Request,
        Phase::RequestBody,
        Phase::Response,
        Phase::ResponseBody,
        Phase::Complete,
    ];

    /// The word in metrics, log and WIT.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Request => "request",
            Phase::RequestBody => "request-body",
            Phase::Response => "response",
            Phase::ResponseBody => "response-body",
            Phase::Complete => "complete",
        }
    }
}

/// A set of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases(u8);

impl Phases {
    /// These phases.
    pub fn of(phases: &[Phase]) -> Phases {
        Phases(phases.iter().fold(0, |set, phase| set | 1 << *phase as u8))
    }

    /// Whether a phase is one of them.
    pub fn contains(self, phase: Phase) -> bool {
        self.0 & 1 << phase as u8 != 0
    }

    /// Those in it, in the order of an exchange.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.contains(*phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Phases::of(&[Phase::Response, Phase::Request]);
        assert!(set.contains(Phase::Request) && !set.contains(Phase::Complete));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Phase::Request, Phase::Response]);
    }
}
