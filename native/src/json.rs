//! Where the values at plain paths lie in one strict JSON text (RFC 8259).
//!
//! What is found here is what the walk of the Python core finds, to the byte. Where the walk would
//! refuse the text, or where another name might be read as one on a path, nothing is found: the
//! walk tells why. Functions recurse along a path alone, of at most 64 steps.

use crate::json_names::{folded, reads_as_one};
use crate::json_tokens::{escape, literal, marks, number, space};
use crate::strings::has_control;
use memchr::memchr2;

/// Levels of nesting, commas and brackets, and selected values that a text may have.
const MAX_DEPTH: usize = 128;
const MAX_VALUES: usize = 1_000_000;
const SELECTED_MAX: usize = 30_000;
/// Paths of one Finder, so that a mask of them is one word, and steps of one path.
const PATHS_MAX: usize = 64;
pub(crate) const STEPS_MAX: usize = 64;
/// So much is read between two pauses: less than a millisecond.
const PIECE_BYTES: usize = 256 * 1024;
/// Shorter strings are read by eight bytes, which costs less than to begin a search.
const SHORT: usize = 16;

/// A place in the tree of paths.
#[derive(Default)]
struct Node {
    names: Vec<Name>,
    any: Option<Box<Node>>,
    /// The paths that end here.
    ends: Vec<usize>,
    /// A mask of the paths that lead on from here, and one of these and those that end here.
    beyond: u64,
    below: u64,
}

struct Name {
    spelled: Box<[u8]>,
    folded: Box<[u8]>,
    child: Node,
}

impl Node {
    fn insert(&mut self, path: usize, steps: &[Option<String>]) {
        self.below |= 1 << path;
        let Some((step, rest)) = steps.split_first() else {
            self.ends.push(path);
            return;
        };
        self.beyond |= 1 << path;
        let child = match step {
            None => self.any.get_or_insert_with(Box::default),
            Some(name) => {
                let at = self.place(name.as_bytes()).unwrap_or_else(|| {
                    self.names.push(Name {
                        spelled: name.as_bytes().into(),
                        folded: folded(name.as_bytes()).collect(),
                        child: Node::default(),
                    });
                    self.names.len() - 1
                });
                &mut self.names[at].child
            }
        };
        child.insert(path, rest);
    }

    /// Whether a path ends at this element, or at one of its elements.
    fn ends_a_path(&self) -> bool {
        !self.ends.is_empty() || self.any.as_ref().is_some_and(|any| any.ends_a_path())
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|one| *one.spelled == *name)
    }
}

/// What was found: a mask of the paths at which something is missing, and each path's values flat:
/// where one starts and ends, and the index of each `*` on the path.
pub type Found = (u64, Vec<Vec<usize>>);

/// One scan of one text. Each of its functions returns None where it is not certain.
pub(crate) struct Scan<'a, P> {
    pub(crate) body: &'a [u8],
    depth: usize,
    room: usize,
    indexes: Vec<usize>,
    missing: u64,
    values: Vec<Vec<usize>>,
    /// Where the next pause is due, and what it is; it returns whether to go on.
    due: usize,
    pause: P,
}

impl<'a, P: FnMut() -> bool> Scan<'a, P> {
    /// Begin with a text, and with no values at so many paths.
    pub(crate) fn new(body: &'a [u8], paths: usize, pause: P) -> Self {
        Self {
            body,
            depth: 0,
            room: SELECTED_MAX,
            indexes: Vec::new(),
            missing: 0,
            values: vec![Vec::new(); paths],
            due: PIECE_BYTES,
            pause,
        }
    }

    fn text(mut self, root: &Node) -> Option<Found> {
        self.is_in_order()?;
        let start = space(self.body, 0);
        let end = self.value(start, root)?;
        (space(self.body, end) == self.body.len()).then_some((self.missing, self.values))
    }

    /// Whether the text is UTF-8, and has no more commas and brackets than are allowed.
    fn is_in_order(&mut self) -> Option<()> {
        let mut at = 0;
        let mut marks = 0;
        while at < self.body.len() {
            let piece = &self.body[at..self.body.len().min(at + PIECE_BYTES)];
            let size = match std::str::from_utf8(piece) {
                Ok(_) => piece.len(),
                // A character may be cut at the end of a piece, but not at that of the text.
                Err(error) if error.error_len().is_none() && at + piece.len() < self.body.len() => {
                    error.valid_up_to()
                }
                Err(_) => return None,
            };
            if self.body.len() > MAX_VALUES {
                marks += marks_in(&piece[..size]);
                if marks > MAX_VALUES {
                    return None;
                }
            }
            at += size;
            if at < self.body.len() && !(self.pause)() {
                return None;
            }
        }
        Some(())
    }

    fn pause_if_due(&mut self, at: usize) -> Option<()> {
        if at < self.due {
            return Some(());
        }
        self.due = at + PIECE_BYTES;
        (self.pause)().then_some(())
    }

    /// Go into an object or a list.
    pub(crate) fn enter(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())
    }

    /// Go out of it again.
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    fn value(&mut self, at: usize, node: &Node) -> Option<usize> {
        let end = match (*self.body.get(at)?, &node.any) {
            (b'{', Some(_)) => return None, // the walk goes through all members
            (b'{', None) if !node.names.is_empty() => self.object(at, node)?,
            (b'[', Some(any)) => self.array(at, node, any)?,
            // To some readers it is a list of one, unless it is null.
            (first, Some(any)) if first != b'n' && any.ends_a_path() => return None,
            _ => {
                self.missing |= node.beyond;
                self.skip(at)?
            }
        };
        if !node.ends.is_empty() {
            self.select(at, end, node)?;
        }
        Some(end)
    }

    fn select(&mut self, start: usize, end: usize, node: &Node) -> Option<()> {
        self.room = self.room.checked_sub(node.ends.len())?;
        for &path in &node.ends {
            if &self.body[start..end] == b"null" {
                self.missing |= 1 << path;
            } else {
                self.values[path].extend([start, end]);
                self.values[path].extend(&self.indexes);
            }
        }
        Some(())
    }

    /// An object on a path, of whose members only names matter.
    fn object(&mut self, at: usize, node: &Node) -> Option<usize> {
        self.enter()?;
        let mut seen = 0u64;
        let mut at = space(self.body, at + 1);
        if *self.body.get(at)? != b'}' {
            loop {
                self.pause_if_due(at)?;
                let (name, start) = self.name(at)?;
                if !name.is_ascii() || name.contains(&b'\\') {
                    return None;
                }
                if let Some(place) = node.place(name) {
                    if seen >> place & 1 == 1 {
                        return None;
                    }
                    seen |= 1 << place;
                    at = self.value(start, &node.names[place].child)?;
                } else {
                    if reads_as_one(name, node.names.iter().map(|one| &*one.folded)) {
                        return None;
                    }
                    at = self.skip(start)?;
                }
                at = space(self.body, at);
                match *self.body.get(at)? {
                    b',' => at = space(self.body, at + 1),
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.leave();
        for (place, one) in node.names.iter().enumerate() {
            if seen >> place & 1 == 0 {
                self.missing |= one.child.below;
            }
        }
        Some(at + 1)
    }

    /// An array on a path, of which every element matters.
    fn array(&mut self, at: usize, node: &Node, any: &Node) -> Option<usize> {
        self.enter()?;
        for one in &node.names {
            self.missing |= one.child.below;
        }
        let mut at = space(self.body, at + 1);
        if *self.body.get(at)? == b']' {
            self.missing |= any.below;
        } else {
            self.indexes.push(0);
            loop {
                self.pause_if_due(at)?;
                at = self.value(at, any)?;
                at = space(self.body, at);
                match *self.body.get(at)? {
                    b',' => at = space(self.body, at + 1),
                    b']' => break,
                    _ => return None,
                }
                *self.indexes.last_mut()? += 1;
            }
            self.indexes.pop();
        }
        self.leave();
        Some(at + 1)
    }

    /// Where a value ends of which nothing else matters.
    pub(crate) fn skip(&mut self, mut at: usize) -> Option<usize> {
        let mut level = 0;
        let mut objects = 0u128; // whether each level is an object, the innermost as the lowest bit
        loop {
            self.pause_if_due(at)?;
            match *self.body.get(at)? {
                b'"' => at = self.string(at)?,
                opening @ (b'{' | b'[') => {
                    if self.depth + level == MAX_DEPTH {
                        return None;
                    }
                    at = space(self.body, at + 1);
                    // In ASCII, a closing bracket is the second after its opening one.
                    if *self.body.get(at)? == opening + 2 {
                        at += 1;
                    } else {
                        level += 1;
                        objects = objects << 1 | u128::from(opening == b'{');
                        if opening == b'{' {
                            at = self.name(at)?.1;
                        }
                        continue;
                    }
                }
                b't' => at = literal(self.body, at, b"true")?,
                b'f' => at = literal(self.body, at, b"false")?,
                b'n' => at = literal(self.body, at, b"null")?,
                _ => at = number(self.body, at)?,
            }
            loop {
                if level == 0 {
                    return Some(at);
                }
                at = space(self.body, at);
                let in_object = objects & 1 == 1;
                match (*self.body.get(at)?, in_object) {
                    (b',', true) => {
                        at = self.name(space(self.body, at + 1))?.1;
                        break;
                    }
                    (b',', false) => {
                        at = space(self.body, at + 1);
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        at += 1;
                        level -= 1;
                        objects >>= 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// A member's name as it is spelled, and where its value begins.
    pub(crate) fn name(&mut self, at: usize) -> Option<(&'a [u8], usize)> {
        let end = self.string(at)?;
        let colon = space(self.body, end);
        if *self.body.get(colon)? != b':' {
            return None;
        }
        Some((&self.body[at + 1..end - 1], space(self.body, colon + 1)))
    }

    /// Where a string ends, its quotes included.
    pub(crate) fn string(&mut self, at: usize) -> Option<usize> {
        if *self.body.get(at)? != b'"' {
            return None;
        }
        let mut at = at + 1;
        loop {
            self.pause_if_due(at)?;
            at = self.plain(at)?;
            if self.body[at] == b'"' {
                return Some(at + 1);
            }
            at = escape(self.body, at)?;
        }
    }

    /// Where the next quote or backslash of a string is.
    fn plain(&mut self, start: usize) -> Option<usize> {
        let mut at = start;
        while at < start + SHORT {
            let Some(found) = marks(self.body, at) else {
                break; // near the end of the text
            };
            if found < 8 {
                at += found;
                return (self.body[at] >= 0x20).then_some(at);
            }
            at += 8;
        }
        loop {
            self.pause_if_due(at)?;
            let piece = &self.body[at..self.body.len().min(at + PIECE_BYTES)];
            let size = memchr2(b'"', b'\\', piece).unwrap_or(piece.len());
            if has_control(&piece[..size]) {
                return None;
            }
            at += size;
            if size < piece.len() {
                return Some(at);
            }
            if at == self.body.len() {
                return None;
            }
        }
    }
}

/// Paths of names and `*`, made ready to be found.
pub struct Paths {
    root: Node,
    count: usize,
}

impl Paths {
    /// Make ready to find values at `paths`, in which None is `*`. None for more than 64 paths, more
    /// than 64 steps, or a name that has other characters than printable ASCII, or must be escaped.
    #[must_use]
    pub fn new(paths: &[Vec<Option<String>>]) -> Option<Self> {
        let mut root = Node::default();
        if paths.len() > PATHS_MAX {
            return None;
        }
        for (path, steps) in paths.iter().enumerate() {
            if steps.len() > STEPS_MAX || !steps.iter().flatten().all(|name| is_plain(name)) {
                return None;
            }
            root.insert(path, steps);
        }
        Some(Self {
            root,
            count: paths.len(),
        })
    }

    /// Find the values in a text. None where that is not certain, or where `pause`, which is called
    /// between pieces of 256 KiB, returns false.
    pub fn find(&self, body: &[u8], pause: impl FnMut() -> bool) -> Option<Found> {
        Scan::new(body, self.count, pause).text(&self.root)
    }
}

/// How many commas and opening brackets there are, counted in lanes of a byte for many at once.
fn marks_in(text: &[u8]) -> usize {
    text.chunks(usize::from(u8::MAX))
        .map(|chunk| {
            usize::from(chunk.iter().fold(0u8, |count, byte| {
                count.wrapping_add(u8::from(matches!(byte, b',' | b'[' | b'{')))
            }))
        })
        .sum()
}

fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}
