//! The usual values of a JSON text: strings that become tokens, and tokens that become strings.

use std::borrow::Cow;

use crate::spans::{spliced_length, Splicing};
use crate::strings;
use crate::token::{self, BASE64_PREFIX, PREFIX, SHORT_PREFIX};

/// Return the text of a JSON string literal that may be sealed.
///
/// None for other JSON, and for a text that begins like a token.
#[must_use]
pub fn text_to_seal(literal: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = strings::unquote(literal)?;
    let sealed = [PREFIX, SHORT_PREFIX, BASE64_PREFIX];
    (!sealed.iter().any(|one| text.starts_with(one))).then_some(text)
}

/// What takes the place of a literal, as a JSON string.
pub trait Written {
    /// Return how long the string is, with its quotes; None where it has no spelling.
    fn length(&self) -> Option<usize>;
    /// Write the string into `out`, which has exactly that length.
    fn write(&self, out: &mut [u8]);
}

/// A token in JWE form: the text of its head, its IV, and its ciphertext with the tag.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// The text of the protected header.
    pub head: &'a [u8],
    /// [`token::IV`] bytes.
    pub iv: &'a [u8],
    /// The last [`token::TAG`] bytes are the tag.
    pub sealed: &'a [u8],
}

impl Written for Token<'_> {
    fn length(&self) -> Option<usize> {
        token::text_length(self.head, self.iv, self.sealed)?.checked_add(2)
    }

    fn write(&self, out: &mut [u8]) {
        let last = out.len() - 1;
        out[0] = b'"';
        out[last] = b'"';
        token::write_text(self.head, self.iv, self.sealed, &mut out[1..last]);
    }
}

impl Written for &[u8] {
    fn length(&self) -> Option<usize> {
        strings::quoted_length(self)
    }

    fn write(&self, out: &mut [u8]) {
        strings::quote(self, out);
    }
}

/// A span, what takes its place, and how long that is.
pub struct Change<'a, T> {
    start: usize,
    end: usize,
    new: &'a T,
    length: usize,
}

/// Return what is replaced, in the order of the text, and how long the body is then.
///
/// None where there are not as many spans as new strings, one has no spelling, or spans overlap or
/// lie outside of the body.
pub fn changes<'a, T: Written>(
    body: &[u8],
    spans: &[(usize, usize)],
    new: &'a [T],
) -> Option<(Vec<Change<'a, T>>, usize)> {
    if spans.len() != new.len() {
        return None;
    }
    let mut changes = Vec::with_capacity(spans.len());
    for (&(start, end), new) in spans.iter().zip(new) {
        let length = new.length()?;
        changes.push(Change {
            start,
            end,
            new,
            length,
        });
    }
    changes.sort_by_key(|one| one.start);
    let lengths = changes.iter().map(|one| (one.start, one.end, one.length));
    let size = spliced_length(body.len(), lengths)?;
    Some((changes, size))
}

/// Write the body with its changes into `out`, which has the size that [`changes`] told.
pub fn put<T: Written>(body: &[u8], changes: &[Change<'_, T>], out: &mut [u8]) {
    let mut splicing = Splicing::new(body, out);
    for one in changes {
        one.new
            .write(splicing.replace(one.start, one.end, one.length));
    }
    splicing.finish();
}
