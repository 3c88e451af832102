//! Whether a JSON text holds nothing but what is listed.

use std::collections::BTreeMap;

use crate::json::Scan;
use crate::json_tokens::space;
use crate::strings::unquote;

/// A place in JSON texts.
#[derive(Default)]
pub struct Place {
    /// Whether any value may stand here.
    pub whole: bool,
    /// Whether a text, a number or a boolean may; null may anywhere.
    pub scalar: bool,
    /// The members whose names are ASCII.
    pub names: BTreeMap<Box<[u8]>, Place>,
    /// The elements that have places of their own.
    pub indexes: BTreeMap<usize, Place>,
    /// Any other element.
    pub star: Option<Box<Place>>,
    /// Any other member.
    pub member: Option<Box<Place>>,
}

impl Place {
    /// Whether a text is strict JSON, and holds nothing that is not listed from here on. It recurses
    /// along the places alone.
    #[must_use]
    pub fn is_clear(&self, body: &[u8]) -> bool {
        let clear = || {
            std::str::from_utf8(body).ok()?;
            let mut scan = Scan::new(body, 0, || true);
            let end = self.value(&mut scan, space(body, 0))?;
            (space(body, end) == body.len()).then_some(())
        };
        clear().is_some()
    }

    /// Where a value ends that may stand here.
    fn value<P: FnMut() -> bool>(&self, scan: &mut Scan<'_, P>, at: usize) -> Option<usize> {
        let body = scan.body;
        match *body.get(at)? {
            _ if self.whole => scan.skip(at),
            b'n' => scan.skip(at),
            b'{' if !self.names.is_empty() || self.member.is_some() => self.object(scan, at),
            b'[' if !self.indexes.is_empty() || self.star.is_some() => self.array(scan, at),
            b'{' | b'[' => None,
            b'"' if self.scalar => {
                let end = scan.string(at)?;
                (!is_json(&body[at..end])?).then_some(end)
            }
            _ if self.scalar => scan.skip(at),
            _ => None,
        }
    }

    fn object<P: FnMut() -> bool>(&self, scan: &mut Scan<'_, P>, at: usize) -> Option<usize> {
        let body = scan.body;
        scan.enter()?;
        let mut at = space(body, at + 1);
        if *body.get(at)? != b'}' {
            loop {
                let (name, start) = scan.name(at)?;
                let known = if name.contains(&b'\\') {
                    self.names.get(&*unquote(&body[at..=at + 1 + name.len()])?)
                } else {
                    self.names.get(name)
                };
                at = known.or(self.member.as_deref())?.value(scan, start)?;
                at = space(body, at);
                match *body.get(at)? {
                    b',' => at = space(body, at + 1),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        scan.leave();
        Some(at + 1)
    }

    fn array<P: FnMut() -> bool>(&self, scan: &mut Scan<'_, P>, at: usize) -> Option<usize> {
        let body = scan.body;
        scan.enter()?;
        let mut at = space(body, at + 1);
        if *body.get(at)? != b']' {
            let mut index = 0;
            loop {
                let known = self.indexes.get(&index).or(self.star.as_deref());
                at = known?.value(scan, at)?;
                at = space(body, at);
                match *body.get(at)? {
                    b',' => at = space(body, at + 1),
                    b']' => break,
                    _ => return None,
                }
                index += 1;
            }
        }
        scan.leave();
        Some(at + 1)
    }
}

/// Whether the text of a JSON string begins as an object or a list of JSON does; None for no string.
fn is_json(literal: &[u8]) -> Option<bool> {
    if literal.get(1)?.is_ascii_alphanumeric() {
        return Some(false); // as most do
    }
    let text = unquote(literal)?;
    let text = skipped(&text);
    let Some((opening, rest)) = text.split_first() else {
        return Some(false);
    };
    let rest = skipped(rest);
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    Some(match (opening, rest.first()) {
        (b'{', Some(b'"' | b'}')) => true,
        (b'[', Some(b'"' | b'{' | b'[' | b']' | b'0'..=b'9' | b'-')) => true,
        (b'[', _) => words.iter().any(|word| rest.starts_with(word)),
        _ => false,
    })
}

/// A text behind white space and byte order marks, as some parsers skip them; the last one is what a
/// mark looks like that was decoded byte by byte.
fn skipped(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b' ' | b'\t'..=b'\r' | 0, rest @ ..] => rest,
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            [0xc3, 0xaf, 0xc2, 0xbb, 0xc2, 0xbf, rest @ ..] => rest,
            _ => return text,
        };
    }
}
