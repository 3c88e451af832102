//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strictly canonical.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What is above the bits of four characters: some are none of base64url.
const FOREIGN: u32 = 1 << 24;
/// The bits of each character at each of four places, [`FOREIGN`] for any other byte.
static BITS: [[u32; 256]; 4] = bits();

const fn bits() -> [[u32; 256]; 4] {
    let mut bits = [[FOREIGN; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut value = 0_u32;
        while value < 64 {
            bits[place][ALPHABET[value as usize] as usize] = value << (18 - 6 * place);
            value += 1;
        }
        place += 1;
    }
    bits
}

/// Return the bits of up to four characters, the first one's as the highest of 24.
fn bits_of(text: &[u8]) -> u32 {
    text.iter()
        .zip(&BITS)
        .fold(0, |bits, (&byte, place)| bits | place[byte as usize])
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
    BITS[0][byte as usize] != FOREIGN
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

const fn mask(holds: bool) -> u8 {
    0_u8.wrapping_sub(holds as u8)
}

/// Write the bytes of a canonical text into `out`, which has exactly [`decoded_length`].
///
/// Returns whether the text is canonical: only characters of the alphabet, and no bit of the last
/// one unused but set, so that no two texts have the same bytes.
#[must_use]
pub fn decode(text: &[u8], out: &mut [u8]) -> bool {
    let mut seen = 0;
    let mut texts = text.chunks_exact(8);
    let mut places = out.chunks_exact_mut(6);
    for (eight, six) in texts.by_ref().zip(places.by_ref()) {
        let (high, low) = (bits_of(&eight[..4]), bits_of(&eight[4..]));
        seen |= high | low;
        let both = u64::from(high) << 24 | u64::from(low);
        six.copy_from_slice(&both.to_be_bytes()[2..]);
    }
    let mut rest = places.into_remainder();
    for few in texts.remainder().chunks(4) {
        let bits = bits_of(few);
        seen |= bits;
        let Some(size) = decoded_length(few.len()) else {
            return false;
        };
        let (place, behind) = rest.split_at_mut(size);
        let bytes = bits.to_be_bytes();
        place.copy_from_slice(&bytes[1..=size]);
        // Of the last character, no bit may be set that is in none of the bytes.
        if bytes[1 + size..].iter().any(|&unused| unused != 0) {
            return false;
        }
        rest = behind;
    }
    seen & FOREIGN == 0
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
