//! Bytes to a document. Nothing in it recurses, and it reads each byte once.

use bytes::Bytes;
use smallvec::SmallVec;
use thiserror::Error;

use super::document::{Document, Node, Tag};
use super::text::{Text, four_digits};

/// The most that a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Arrays and objects inside one another. At most [`Limits::DEEPEST`] counts, since answers are put together by
    /// functions that call themselves.
    pub(crate) depth: usize,
    /// Values and names of members, all together.
    pub(crate) values: usize,
}

impl Limits {
    /// What `depth` cannot exceed.
    pub(crate) const DEEPEST: usize = 512;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            depth: 64,
            values: 200_000,
        }
    }
}

/// Why a document was refused, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{why} at byte {at}")]
pub(crate) struct Malformed {
    /// The byte that cannot be right.
    pub(crate) at: usize,
    /// What is wrong with it.
    pub(crate) why: Why,
}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Why {
    /// A token, or the end, where another was due.
    #[error("not JSON")]
    Syntax,
    /// Not a number as RFC 8259, section 6 has it: `01`, `+1`, `.5`, `NaN`.
    #[error("malformed number")]
    Number,
    /// A control character, an escape that there is not, or half of a surrogate pair.
    #[error("malformed text")]
    Text,
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// Two members of one name.
    #[error("a member named twice")]
    Twice,
    /// More bytes than allowed.
    #[error("too large")]
    Size,
    /// Deeper than allowed.
    #[error("nested too deeply")]
    Depth,
    /// More values than allowed.
    #[error("too many values")]
    Values,
}

pub(super) fn parse(source: Bytes, limits: &Limits) -> Result<Document, Malformed> {
    if source.len() > limits.bytes.min(u32::MAX as usize) {
        let at = limits.bytes;
        return Err(Malformed { at, why: Why::Size });
    }
    if let Err(error) = str::from_utf8(&source) {
        let at = error.valid_up_to();
        return Err(Malformed { at, why: Why::Utf8 });
    }
    // A byte order mark may be ignored (RFC 8259, section 8.1), and some services send one.
    let at = if source.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut parser = Parser {
        bytes: &source,
        at,
        // A guess that is right, or nearly, for common documents.
        nodes: Vec::with_capacity((source.len() / 10 + 4).min(limits.values).min(1 << 16)),
        open: SmallVec::new(),
        names: SmallVec::new(),
        compact: true,
        limits,
    };
    parser.document()?;
    let Parser { nodes, compact, .. } = parser;
    Ok(Document { source, nodes, compact })
}

struct Parser<'s> {
    bytes: &'s [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The arrays and objects around the place.
    open: SmallVec<[Open; 16]>,
    /// The nodes that are names of members of the open objects, of the innermost last.
    names: SmallVec<[u32; 64]>,
    compact: bool,
    limits: &'s Limits,
}

#[derive(Clone, Copy)]
struct Open {
    node: u32,
    is_object: bool,
    /// Where its names begin.
    names: u32,
}

impl Parser<'_> {
    fn document(&mut self) -> Result<(), Malformed> {
        self.at += self.spaces();
        'value: loop {
            let start = self.at;
            match self.peek() {
                Some(b'{') => {
                    self.open(Tag::Object)?;
                    self.space();
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue 'value;
                    }
                }
                Some(b'[') => {
                    self.open(Tag::Array)?;
                    self.space();
                    if self.peek() != Some(b']') {
                        continue 'value;
                    }
                }
                Some(b'"') => {
                    self.text()?;
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word(b"true", Tag::True)?,
                Some(b'f') => self.word(b"false", Tag::False)?,
                Some(b'n') => self.word(b"null", Tag::Null)?,
                Some(b'+' | b'.' | b'N' | b'I') => return Err(self.error(start, Why::Number)),
                _ => return Err(self.error(start, Why::Syntax)),
            }
            // A value has ended, or an array or object that is still open is empty.
            loop {
                let Some(open) = self.open.last().copied() else {
                    self.at += self.spaces();
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => Err(self.error(self.at, Why::Syntax)),
                    };
                };
                self.space();
                match (self.peek(), open.is_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.space();
                        self.name()?;
                        continue 'value;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        self.space();
                        continue 'value;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => self.close(open)?,
                    _ => return Err(self.error(self.at, Why::Syntax)),
                }
            }
        }
    }

    fn open(&mut self, tag: Tag) -> Result<(), Malformed> {
        if self.open.len() >= self.limits.depth.min(Limits::DEEPEST) {
            return Err(self.error(self.at, Why::Depth));
        }
        let node = self.push(tag, self.at, 0)?;
        self.open.push(Open {
            node,
            is_object: tag == Tag::Object,
            names: offset(self.names.len()),
        });
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<(), Malformed> {
        self.at += 1;
        self.open.pop();
        let (end, next) = (offset(self.at), offset(self.nodes.len()));
        if let Some(node) = self.nodes.get_mut(open.node as usize) {
            node.len = end - node.start;
            node.next = next;
        }
        if open.is_object {
            self.no_name_twice(open.names as usize)?;
            self.names.truncate(open.names as usize);
        }
        Ok(())
    }

    /// The name of a member, and the colon after it.
    fn name(&mut self) -> Result<(), Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.error(self.at, Why::Syntax));
        }
        let name = self.text()?;
        self.names.push(name);
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error(self.at, Why::Syntax));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Refuses an object that names a member twice. Its cost is bounded whatever the names: no hash that could be made to
    /// collide, and no quadratic search but in small objects.
    fn no_name_twice(&mut self, from: usize) -> Result<(), Malformed> {
        let (bytes, nodes) = (self.bytes, &self.nodes);
        let text = |name: u32| {
            let node = nodes.get(name as usize);
            let range = node.map_or(0..0, |node| node.start as usize..(node.start + node.len) as usize);
            Text {
                raw: bytes.get(range).unwrap_or_default(),
                escaped: node.is_some_and(|node| node.tag == Tag::Escaped),
            }
        };
        let names = self.names.get_mut(from..).unwrap_or_default();
        let twice = if names.len() <= 16 {
            names.iter().enumerate().find_map(|(place, name)| {
                let own = text(*name);
                let before = names.get(..place).unwrap_or_default();
                before.iter().any(|other| own.same(text(*other))).then_some(*name)
            })
        } else {
            names.sort_unstable_by(|one, other| text(*one).order(text(*other)).then(one.cmp(other)));
            let mut pairs = names.windows(2);
            pairs.find_map(|pair| matches!(pair, [one, other] if text(*one).same(text(*other))).then(|| pair[1]))
        };
        match twice.and_then(|name| nodes.get(name as usize)) {
            Some(node) => Err(self.error(node.start as usize, Why::Twice)),
            None => Ok(()),
        }
    }

    /// A text; gives its node.
    fn text(&mut self) -> Result<u32, Malformed> {
        let start = self.at + 1;
        let mut at = start;
        let mut tag = Tag::Text;
        loop {
            at += plain(self.bytes.get(at..).unwrap_or_default());
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    tag = Tag::Escaped;
                    at += self.escape(at)?;
                }
                _ => return Err(self.error(at, Why::Text)),
            }
        }
        self.at = at + 1;
        self.push(tag, start, at - start)
    }

    /// How long the escape is that begins here.
    fn escape(&self, at: usize) -> Result<usize, Malformed> {
        let malformed = || self.error(at, Why::Text);
        let code = |at: usize| four_digits(self.bytes.get(at..at + 4));
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => match code(at + 2).ok_or_else(malformed)? {
                0xd800..=0xdbff => {
                    let is_low = |code| matches!(code, Some(0xdc00..=0xdfff));
                    let pair = self.bytes.get(at + 6..at + 8) == Some(b"\\u") && is_low(code(at + 8));
                    pair.then_some(12).ok_or_else(malformed)
                }
                0xdc00..=0xdfff => Err(malformed()),
                _ => Ok(6),
            },
            _ => Err(malformed()),
        }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut at = start + usize::from(self.peek() == Some(b'-'));
        let digits = |from: usize| {
            let rest = self.bytes.get(from..).unwrap_or_default();
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = digits(at);
        if whole == 0 || whole > 1 && self.bytes.get(at) == Some(&b'0') {
            return Err(self.error(start, Why::Number));
        }
        at += whole;
        if self.bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return Err(self.error(start, Why::Number));
            }
            at += 1 + fraction;
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            at += 1 + usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits(at);
            if exponent == 0 {
                return Err(self.error(start, Why::Number));
            }
            at += exponent;
        }
        self.at = at;
        self.push(Tag::Number, start, at - start).map(drop)
    }

    fn word(&mut self, word: &[u8], tag: Tag) -> Result<(), Malformed> {
        let start = self.at;
        if self.bytes.get(start..start + word.len()) != Some(word) {
            return Err(self.error(start, Why::Syntax));
        }
        self.at += word.len();
        self.push(tag, start, word.len()).map(drop)
    }

    fn push(&mut self, tag: Tag, start: usize, len: usize) -> Result<u32, Malformed> {
        let node = self.nodes.len();
        if node >= self.limits.values {
            return Err(self.error(start, Why::Values));
        }
        self.nodes.push(Node {
            tag,
            start: offset(start),
            len: offset(len),
            next: offset(node + 1),
        });
        Ok(offset(node))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Passes over space between two tokens.
    fn space(&mut self) {
        if let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.compact = false;
            self.at += self.spaces();
        }
    }

    fn spaces(&self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count()
    }

    fn error(&self, at: usize, why: Why) -> Malformed {
        Malformed { at, why }
    }
}

/// A place in the source or the list of nodes; both were found to be no longer than `u32` can say.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// How many bytes there are before the first quote, backslash or control character. Eight at a time: texts are most of
/// what JSON is.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES * 128;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut passed = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        // The high bit of each byte that is zero; bytes above the first such one may be marked wrongly.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return passed + found.trailing_zeros() as usize / 8;
        }
        passed += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    passed + rest.iter().take_while(is_plain).count()
}
