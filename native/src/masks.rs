//! The masks of WebSocket frames (RFC 6455 section 5.3).

/// So many bytes a mask has.
pub const MASK: usize = 4;

/// So many bytes are masked at a time: two masks.
const WORD: usize = 8;

/// Write data masked, or masked data unmasked: it is the same. `out` is as long as `data`.
pub fn mask(data: &[u8], mask: [u8; MASK], out: &mut [u8]) {
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = data.chunks_exact(WORD);
    let mut written = out.chunks_exact_mut(WORD);
    for (from, to) in words.by_ref().zip(written.by_ref()) {
        let mut bytes = [0; WORD];
        bytes.copy_from_slice(from);
        to.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    let rest = words.remainder().iter().zip(written.into_remainder());
    for ((from, to), one) in rest.zip(mask.into_iter().cycle()) {
        *to = from ^ one;
    }
}
