//! The smallest parts of a JSON text. Each function returns the place behind one, or None.

/// Behind white space.
pub fn space(body: &[u8], mut at: usize) -> usize {
    while matches!(body.get(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
        at += 1;
    }
    at
}

/// Where among the next eight bytes the first quote, backslash or control character is, eight where
/// none is; None where there are fewer bytes.
pub fn marks(body: &[u8], at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    let bytes = body.get(at..at + 8)?.try_into().ok()?;
    let bytes = u64::from_le_bytes(bytes);
    // The highest bit of each byte that is below: a borrow can only spoil those behind the first.
    let below = |bytes: u64, least: u64| bytes.wrapping_sub(ONES * least) & !bytes;
    let quotes = bytes ^ (ONES * 0x22);
    let backslashes = bytes ^ (ONES * 0x5c);
    let found = (below(bytes, 0x20) | below(quotes, 1) | below(backslashes, 1)) & HIGHEST;
    Some(found.trailing_zeros() as usize / 8)
}

/// Behind a word.
pub fn literal(body: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    body[at..].starts_with(word).then_some(at + word.len())
}

/// Behind a number.
pub fn number(body: &[u8], mut at: usize) -> Option<usize> {
    if body.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match body.get(at) {
        Some(b'0') => at + 1,
        _ => digits(body, at)?,
    };
    if body.get(at) == Some(&b'.') {
        at = digits(body, at + 1)?;
    }
    if matches!(body.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(body.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits(body, at)?;
    }
    Some(at)
}

fn digits(body: &[u8], start: usize) -> Option<usize> {
    let size = body[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    (size > 0).then_some(start + size)
}

/// Behind an escape at a backslash; of half a surrogate pair, behind the other half.
pub fn escape(body: &[u8], at: usize) -> Option<usize> {
    match *body.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => match unit(body, at)? {
            0xd800..=0xdbff => match unit(body, at + 6)? {
                0xdc00..=0xdfff => Some(at + 12),
                _ => None,
            },
            0xdc00..=0xdfff => None,
            _ => Some(at + 6),
        },
        _ => None,
    }
}

/// The code unit of `\u0000`.
fn unit(body: &[u8], at: usize) -> Option<u32> {
    let [b'\\', b'u', hex @ ..] = body.get(at..at + 6)? else {
        return None;
    };
    hex.iter().try_fold(0, |sum, &byte| {
        Some(sum << 4 | char::from(byte).to_digit(16)?)
    })
}
