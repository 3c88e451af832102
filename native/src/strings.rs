//! JSON strings (RFC 8259 section 7) of UTF-8 text.

/// Return how many bytes the text takes as a JSON string; None where it is not UTF-8.
#[must_use]
pub fn quoted_length(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?;
    let more = text
        .iter()
        .map(|&byte| usize::from(MORE[byte as usize]))
        .sum::<usize>();
    Some(text.len() + more + 2)
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
