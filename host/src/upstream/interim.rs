//! How many interim answers (1xx) a target gives over HTTP/1.1 before its final one. hyper passes over any number of them.

use std::cell::Cell;
use std::io;

/// Follows the heads of answers as they come in, while they are interim ones: the first that is not ends it, so that nearly
/// all answers cost a look at their first bytes.
#[derive(Debug, Default)]
pub(super) struct Interim {
    place: Cell<Place>,
    seen: Cell<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// In a final answer, or in none.
    #[default]
    Elsewhere,
    /// So far in what interim answers begin with.
    Beginning(usize),
    /// In the head of one.
    Head,
    /// There at the end of a line.
    LineEnd,
}

/// What an interim answer begins with; the version may be any.
const BEGINNING: &[u8] = b"HTTP/1.* 1";

/// Interim answers to one request.
const MOST: u32 = 32;

/// More of them than that.
#[derive(Debug, thiserror::Error)]
#[error("there are too many interim answers")]
struct TooMany;

impl Interim {
    /// A request is sent: what comes next is the head of an answer.
    pub(super) fn expect(&self) {
        self.place.set(Place::Beginning(0));
        self.seen.set(0);
    }

    /// These bytes have come.
    pub(super) fn follow(&self, bytes: &[u8]) -> io::Result<()> {
        // Most heads come whole, and are final: one look.
        let last = BEGINNING.len() - 1;
        if self.place.get() == Place::Beginning(0) && bytes.get(last).is_some_and(|byte| !begins(last, *byte)) {
            self.place.set(Place::Elsewhere);
            return Ok(());
        }
        for byte in bytes {
            let next = match (self.place.get(), byte) {
                (Place::Elsewhere, _) => break,
                (Place::Beginning(place), byte) if !begins(place, *byte) => Place::Elsewhere,
                (Place::Beginning(place), _) if place + 1 < BEGINNING.len() => Place::Beginning(place + 1),
                (Place::Beginning(_), _) => {
                    self.seen.set(self.seen.get() + 1);
                    if self.seen.get() > MOST {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, TooMany));
                    }
                    Place::Head
                }
                (Place::LineEnd, b'\n') => Place::Beginning(0),
                (Place::Head, b'\n') | (Place::LineEnd, b'\r') => Place::LineEnd,
                (Place::Head | Place::LineEnd, _) => Place::Head,
            };
            self.place.set(next);
        }
        Ok(())
    }

    /// Whether anything is looked for at all.
    pub(super) fn is_expected(&self) -> bool {
        self.place.get() != Place::Elsewhere
    }
}

fn begins(place: usize, byte: u8) -> bool {
    let expected = BEGINNING[place];
    expected == byte || expected == b'*'
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n";

    /// Whether so many interim answers are too many, in pieces of this size.
    fn too_many(count: usize, size: usize) -> bool {
        let interim = Interim::default();
        interim.expect();
        let text = format!("HTTP/1.0 100 Bare\n\n{}", INTERIM.repeat(count - 1));
        let ended = text.as_bytes().chunks(size).try_for_each(|piece| interim.follow(piece));
        ended.is_err()
    }

    #[test]
    fn so_many_are_taken_and_no_more_however_they_come() {
        for size in [1, 7, 100, 10_000] {
            assert!(!too_many(MOST as usize, size), "{size}");
            assert!(too_many(MOST as usize + 1, size), "{size}");
        }
    }

    #[test]
    fn a_final_answer_ends_it_whatever_its_body_looks_like() {
        let interim = Interim::default();
        interim.expect();
        interim.follow(INTERIM.as_bytes()).unwrap();
        interim.follow(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        assert!(!interim.is_expected());
        interim.follow(INTERIM.repeat(100).as_bytes()).unwrap();
    }
}
