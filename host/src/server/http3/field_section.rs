//! The fields of a header section as they are sent, looked through before h3 unpacks them.
//!
//! h3 takes a pseudo-header field that comes twice as it comes last, wherever it stands, and leaves those of trailers out.
//! Others would read another request in it, so it is malformed (RFC 9114 section 4.3). Names suffice to see that, and most
//! are numbers of QPACK's static table; there is no other table, since our settings allow none.

/// What a header section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It costs its stream.
    Malformed,
    /// No header section at all. It costs the connection.
    Undecodable,
}

/// Where a section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Head,
    Trailers,
}

/// A frame whose section h3 finds malformed wherever it stands: a field with the name ":", and no value.
pub(super) const MALFORMED: &[u8] = &[1, 5, 0, 0, 0x21, b':', 0];

/// Looks a section through.
pub(super) fn judge(section: &[u8], place: Place) -> Verdict {
    match look_through(section, place) {
        None => Verdict::Undecodable,
        Some(true) => Verdict::Good,
        Some(false) => Verdict::Malformed,
    }
}

/// Whether its pseudo-header fields are as they must be; none where it cannot be read.
fn look_through(section: &[u8], place: Place) -> Option<bool> {
    let mut rest = section;
    // The prefix (RFC 9204 section 4.5.1): no entries of the table that there is not.
    let none_required = integer(&mut rest, 8)? == 0;
    integer(&mut rest, 7)?;
    if !none_required {
        return None;
    }
    let mut seen = Seen::default();
    // All of it is read, also behind a mistake: what cannot be read is worse.
    let mut good = true;
    while let Some(first) = rest.first() {
        good &= match first {
            // Name and value have a number; its next bit says that it is one of the static table.
            0xc0.. => {
                let number = integer(&mut rest, 6)?;
                seen.add(numbered(number)?, || number == CONNECT)
            }
            // The name has a number.
            0x50..=0x5f | 0x70..=0x7f => {
                let name = numbered(integer(&mut rest, 4)?)?;
                let value = string(&mut rest, 7)?;
                seen.add(name, || value.is(&METHOD_CONNECT))
            }
            // Both are written out.
            0x20..=0x3f => {
                let name = string(&mut rest, 3)?;
                let value = string(&mut rest, 7)?;
                seen.add(written(&name), || value.is(&METHOD_CONNECT))
            }
            _ => return None,
        };
    }
    Some(good && seen.fits(place))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Authority,
    Method,
    Path,
    Protocol,
    Scheme,
    /// A pseudo-header field that no request has.
    Strange,
    Regular,
}

/// Which have been.
#[derive(Debug, Default)]
struct Seen {
    /// A bit for each pseudo-header field.
    pseudo: u8,
    regular: bool,
    connect: bool,
}

impl Seen {
    /// False where the field may not stand here.
    fn add(&mut self, name: Name, is_connect: impl FnOnce() -> bool) -> bool {
        if name == Name::Regular {
            self.regular = true;
            return true;
        }
        let bit = 1 << name as u8;
        let first = self.pseudo & bit == 0;
        self.pseudo |= bit;
        if name == Name::Method {
            self.connect = is_connect();
        }
        first && !self.regular && name != Name::Strange
    }

    /// Whether all are such as this section may have. Which a head must have h3 knows.
    fn fits(&self, place: Place) -> bool {
        let protocol = self.pseudo & 1 << Name::Protocol as u8 != 0;
        match place {
            Place::Head => !protocol || self.connect,
            Place::Trailers => self.pseudo == 0,
        }
    }
}

/// The method CONNECT in the static table.
const CONNECT: u64 = 15;
/// Entries of the static table.
const ENTRIES: u64 = 99;

/// The name that has this number in the static table (RFC 9204 appendix A).
fn numbered(number: u64) -> Option<Name> {
    Some(match number {
        0 => Name::Authority,
        1 => Name::Path,
        15..=21 => Name::Method,
        22 | 23 => Name::Scheme,
        // The status.
        24..=28 | 63..=71 => Name::Strange,
        2..ENTRIES => Name::Regular,
        _ => return None,
    })
}

fn written(name: &Text<'_>) -> Name {
    let known = NAMES.iter().find(|(known, _)| name.is(known));
    match known {
        Some((_, known)) => *known,
        None if name.begins_with_colon() => Name::Strange,
        None => Name::Regular,
    }
}

/// A text, and what it is in Huffman's code (RFC 7541 appendix B), which has one way only to write it.
type Known = (&'static [u8], &'static [u8]);

const NAMES: [(Known, Name); 5] = [
    (
        (b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]),
        Name::Authority,
    ),
    ((b":method", &[0xb9, 0x49, 0x53, 0x39, 0xe4]), Name::Method),
    ((b":path", &[0xb9, 0x58, 0xd3, 0x3f]), Name::Path),
    (
        (b":protocol", &[0xb9, 0x5d, 0x87, 0x49, 0xc8, 0x7a, 0x3f]),
        Name::Protocol,
    ),
    ((b":scheme", &[0xb8, 0x82, 0x4e, 0x5a, 0x4b]), Name::Scheme),
];
const METHOD_CONNECT: Known = (b"CONNECT", &[0xbd, 0xab, 0x4e, 0x9c, 0x17, 0xb7, 0xff]);

/// A string as it is sent.
struct Text<'a> {
    bytes: &'a [u8],
    coded: bool,
}

impl Text<'_> {
    fn is(&self, (plain, coded): &Known) -> bool {
        self.bytes == if self.coded { *coded } else { *plain }
    }

    fn begins_with_colon(&self) -> bool {
        let first = self.bytes.first().copied().unwrap_or_default();
        match self.coded {
            // 1011100
            true => first >> 1 == 0x5c,
            false => first == b':',
        }
    }
}

/// A number whose first byte has so many bits of it (RFC 7541 section 5.1).
fn integer(rest: &mut &[u8], bits: u32) -> Option<u64> {
    let (first, mut bytes) = rest.split_first()?;
    let most = u8::MAX >> (8 - bits);
    let mut value = u64::from(first & most);
    if first & most == most {
        // No length and no number of ours needs more bytes than that.
        for place in 0.. {
            let (byte, after) = bytes.split_first()?;
            bytes = after;
            if place > 4 {
                return None;
            }
            value += u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = bytes;
    Some(value)
}

/// A string whose length has so many bits in the first byte, behind one that says whether it is coded.
fn string<'a>(rest: &mut &'a [u8], bits: u32) -> Option<Text<'a>> {
    let coded = rest.first()? >> bits & 1 == 1;
    let length = usize::try_from(integer(rest, bits)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Text { bytes, coded })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section with the prefix that all have.
    fn section(lines: &[&[u8]]) -> Vec<u8> {
        [&[0, 0][..], &lines.concat()].concat()
    }

    /// A field whose name is written out, as it is or coded.
    fn literal(name: &[u8], coded: bool, value: &[u8]) -> Vec<u8> {
        let flags = 0x20 | u8::from(coded) << 3;
        let length = match name.len() {
            length @ 0..7 => vec![flags | length as u8],
            length => vec![flags | 7, length as u8 - 7],
        };
        [&length[..], name, &[value.len() as u8], value].concat()
    }

    const GET: &[u8] = &[0xd1];
    const HTTPS: &[u8] = &[0xd7];
    const ROOT: &[u8] = &[0xc1];
    const AUTHORITY: &[u8] = &[0x50, 1, b'a'];
    const AGE: &[u8] = &[0xc2];

    #[test]
    fn each_pseudo_field_comes_once_and_before_all_others() {
        let head = [GET, HTTPS, AUTHORITY, ROOT, AGE];
        assert_eq!(judge(&section(&head), Place::Head), Verdict::Good);
        for at in 0..4 {
            let twice = [&head[..4], &[head[at]]].concat();
            assert_eq!(judge(&section(&twice), Place::Head), Verdict::Malformed, "{at}");
            let mut last = head;
            last[at..].rotate_left(1);
            assert_eq!(judge(&section(&last), Place::Head), Verdict::Malformed, "{at}");
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_written() {
        for ((plain, coded), name) in NAMES {
            for (first, second) in [(false, false), (false, true), (true, false), (true, true)] {
                let written = |as_code: bool| literal(if as_code { coded } else { plain }, as_code, b"CONNECT");
                let (first, second) = (written(first), written(second));
                let connect: &[u8] = if name == Name::Protocol { &[0xcf] } else { &[] };
                let once = section(&[connect, &first]);
                assert_eq!(judge(&once, Place::Head), Verdict::Good, "{name:?}");
                let twice = section(&[connect, &first, &second]);
                assert_eq!(judge(&twice, Place::Head), Verdict::Malformed, "{name:?}");
                assert_eq!(judge(&once, Place::Trailers), Verdict::Malformed, "{name:?}");
            }
        }
    }

    #[test]
    fn what_no_request_has_is_malformed() {
        for field in [
            &[0xd9][..],                     // :status 200
            &[0xff, 0],                      // :status 100
            &[0x5f, 9, 3, b'2', b'0', b'0'], // :status by the name's number
            &literal(b":status", false, b"200")[..],
            &literal(&[0xb8, 0x84, 0x8d, 0x36, 0xa3], true, b"200"), // :status
            &literal(b":strange", false, b""),
            &literal(b":", false, b""),
            &literal(&[0xb9], true, b""),                // ":", wrongly padded or not
            &literal(b":protocol", false, b"websocket"), // without CONNECT
            &MALFORMED[4..],
        ] {
            let head = section(&[GET, field]);
            assert_eq!(judge(&head, Place::Head), Verdict::Malformed, "{field:x?}");
            assert_eq!(
                judge(&section(&[field]), Place::Trailers),
                Verdict::Malformed,
                "{field:x?}"
            );
        }
        for method in [&[0xcf][..], &[0x5f, 0, 7, b'C', b'O', b'N', b'N', b'E', b'C', b'T']] {
            let head = section(&[method, &literal(b":protocol", false, b"websocket")]);
            assert_eq!(judge(&head, Place::Head), Verdict::Good);
        }
        let trailers = section(&[AGE, &literal(b"x", false, b"1")]);
        assert_eq!(judge(&trailers, Place::Trailers), Verdict::Good);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        for broken in [
            &[][..],
            &[0],
            &[1, 0, 0xc1], // requires an entry
            &[0, 0, 0x80], // of the other table
            &[0, 0, 0x10],
            &[0, 0, 0x00],
            &[0, 0, 0x40, 1, b'x'],
            &[0, 0, 0xff, 36], // behind the static table's end
            &[0, 0, 0x22, b'x'],
            &[0, 0, 0x21, b'x', 2, b'y'],
            &[0, 0, 0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
        ] {
            assert_eq!(judge(broken, Place::Head), Verdict::Undecodable, "{broken:x?}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = fastrand::Rng::with_seed(9114);
        for _ in 0..200_000 {
            let mut bytes = vec![0; random.usize(..24)];
            random.fill(&mut bytes);
            if random.bool() {
                bytes.iter_mut().take(2).for_each(|byte| *byte = 0);
            }
            let _ = (judge(&bytes, Place::Head), judge(&bytes, Place::Trailers));
        }
    }
}
