//! The text of tokens in JWE form: `head..iv.ciphertext.tag` (`proxy/core/crypto/token`).

use memchr::memmem;

use crate::base64url::{self, is_character};

/// base64url of `{"typ":"sy1"`, with which every such token begins.
pub const PREFIX: &[u8] = b"eyJ0eXAiOiJzeTEi";
/// With what every token in the short form begins.
pub const SHORT_PREFIX: &[u8] = b"sy1.";
/// With what every token in the base64 form begins.
pub const BASE64_PREFIX: &[u8] = b"iVNZMUI2NA0K";
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

/// The fewest characters behind [`SHORT_PREFIX`] of a whole token.
const SHORT_LEAST: usize = 79;
/// The fewest that show that a token was cut there, or is in the equal form; the first of them is
/// `A`, or `C` in the equal form.
const SHORT_CUT_LEAST: usize = 12;

/// Call `found` with the place of each text that looks like a token or the beginning of one.
///
/// In order and apart, of those that begin in `at..end` of the text; they may go on behind `end`.
pub fn candidates(text: &[u8], at: usize, end: usize, mut found: impl FnMut(usize, usize)) {
    let within = &text[..end.saturating_add(PREFIX.len() - 1).min(text.len())];
    let mut wholes = Places::new(PREFIX, within, at);
    let mut shorts = Places::new(SHORT_PREFIX, within, at);
    let mut at = at;
    loop {
        let whole = wholes.from(at);
        let short = shorts.from(at);
        let start = whole.min(short);
        if start >= end.min(text.len()) {
            return;
        }
        let length = if start == whole {
            Some(whole_or_cut(&text[start..]))
        } else {
            short_or_cut(&text[start..])
        };
        at = start + length.unwrap_or(1);
        if length.is_some() {
            found(start, at);
        }
    }
}

/// Where a prefix occurs, each place looked for once.
struct Places<'a> {
    finder: memmem::Finder<'a>,
    text: &'a [u8],
    next: usize,
}

impl<'a> Places<'a> {
    fn new(prefix: &'a [u8], text: &'a [u8], at: usize) -> Self {
        let mut places = Self {
            finder: memmem::Finder::new(prefix),
            text,
            next: 0,
        };
        places.look(at);
        places
    }

    /// Return the first place that is not before `at`; `usize::MAX` for none.
    fn from(&mut self, at: usize) -> usize {
        if self.next < at {
            self.look(at);
        }
        self.next
    }

    fn look(&mut self, at: usize) {
        let rest = self.text.get(at..).unwrap_or_default();
        self.next = self.finder.find(rest).map_or(usize::MAX, |more| at + more);
    }
}

/// Return how many characters of base64url the text begins with.
fn run(text: &[u8]) -> usize {
    let other = text.iter().position(|&byte| !is_character(byte));
    other.unwrap_or(text.len())
}

/// Return how long the token in JWE form is, or what is left of one, with which the text begins.
fn whole_or_cut(text: &[u8]) -> usize {
    let head = run(text);
    let rest = &text[head..];
    let Some(first) = rest.strip_prefix(b"..") else {
        return head;
    };
    let iv = run(first);
    let second = first[iv..].strip_prefix(b".");
    let ciphertext = second.map_or(0, run);
    let third = second.and_then(|second| second[ciphertext..].strip_prefix(b"."));
    let tag = third.map_or(0, run);
    let end = head + 2 + iv;
    if iv == IV_TEXT && third.is_some() && tag >= TAG_TEXT {
        return end + 1 + ciphertext + 1 + TAG_TEXT;
    }
    // What is behind a part counts only if there is some of it.
    let without_ciphertext = second.and_then(|second| second.strip_prefix(b"."));
    match (iv, ciphertext, tag) {
        (0, ..) => head,
        (_, 0, _) => match without_ciphertext.map_or(0, run) {
            0 => end,
            more => end + 2 + more,
        },
        (_, _, 0) => end + 1 + ciphertext,
        _ => end + 1 + ciphertext + 1 + tag,
    }
}

/// Return the same for the short form; None for what is neither.
fn short_or_cut(text: &[u8]) -> Option<usize> {
    let rest = &text[SHORT_PREFIX.len()..];
    let length = run(rest);
    let cut = length >= SHORT_CUT_LEAST && matches!(rest[0], b'A' | b'C');
    (cut || length >= SHORT_LEAST).then_some(SHORT_PREFIX.len() + length)
}
