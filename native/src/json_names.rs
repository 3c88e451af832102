//! Which ASCII names of members some readers take for another, as `expressions/name_readings` has it.

/// Names that lead to every other, to some readers.
const PROTOTYPES: [&[u8]; 3] = [b"__proto__", b"constructor", b"prototype"];

/// Whether some readers take a member's name for one of others, or for a part of it.
///
/// All are ASCII without control characters; the others are given as [`folded`] returns them.
pub fn reads_as_one<'a>(name: &[u8], mut others: impl Iterator<Item = &'a [u8]>) -> bool {
    if PROTOTYPES.contains(&name) {
        return true;
    }
    if name.iter().all(u8::is_ascii_alphanumeric) {
        return others.any(|other| name.eq_ignore_ascii_case(other)); // as nearly all are
    }
    let step = first_step(name);
    others.any(|other| {
        folded(name).eq(other.iter().copied())
            || step.is_some_and(|step| folded(step).eq(other.iter().copied()))
    })
}

/// The common form of all twins of a name: leading `_` and `-` stay, all others and case go.
pub fn folded(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let start = name.iter().take_while(|&&byte| byte == b' ').count();
    let end = name.len()
        - name[start..]
            .iter()
            .rev()
            .take_while(|&&byte| byte == b' ')
            .count();
    let name = &name[start..end];
    let leading = name
        .iter()
        .take_while(|byte| matches!(byte, b'_' | b'-'))
        .count();
    let (before, bare) = name.split_at(leading);
    let bare = bare
        .iter()
        .filter(|byte| !matches!(byte, b'_' | b'-' | b' '));
    before
        .iter()
        .copied()
        .chain(bare.map(u8::to_ascii_lowercase))
}

/// The first step of a name that some read as a path: `a` of `a.b`, `a[b]`, `[]a` and `['a']`; or as
/// a part: `a` of `a(1)`. One in double quotes has escapes, and comes to no native leaf.
fn first_step(name: &[u8]) -> Option<&[u8]> {
    let is_joint = |byte: &u8| matches!(byte, b'.' | b'[' | b']');
    let passed = match name.first() {
        Some(b'[' | b']') => name.iter().take_while(|byte| is_joint(byte)).count(),
        _ => 0,
    };
    let (before, rest) = name.split_at(passed);
    if before.ends_with(b"[") && rest.starts_with(b"'") {
        let quoted = &rest[1..];
        if let Some(at) = quoted.windows(2).skip(1).position(|pair| pair == b"']") {
            return Some(&quoted[..=at]);
        }
    }
    match rest.iter().position(is_joint) {
        Some(size) => (size > 0).then(|| &rest[..size]),
        None if passed > 0 => (!rest.is_empty()).then_some(rest),
        None => numbered(rest),
    }
}

/// What a name in ASCII is numbered as a part of: `a` of `a(1)`, `a(2i)`.
fn numbered(name: &[u8]) -> Option<&[u8]> {
    let inner = name.strip_suffix(b")")?;
    let start = inner.iter().rposition(|&byte| byte == b'(')?;
    let number = &inner[start + 1..];
    let digits = match number.split_last() {
        Some((last, before)) if last.is_ascii_lowercase() => before,
        _ => number,
    };
    (start > 0 && digits.iter().all(u8::is_ascii_digit)).then(|| &name[..start])
}
