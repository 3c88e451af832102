//! Spans of a body, replaced.

/// Return how long a body is once spans of it are replaced by texts of these lengths.
///
/// None where the spans are not in order and apart, or not within the body.
#[must_use]
pub fn spliced_length(
    size: usize,
    changes: impl Iterator<Item = (usize, usize, usize)>,
) -> Option<usize> {
    let mut length = size;
    let mut at = 0;
    for (start, end, new) in changes {
        if start < at || end < start || end > size {
            return None;
        }
        length = (length - (end - start)).checked_add(new)?;
        at = end;
    }
    Some(length)
}

/// What writes a spliced body from its beginning to its end.
pub struct Splicing<'a> {
    body: &'a [u8],
    out: &'a mut [u8],
    read: usize,
    written: usize,
}

impl<'a> Splicing<'a> {
    /// Begin with a body; `out` has exactly [`spliced_length`].
    #[must_use]
    pub const fn new(body: &'a [u8], out: &'a mut [u8]) -> Self {
        Self {
            body,
            out,
            read: 0,
            written: 0,
        }
    }

    /// Copy the body up to a span, and return where what replaces it is to be written.
    #[must_use]
    pub fn replace(&mut self, start: usize, end: usize, new: usize) -> &mut [u8] {
        self.copy(start);
        self.read = end;
        let at = self.written;
        self.written += new;
        &mut self.out[at..at + new]
    }

    /// Copy the rest of the body.
    pub fn finish(mut self) {
        self.copy(self.body.len());
    }

    fn copy(&mut self, end: usize) {
        let kept = &self.body[self.read..end];
        self.out[self.written..self.written + kept.len()].copy_from_slice(kept);
        self.written += kept.len();
    }
}
