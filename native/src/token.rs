//! The text of tokens in JWE form: `head..iv.ciphertext.tag` (`proxy/core/crypto/token`).

use crate::base64url;

/// base64url of `{"typ":"sy1"`, with which every such token begins.
pub const PREFIX: &[u8] = b"eyJ0eXAiOiJzeTEi";
/// The bytes of an IV.
pub const IV: usize = 12;
/// The bytes of a tag, which are the last ones of what AES-GCM returns.
pub const TAG: usize = 16;
const IV_TEXT: usize = 16;
const TAG_TEXT: usize = 22;
/// `..`, the IV's text, a dot, a dot and the tag's text.
const REST: usize = 2 + IV_TEXT + 1 + 1 + TAG_TEXT;

/// Return how long a token's text is; None for an IV or a tag of another size.
#[must_use]
pub const fn text_length(head: &[u8], iv: &[u8], sealed: &[u8]) -> Option<usize> {
    if iv.len() != IV || sealed.len() < TAG {
        return None;
    }
    Some(head.len() + REST + base64url::encoded_length(sealed.len() - TAG))
}

/// Write a token's text into `out`, which has exactly [`text_length`].
pub fn write_text(head: &[u8], iv: &[u8], sealed: &[u8], out: &mut [u8]) {
    let (ciphertext, tag) = sealed.split_at(sealed.len() - TAG);
    let (out_head, rest) = out.split_at_mut(head.len());
    out_head.copy_from_slice(head);
    rest[..2].copy_from_slice(b"..");
    base64url::encode(iv, &mut rest[2..2 + IV_TEXT]);
    rest[2 + IV_TEXT] = b'.';
    let characters = rest.len() - REST;
    let (middle, end) = rest[3 + IV_TEXT..].split_at_mut(characters);
    base64url::encode(ciphertext, middle);
    end[0] = b'.';
    base64url::encode(tag, &mut end[1..]);
}

/// The parts of a token's text, each still encoded.
pub struct Parts<'a> {
    /// The text of the protected header, of which only [`PREFIX`] is certain.
    pub head: &'a [u8],
    iv: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Return the parts of a text whose dots are where a token has them.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Option<Self> {
        if !text.starts_with(PREFIX) {
            return None;
        }
        let at = memchr::memchr(b'.', text)?;
        let (head, rest) = text.split_at(at);
        let end = rest.len().checked_sub(TAG_TEXT + 1)?;
        let start = 2 + IV_TEXT + 1;
        if end < start || !rest.starts_with(b"..") || rest[start - 1] != b'.' || rest[end] != b'.' {
            return None;
        }
        base64url::decoded_length(end - start)?;
        let (iv, ciphertext, tag) = (&rest[2..start - 1], &rest[start..end], &rest[end + 1..]);
        Some(Self {
            head,
            iv,
            ciphertext,
            tag,
        })
    }

    /// Write the IV into `out`, which has [`IV`] bytes; return whether its text is canonical.
    #[must_use]
    pub fn write_iv(&self, out: &mut [u8]) -> bool {
        base64url::decode(self.iv, out)
    }

    /// Return how many bytes ciphertext and tag take.
    #[must_use]
    pub fn sealed_length(&self) -> usize {
        base64url::decoded_length(self.ciphertext.len()).unwrap_or(0) + TAG
    }

    /// Write ciphertext and tag into `out`, which has exactly [`Self::sealed_length`]; return
    /// whether their text is canonical.
    #[must_use]
    pub fn write_sealed(&self, out: &mut [u8]) -> bool {
        let (ciphertext, tag) = out.split_at_mut(out.len() - TAG);
        base64url::decode(self.ciphertext, ciphertext) && base64url::decode(self.tag, tag)
    }
}
