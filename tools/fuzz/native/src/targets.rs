//! The targets: each takes any bytes, and panics only where a law of the native leaves is broken.
//!
//! `./dev fuzz` compares the same functions with Python's; here the sanitizer watches them, and
//! the laws are those that need no reference.

use sealyard_native::{base64url, fields, json, masks, spans, strings, token, values};

pub type Target = fn(&[u8]);

pub const TARGETS: [(&str, Target); 10] = [
    ("base64url", encoding),
    ("tokens", tokens),
    ("strings", quoting),
    ("spans", splicing),
    ("unquote", unquoting),
    ("search", searching),
    ("json", finding),
    ("masks", masking),
    ("fields", reading),
    ("values", putting),
];

/// What decodes is the canonical text of what it decodes to, and everything encodes.
fn encoding(data: &[u8]) {
    let text = encoded(data);
    assert_eq!(decoded(&text).as_deref(), Some(data), "what is encoded does not come back");
    if let Some(bytes) = decoded(data) {
        assert_eq!(encoded(&bytes), data, "two texts have the same bytes");
    }
}

fn encoded(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; base64url::encoded_length(data.len())];
    base64url::encode(data, &mut out);
    out
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; base64url::decoded_length(text.len())?];
    base64url::decode(text, &mut out).then_some(out)
}

/// A token's text has one spelling, and what is written as one is read as the same parts.
fn tokens(data: &[u8]) {
    if let Some((head, iv, sealed)) = parted(data) {
        assert_eq!(written(&head, &iv, &sealed).as_deref(), Some(data), "a token has two spellings");
    }
    if data.len() >= token::IV {
        let (iv, sealed) = data.split_at(token::IV);
        if let Some(text) = written(token::PREFIX, iv, sealed) {
            let parts = (token::PREFIX.to_vec(), iv.to_vec(), sealed.to_vec());
            assert_eq!(parted(&text), Some(parts), "what is written is not read");
        }
    }
}

type Parted = (Vec<u8>, Vec<u8>, Vec<u8>);

fn parted(text: &[u8]) -> Option<Parted> {
    let parts = token::Parts::of(text)?;
    let mut iv = vec![0; token::IV];
    let mut sealed = vec![0; parts.sealed_length()];
    let canonical = parts.write_iv(&mut iv) && parts.write_sealed(&mut sealed);
    canonical.then(|| (parts.head.to_vec(), iv, sealed))
}

fn written(head: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; token::text_length(head, iv, sealed)?];
    token::write_text(head, iv, sealed, &mut out);
    Some(out)
}

/// UTF-8 and nothing else is quoted, with the fewest escapes.
fn quoting(data: &[u8]) {
    let text = std::str::from_utf8(data).ok();
    let quoted = quoted(data);
    assert_eq!(quoted, text.map(naively_quoted), "a text is quoted in another way");
}

fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; strings::quoted_length(text)?];
    strings::quote(text, &mut out);
    Some(out)
}

/// The text of a literal is UTF-8, and is the text of its own literal.
fn unquoting(data: &[u8]) {
    let literal = [b"\"", data, b"\""].concat();
    for one in [data, &literal] {
        if let Some(text) = strings::unquote(one) {
            let again = quoted(&text).expect("a literal has a text that is not UTF-8");
            assert_eq!(strings::unquote(&again), Some(text), "a text does not come back");
        }
    }
    if let Some(quoted) = quoted(data) {
        assert_eq!(strings::unquote(&quoted).as_deref(), Some(data), "a text does not come back");
    }
}

/// Candidates are in order and apart, and the same wherever a search is divided.
fn searching(data: &[u8]) {
    let Some((&cut, text)) = data.split_first() else { return };
    let whole = candidates(text, 0, text.len());
    let mut at = 0;
    for &(start, end) in &whole {
        assert!(at <= start && start < end && end <= text.len(), "a candidate is out of place");
        at = end;
    }
    let cut = usize::from(cut) * (text.len() + 1) / 256;
    let mut parted = candidates(text, 0, cut);
    let begun = parted.last().map_or(0, |one| one.1).max(cut);
    parted.extend(candidates(text, begun, text.len()));
    assert_eq!(parted, whole, "a divided search finds something else");
}

fn candidates(text: &[u8], at: usize, end: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    token::candidates(text, at, end, |start, end| found.push((start, end)));
    found
}

fn naively_quoted(text: &str) -> Vec<u8> {
    let mut out = String::from('"');
    for one in text.chars() {
        match one {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(one))),
            _ => out.push(one),
        }
    }
    out.push('"');
    out.into_bytes()
}

/// Spans that are in order and apart are replaced, and nothing else changes.
fn splicing(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return };
    let size = usize::from(count) % 8 * 3;
    if rest.len() < size {
        return;
    }
    let (numbers, body) = rest.split_at(size);
    let changes: Vec<(usize, usize, &[u8])> = numbers
        .chunks_exact(3)
        .map(|one| {
            let text = &body[..usize::from(one[2]).min(body.len())];
            (usize::from(one[0]), usize::from(one[1]), text)
        })
        .collect();
    let lengths = changes.iter().map(|&(start, end, text)| (start, end, text.len()));
    let spliced = spans::spliced_length(body.len(), lengths).map(|size| {
        let mut out = vec![0; size];
        let mut splicing = spans::Splicing::new(body, &mut out);
        for &(start, end, text) in &changes {
            splicing.replace(start, end, text.len()).copy_from_slice(text);
        }
        splicing.finish();
        out
    });
    assert_eq!(spliced, naively_spliced(body, &changes), "a splice changes something else");
}

fn naively_spliced(body: &[u8], changes: &[(usize, usize, &[u8])]) -> Option<Vec<u8>> {
    let (mut out, mut at) = (Vec::new(), 0);
    for &(start, end, text) in changes {
        if at > start || start > end {
            return None;
        }
        out.extend_from_slice(body.get(at..start)?);
        out.extend_from_slice(text);
        at = end;
    }
    out.extend_from_slice(body.get(at..)?);
    Some(out)
}

const PATHS: [&[&[&str]]; 6] = [
    &[],
    &[&["a"], &["content"]],
    &[&["content"], &["list", "*", "text"], &["id"]],
    &[&["a", "*", "b"], &["a", "*", "*", "c"], &["b", "a"]],
    &[&["*", "a"], &["*", "*"]],
    &[&["a", "b", "a", "b"], &["a", "b", "c"], &["a"]],
];

/// What is found are values of strict JSON in order, and remains what is found once they change.
fn finding(data: &[u8]) {
    let Some((&choice, body)) = data.split_first() else { return };
    let chosen = PATHS[usize::from(choice) % PATHS.len()];
    let Some((missing, values)) = found(chosen, body) else { return };
    assert!(found(&[], body).is_some(), "values are found in what is no JSON");
    for (number, (path, flat)) in chosen.iter().zip(&values).enumerate() {
        let every = 2 + path.iter().filter(|step| **step == "*").count();
        assert_eq!(flat.len() % every, 0, "a value has no place");
        assert!(!flat.is_empty() || missing >> number & 1 == 1, "nothing is found, nor missing");
        let mut at = 0;
        for one in flat.chunks_exact(every) {
            let (start, end) = (one[0], one[1]);
            assert!(at <= start && start < end && end <= body.len(), "a value is out of place");
            at = end;
            assert!(found(&[], &body[start..end]).is_some(), "a value is no JSON");
            let spliced = [&body[..start], b"0", &body[end..]].concat();
            assert!(found(&[], &spliced).is_some(), "a splice leaves no JSON");
        }
    }
}

type Found = (u64, Vec<Vec<usize>>);

fn found(paths: &[&[&str]], body: &[u8]) -> Option<Found> {
    let step = |one: &&str| (*one != "*").then(|| (*one).to_owned());
    let paths: Vec<Vec<_>> = paths.iter().map(|path| path.iter().map(step).collect()).collect();
    json::Paths::new(&paths)?.find(body, || true)
}

/// Each byte is under its part of the mask, and comes back.
fn masking(data: &[u8]) {
    let Some((&mask, data)) = data.split_first_chunk() else { return };
    let masked = masked(data, mask);
    let naively: Vec<u8> = data.iter().zip(mask.iter().cycle()).map(|(one, key)| one ^ key).collect();
    assert_eq!(masked, naively, "a byte is under another part of the mask");
    assert_eq!(self::masked(&masked, mask), data, "what is masked does not come back");
}

fn masked(data: &[u8], mask: [u8; masks::MASK]) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    masks::mask(data, mask, &mut out);
    out
}

/// What is read is written as the same fields, and these are read as themselves.
fn reading(data: &[u8]) {
    let Some((odd, pairs)) = read(data) else { return };
    let written: Vec<u8> = pairs
        .iter()
        .flat_map(|(name, value)| [name, &b":"[..], value, b"\r\n"].concat())
        .chain(*b"\r\n")
        .collect();
    assert_eq!(read(&written), Some((odd, pairs)), "fields do not come back");
    assert!(written.len() <= data.len(), "fields have more than was there");
}

type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

fn read(block: &[u8]) -> Option<(bool, Pairs<'_>)> {
    let mut pairs = Vec::new();
    let odd = fields::read(block, |name, value| pairs.push((name, value)))?;
    Some((odd, pairs))
}

/// A text that may be sealed is put back as the same text.
fn putting(data: &[u8]) {
    let Some(text) = values::text_to_seal(data) else {
        return;
    };
    let spans = [(0, data.len())];
    let texts = [&*text];
    let (changes, size) = values::changes(data, &spans, &texts).expect("a text has no spelling");
    let mut out = vec![0; size];
    values::put(data, &changes, &mut out);
    assert_eq!(values::text_to_seal(&out).as_deref(), Some(&*text), "a text is put otherwise");
}
