//! The fields of a head (RFC 9112 section 5), read strictly.

/// A character of a token (RFC 9110 section 5.6.2).
const TOKEN: u8 = 1;
/// A byte that a value may have.
const TEXT: u8 = 2;

const KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // it is below 256
        let one = byte as u8;
        if one.is_ascii_alphanumeric()
            || matches!(
                one,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
                    | b'`' | b'|' | b'~'
            )
        {
            kinds[byte] = TOKEN | TEXT;
        } else if one == b'\t' || (one >= b' ' && one != 0x7f) {
            kinds[byte] = TEXT;
        }
        byte += 1;
    }
    kinds
}

/// Tell `each` name and value of a block of fields and the empty line behind them.
///
/// Return None where the block is malformed, whatever was told before.
pub fn read<'a>(block: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut rest = block;
    while rest != b"\r\n" {
        let colon = rest.iter().position(|&one| KINDS[one as usize] & TOKEN == 0)?;
        if colon == 0 || rest[colon] != b':' {
            return None;
        }
        let (name, behind) = (&rest[..colon], &rest[colon + 1..]);
        let end = behind.iter().position(|&one| KINDS[one as usize] & TEXT == 0)?;
        rest = behind[end..].strip_prefix(b"\r\n")?;
        each(name, trimmed(&behind[..end]));
    }
    Some(())
}

/// Return a value without spaces and tabs around it.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_text = |&one: &u8| one != b' ' && one != b'\t';
    let start = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(start, |last| last + 1);
    &value[start..end]
}
