//! What the acts do with bodies.

use portcullis_sdk::{BodyTransform, Failure, Reply};

use crate::{Act, waste};

/// An answer of the filter's own, which says how long the body was that it has seen.
pub(crate) fn reply(body: &[u8]) -> Reply {
    Reply::text(418, format!("answered by the filter, after {} bytes", body.len()))
}

/// Passes the first chunk on and does wrong at the next.
pub(crate) struct Spoil {
    act: Act,
    pushed: usize,
}

impl Spoil {
    pub(crate) fn by(act: Act) -> Self {
        Spoil { act, pushed: 0 }
    }
}

impl BodyTransform for Spoil {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        self.pushed += 1;
        match self.act {
            Act::PanicInTransform if self.pushed > 1 => panic!("as told, in the middle"),
            Act::LoopInTransform if self.pushed > 1 => waste::time(),
            Act::Inflate => Ok(vec![b'x'; chunk.len().saturating_mul(1 << 20).min(1 << 30)]),
            _ => Ok(chunk.to_vec()),
        }
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(Vec::new())
    }
}

/// Each byte twice, and a full stop.
pub(crate) struct Double;

impl BodyTransform for Double {
    fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Failure> {
        Ok(chunk.iter().flat_map(|byte| [*byte, *byte]).collect())
    }

    fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(b".".to_vec())
    }
}
