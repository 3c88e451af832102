//! JSON strings (RFC 8259 section 7) of UTF-8 text.

use std::borrow::Cow;

/// Return how many bytes the text takes as a JSON string; None where it is not UTF-8.
#[must_use]
pub fn quoted_length(text: &[u8]) -> Option<usize> {
    if !text.is_ascii() {
        std::str::from_utf8(text).ok()?;
    }
    let plain = !has_control(text) && memchr::memchr2(b'"', b'\\', text).is_none();
    let more = if plain { 0 } else { more_in(text) };
    Some(text.len() + more + 2)
}

/// Whether a text has a control character: without an early end, so that the compiler looks at many
/// bytes at once.
#[must_use]
pub fn has_control(text: &[u8]) -> bool {
    text.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20
}

/// Return how many more bytes a text takes with its escapes.
fn more_in(text: &[u8]) -> usize {
    let each = text.iter().map(|&byte| MORE[byte as usize]);
    each.map(usize::from).sum()
}

/// How many more bytes than one each byte takes inside a JSON string.
const MORE: [u8; 256] = more();

const fn more() -> [u8; 256] {
    let mut more = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        more[byte] = 5;
        byte += 1;
    }
    let mut at = 0;
    while at < SHORT.len() {
        more[SHORT[at].0 as usize] = 1;
        at += 1;
    }
    more
}

/// What has an escape of two characters.
const SHORT: [(u8, u8); 7] = [
    (b'"', b'"'),
    (b'\\', b'\\'),
    (0x08, b'b'),
    (0x0c, b'f'),
    (b'\n', b'n'),
    (b'\r', b'r'),
    (b'\t', b't'),
];

/// Write UTF-8 as a JSON string into `out`, which has exactly [`quoted_length`]: only what must be
/// escaped is.
pub fn quote(text: &[u8], out: &mut [u8]) {
    let last = out.len() - 1;
    out[0] = b'"';
    out[last] = b'"';
    let inside = &mut out[1..last];
    if inside.len() == text.len() {
        inside.copy_from_slice(text);
        return;
    }
    let mut at = 0;
    for &byte in text {
        match MORE[byte as usize] {
            0 => inside[at] = byte,
            1 => {
                inside[at] = b'\\';
                inside[at + 1] = SHORT
                    .iter()
                    .find(|one| one.0 == byte)
                    .map_or(byte, |one| one.1);
            }
            _ => {
                inside[at..at + 4].copy_from_slice(b"\\u00");
                inside[at + 4] = b'0' + (byte >> 4);
                inside[at + 5] = b"0123456789abcdef"[(byte & 15) as usize];
            }
        }
        at += 1 + usize::from(MORE[byte as usize]);
    }
}

/// Return the text of a JSON string literal, quotes included.
///
/// None for what is none: other bytes than UTF-8, a control character, a quote inside, an unknown
/// escape, or one that names half of a surrogate pair.
#[must_use]
pub fn unquote(literal: &[u8]) -> Option<Cow<'_, [u8]>> {
    let [b'"', inside @ .., b'"'] = literal else {
        return None;
    };
    std::str::from_utf8(inside).ok()?;
    if has_control(inside) {
        return None;
    }
    if memchr::memchr2(b'"', b'\\', inside).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    let mut text = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        text.extend_from_slice(plain);
        let (character, length) = unescape(escape)?;
        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &escape[length..];
    }
    text.extend_from_slice(rest);
    Some(Cow::Owned(text))
}

/// Return the character that the escape at the beginning names, and how long the escape is.
fn unescape(text: &[u8]) -> Option<(char, usize)> {
    match text {
        [b'\\', b'u', ..] => {
            let first = unit(text)?;
            if let Some(character) = char::from_u32(first) {
                return Some((character, UNIT));
            }
            let second = unit(&text[UNIT..])?;
            if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
                return None;
            }
            let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            Some((char::from_u32(both)?, 2 * UNIT))
        }
        [b'\\', b'/', ..] => Some(('/', 2)),
        [b'\\', mark, ..] => {
            let found = SHORT.iter().find(|one| one.1 == *mark)?;
            Some((char::from(found.0), 2))
        }
        _ => None,
    }
}

/// The length of an escape such as `\u0041`.
const UNIT: usize = 6;

/// Return the UTF-16 code unit that an escape at the beginning names.
fn unit(text: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = text.get(..UNIT)? else {
        return None;
    };
    digits.iter().try_fold(0, |value, &digit| {
        Some(value << 4 | char::from(digit).to_digit(16)?)
    })
}
