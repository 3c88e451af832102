//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const FOREIGN: u8 = 0x80;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [FOREIGN; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Return how many characters so many bytes take.
#[must_use]
pub const fn encoded_length(size: usize) -> usize {
    size / 3 * 4 + (size % 3 * 4).div_ceil(3)
}

/// Return how many bytes a canonical text of so many characters has; None for no such length.
#[must_use]
pub const fn decoded_length(characters: usize) -> Option<usize> {
    match characters % 4 {
        1 => None,
        rest => Some(characters / 4 * 3 + rest * 3 / 4),
    }
}

/// Return whether a character is one of base64url.
#[must_use]
pub const fn is_character(byte: u8) -> bool {
    VALUES[byte as usize] != FOREIGN
}

/// Write the text of `data` into `out`, which has exactly [`encoded_length`].
pub fn encode(data: &[u8], out: &mut [u8]) {
    let mut groups = data.chunks_exact(3);
    let mut places = out.chunks_exact_mut(4);
    for (group, place) in groups.by_ref().zip(places.by_ref()) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        place[0] = ALPHABET[(bits >> 18 & 63) as usize];
        place[1] = ALPHABET[(bits >> 12 & 63) as usize];
        place[2] = ALPHABET[(bits >> 6 & 63) as usize];
        place[3] = ALPHABET[(bits & 63) as usize];
    }
    let place = places.into_remainder();
    match *groups.remainder() {
        [one] => {
            place[0] = ALPHABET[(one >> 2) as usize];
            place[1] = ALPHABET[(one << 4 & 63) as usize];
        }
        [one, two] => {
            place[0] = ALPHABET[(one >> 2) as usize];
            place[1] = ALPHABET[((one << 4 | two >> 4) & 63) as usize];
            place[2] = ALPHABET[(two << 2 & 63) as usize];
        }
        _ => {}
    }
}

/// Write the bytes of a canonical text into `out`, which has exactly [`decoded_length`].
///
/// Returns whether the text is canonical: only characters of the alphabet, and no bit of the last
/// one unused but set, so that no two texts have the same bytes.
#[must_use]
pub fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let mut seen = 0;
    let mut groups = text.chunks_exact(4);
    let mut places = out.chunks_exact_mut(3);
    for (group, place) in groups.by_ref().zip(places.by_ref()) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|at: usize| VALUES[group[at] as usize]);
        seen |= a | b | c | d;
        place[0] = a << 2 | b >> 4;
        place[1] = b << 4 | c >> 2;
        place[2] = c << 6 | d;
    }
    let place = places.into_remainder();
    let unused = match *groups.remainder() {
        [a, b] => {
            let [a, b] = [a, b].map(|one| VALUES[one as usize]);
            seen |= a | b;
            place[0] = a << 2 | b >> 4;
            b & 15
        }
        [a, b, c] => {
            let [a, b, c] = [a, b, c].map(|one| VALUES[one as usize]);
            seen |= a | b | c;
            place[0] = a << 2 | b >> 4;
            place[1] = b << 4 | c >> 2;
            c & 3
        }
        [_] => FOREIGN,
        _ => 0,
    };
    seen & FOREIGN == 0 && unused == 0
}
