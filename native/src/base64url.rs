//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const FOREIGN: u8 = 0x80;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [FOREIGN; 256];
    let mut value = 0_u8;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
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

/// What is worked on at a time, so that the compiler makes vector instructions of it.
const BLOCK: usize = 48;
const BLOCK_TEXT: usize = 64;

/// Write the text of `data` into `out`, which has exactly [`encoded_length`].
pub fn encode(data: &[u8], out: &mut [u8]) {
    let blocks = data.len() / BLOCK;
    let (whole, rest) = data.split_at(blocks * BLOCK);
    let (out_whole, out_rest) = out.split_at_mut(blocks * BLOCK_TEXT);
    let places = out_whole.chunks_exact_mut(BLOCK_TEXT);
    for (block, place) in whole.chunks_exact(BLOCK).zip(places) {
        for (six, eight) in block.chunks_exact(6).zip(place.chunks_exact_mut(8)) {
            let bytes = [0, 0, six[0], six[1], six[2], six[3], six[4], six[5]];
            eight.copy_from_slice(&spread(u64::from_be_bytes(bytes)).to_be_bytes());
        }
        for one in place {
            *one = character(*one);
        }
    }
    encode_few(rest, out_rest);
}

/// Spread eight times six bits over eight bytes.
const fn spread(bits: u64) -> u64 {
    let bits = (bits & 0xffff_ff00_0000) << 8 | bits & 0xff_ffff;
    let bits = (bits & 0x00ff_f000_00ff_f000) << 4 | bits & 0x0000_0fff_0000_0fff;
    (bits & 0x0fc0_0fc0_0fc0_0fc0) << 2 | bits & 0x003f_003f_003f_003f
}

/// Do the contrary of [`spread`].
const fn gather(bytes: u64) -> u64 {
    let bytes = bytes >> 2 & 0x0fc0_0fc0_0fc0_0fc0 | bytes & 0x003f_003f_003f_003f;
    let bytes = bytes >> 4 & 0x00ff_f000_00ff_f000 | bytes & 0x0000_0fff_0000_0fff;
    bytes >> 8 & 0xffff_ff00_0000 | bytes & 0xff_ffff
}

/// Return the character of a value below 64, without a table.
const fn character(value: u8) -> u8 {
    let upper = value.wrapping_add(b'A');
    let lower = mask(value > 25) & (b'a' - b'Z' - 1);
    let digit = mask(value > 51) & b'0'.wrapping_sub(b'z' + 1);
    let dash = mask(value > 61) & b'-'.wrapping_sub(b'9' + 1);
    let underscore = mask(value > 62) & (b'_' - b'-' - 1);
    let letter = upper.wrapping_add(lower).wrapping_add(digit);
    letter.wrapping_add(dash).wrapping_add(underscore)
}

/// Return the value of a character, without a table; [`FOREIGN`] for any other byte.
const fn value(byte: u8) -> u8 {
    let upper = byte.wrapping_sub(b'A');
    let lower = byte.wrapping_sub(b'a');
    let digit = byte.wrapping_sub(b'0');
    let (is_upper, is_lower, is_digit) = (mask(upper < 26), mask(lower < 26), mask(digit < 10));
    let (is_dash, is_underscore) = (mask(byte == b'-'), mask(byte == b'_'));
    let letters = is_upper & upper | is_lower & lower.wrapping_add(26);
    let others = is_digit & digit.wrapping_add(52) | is_dash & 62 | is_underscore & 63;
    let known = is_upper | is_lower | is_digit | is_dash | is_underscore;
    letters | others | !known & FOREIGN
}

const fn mask(holds: bool) -> u8 {
    0_u8.wrapping_sub(holds as u8)
}

/// Write the bytes of a canonical text into `out`, which has exactly [`decoded_length`].
///
/// Returns whether the text is canonical: only characters of the alphabet, and no bit of the last
/// one unused but set, so that no two texts have the same bytes.
#[must_use]
pub fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let blocks = text.len() / BLOCK_TEXT;
    let (whole, rest) = text.split_at(blocks * BLOCK_TEXT);
    let (out_whole, out_rest) = out.split_at_mut(blocks * BLOCK);
    let mut seen = 0;
    let places = out_whole.chunks_exact_mut(BLOCK);
    for (block, place) in whole.chunks_exact(BLOCK_TEXT).zip(places) {
        let mut values = [0; BLOCK_TEXT];
        for (one, byte) in values.iter_mut().zip(block) {
            *one = value(*byte);
        }
        seen |= values.iter().fold(0, |all, one| all | one);
        for (eight, six) in values.chunks_exact(8).zip(place.chunks_exact_mut(6)) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(eight);
            six.copy_from_slice(&gather(u64::from_be_bytes(bytes)).to_be_bytes()[2..]);
        }
    }
    decode_few(rest, out_rest) && seen & FOREIGN == 0
}

fn encode_few(data: &[u8], out: &mut [u8]) {
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

fn decode_few(text: &[u8], out: &mut [u8]) -> bool {
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
