//! The border to Python: arguments and results, and when the interpreter's lock is released.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::base64url;
use crate::json_border;
use crate::masks;
use crate::spans::{spliced_length, Splicing};
use crate::strings;
use crate::values;
use crate::token::{self, Parts};

/// From so many bytes on, other threads may run meanwhile.
const LARGE: usize = 64 * 1024;

type PyText<'py> = Bound<'py, PyBytes>;

/// Run `write`, without the interpreter's lock if it is long.
fn work<T: Send>(py: Python<'_>, size: usize, write: impl FnOnce() -> T + Send) -> T {
    if size < LARGE {
        write()
    } else {
        py.allow_threads(write)
    }
}

/// Return new bytes of this size, written once.
fn written(
    py: Python<'_>,
    size: usize,
    write: impl FnOnce(&mut [u8]) + Send,
) -> PyResult<PyText<'_>> {
    PyBytes::new_bound_with(py, size, |out| {
        work(py, size, || write(out));
        Ok(())
    })
}

#[pyfunction]
#[pyo3(signature = (data, /))]
fn encode<'py>(py: Python<'py>, data: &[u8]) -> PyResult<PyText<'py>> {
    written(py, base64url::encoded_length(data.len()), |out| {
        base64url::encode(data, out);
    })
}

#[pyfunction]
#[pyo3(signature = (text, /))]
fn decode<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Option<PyText<'py>>> {
    let Some(size) = base64url::decoded_length(text.len()) else {
        return Ok(None);
    };
    let mut canonical = false;
    let data = written(py, size, |out| canonical = base64url::decode(text, out))?;
    Ok(canonical.then_some(data))
}

#[pyfunction]
#[pyo3(signature = (head, iv, sealed, /))]
fn token_text<'py>(
    py: Python<'py>,
    head: &[u8],
    iv: &[u8],
    sealed: &[u8],
) -> PyResult<PyText<'py>> {
    let size = token::text_length(head, iv, sealed)
        .ok_or_else(|| PyValueError::new_err("an IV has 12 bytes and a tag 16"))?;
    written(py, size, |out| token::write_text(head, iv, sealed, out))
}

/// Names and values, the names in lower case, and whether a name has an unusual character.
type PyFields<'py> = (Bound<'py, PyTuple>, PyText<'py>);

#[pyfunction]
#[pyo3(signature = (data, start, end, /))]
fn fields<'py>(
    py: Python<'py>,
    data: &[u8],
    start: usize,
    end: usize,
) -> Option<PyFields<'py>> {
    let block = data.get(start..end.min(data.len()))?;
    let mut pairs = Vec::new();
    let mut lows = Vec::with_capacity(block.len());
    crate::fields::read(block, |name, value| {
        lows.push(b':');
        lows.extend(name.iter().map(u8::to_ascii_lowercase));
        pairs.push((PyBytes::new_bound(py, name), PyBytes::new_bound(py, value)));
    })?;
    Some((PyTuple::new_bound(py, pairs), PyBytes::new_bound(py, &lows)))
}

/// Head text, IV, and ciphertext with tag.
type PyParts<'py> = (PyText<'py>, PyText<'py>, PyText<'py>);

#[pyfunction]
#[pyo3(signature = (text, /))]
fn token_parts<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Option<PyParts<'py>>> {
    parts_of(py, text, &mut None)
}

#[pyfunction]
#[pyo3(signature = (body, places, /))]
fn tokens_at<'py>(
    py: Python<'py>,
    body: &[u8],
    places: Vec<isize>,
) -> PyResult<Vec<Option<PyParts<'py>>>> {
    if places.len() % 2 != 0 {
        return Err(PyValueError::new_err("a place has a start and an end"));
    }
    let mut head = None;
    let spans = places.chunks_exact(2);
    spans
        .map(|span| match literal_at(body, span[0], span[1]) {
            Some([b'"', text @ .., b'"']) => parts_of(py, text, &mut head),
            _ => Ok(None),
        })
        .collect()
}

fn literal_at(body: &[u8], start: isize, end: isize) -> Option<&[u8]> {
    body.get(start.try_into().ok()?..end.try_into().ok()?)
}

/// Return the parts of a token; a head like the last one is the same object, as in most lists.
fn parts_of<'py>(
    py: Python<'py>,
    text: &[u8],
    last: &mut Option<PyText<'py>>,
) -> PyResult<Option<PyParts<'py>>> {
    let Some(parts) = Parts::of(text) else {
        return Ok(None);
    };
    let mut iv = [0; token::IV];
    let mut canonical = parts.write_iv(&mut iv);
    let sealed = written(py, parts.sealed_length(), |out| {
        canonical &= parts.write_sealed(out);
    })?;
    if !canonical {
        return Ok(None);
    }
    let head = match last.take() {
        Some(known) if known.as_bytes() == parts.head => known,
        _ => PyBytes::new_bound(py, parts.head),
    };
    *last = Some(head.clone());
    Ok(Some((head, PyBytes::new_bound(py, &iv), sealed)))
}

#[pyfunction]
#[pyo3(signature = (data, mask, /))]
fn masking<'py>(py: Python<'py>, data: &[u8], mask: &[u8]) -> PyResult<PyText<'py>> {
    let mask = <[u8; masks::MASK]>::try_from(mask)
        .map_err(|_| PyValueError::new_err("a mask has 4 bytes"))?;
    written(py, data.len(), |out| masks::mask(data, mask, out))
}

#[pyfunction]
#[pyo3(signature = (utf8, /))]
fn quote<'py>(py: Python<'py>, utf8: &[u8]) -> PyResult<Option<PyText<'py>>> {
    let Some(size) = work(py, utf8.len(), || strings::quoted_length(utf8)) else {
        return Ok(None);
    };
    written(py, size, |out| strings::quote(utf8, out)).map(Some)
}

#[pyfunction]
#[pyo3(signature = (literal, /))]
fn unquote<'py>(py: Python<'py>, literal: &[u8]) -> PyResult<Option<PyText<'py>>> {
    let Some(text) = work(py, literal.len(), || strings::unquote(literal)) else {
        return Ok(None);
    };
    written(py, text.len(), |out| out.copy_from_slice(&text)).map(Some)
}

#[pyfunction]
#[pyo3(signature = (text, at, end, /))]
fn candidates(py: Python<'_>, text: &[u8], at: usize, end: usize) -> Vec<usize> {
    work(py, text.len(), || {
        let mut places = Vec::new();
        token::candidates(text, at, end, |start, end| places.extend([start, end]));
        places
    })
}

/// Return the spans with their texts; None where a place is negative.
fn replaced<'a>(places: &[isize], texts: &[&'a [u8]]) -> Option<Vec<(usize, usize, &'a [u8])>> {
    let spans = places.chunks_exact(2).zip(texts);
    spans
        .map(|(span, text)| Some((span[0].try_into().ok()?, span[1].try_into().ok()?, *text)))
        .collect()
}

#[pyfunction]
#[pyo3(signature = (body, places, texts, /))]
fn splice<'py>(
    py: Python<'py>,
    body: &[u8],
    places: Vec<isize>,
    texts: &Bound<'py, PyList>,
) -> PyResult<Option<PyText<'py>>> {
    let texts = texts
        .iter()
        .map(|one| Ok(one.downcast_into::<PyBytes>()?))
        .collect::<PyResult<Vec<_>>>()?;
    if places.len() != texts.len() * 2 {
        return Ok(None);
    }
    let texts: Vec<_> = texts.iter().map(|one| one.as_bytes()).collect();
    let Some(changes) = work(py, body.len(), || replaced(&places, &texts)) else {
        return Ok(None);
    };
    let lengths = changes
        .iter()
        .map(|&(start, end, text)| (start, end, text.len()));
    let Some(size) = spliced_length(body.len(), lengths) else {
        return Ok(None);
    };
    let splice = |out: &mut [u8]| {
        let mut splicing = Splicing::new(body, out);
        for &(start, end, text) in &changes {
            splicing
                .replace(start, end, text.len())
                .copy_from_slice(text);
        }
        splicing.finish();
    };
    written(py, size, splice).map(Some)
}

/// The spans that places name, in order; None where one is negative, or a place has no end.
fn spans_of(places: &[isize]) -> Option<Vec<(usize, usize)>> {
    let spans = places.chunks(2).map(|span| match span {
        [start, end] => Some(((*start).try_into().ok()?, (*end).try_into().ok()?)),
        _ => None,
    });
    spans.collect()
}

fn bytes_of<'py>(texts: &Bound<'py, PyList>) -> PyResult<Vec<PyText<'py>>> {
    let each = texts.iter().map(|one| Ok(one.downcast_into::<PyBytes>()?));
    each.collect()
}

#[pyfunction]
#[pyo3(signature = (body, places, /))]
fn texts_at<'py>(
    py: Python<'py>,
    body: &[u8],
    places: Vec<isize>,
) -> Option<Vec<PyText<'py>>> {
    let texts = spans_of(&places)?
        .into_iter()
        .map(|(start, end)| values::text_to_seal(body.get(start..end)?))
        .collect::<Option<Vec<_>>>()?;
    let texts = texts.iter().map(|text| PyBytes::new_bound(py, text));
    Some(texts.collect())
}

#[pyfunction]
#[pyo3(signature = (body, places, heads, ivs, sealed, /))]
fn put_tokens<'py>(
    py: Python<'py>,
    body: &[u8],
    places: Vec<isize>,
    heads: &Bound<'py, PyList>,
    ivs: &[u8],
    sealed: &Bound<'py, PyList>,
) -> PyResult<Option<PyText<'py>>> {
    let (heads, sealed) = (bytes_of(heads)?, bytes_of(sealed)?);
    let Some(spans) = spans_of(&places) else {
        return Ok(None);
    };
    if heads.len() != sealed.len() || ivs.len() != heads.len() * token::IV {
        return Ok(None);
    }
    let each = heads.iter().zip(ivs.chunks(token::IV)).zip(&sealed);
    let tokens: Vec<_> = each
        .map(|((head, iv), sealed)| values::Token {
            head: head.as_bytes(),
            iv,
            sealed: sealed.as_bytes(),
        })
        .collect();
    let Some((changes, size)) = values::changes(body, &spans, &tokens) else {
        return Ok(None);
    };
    written(py, size, |out| values::put(body, &changes, out)).map(Some)
}

#[pyfunction]
#[pyo3(signature = (body, places, texts, /))]
fn put_texts<'py>(
    py: Python<'py>,
    body: &[u8],
    places: Vec<isize>,
    texts: &Bound<'py, PyList>,
) -> PyResult<Option<PyText<'py>>> {
    let texts = bytes_of(texts)?;
    let Some(spans) = spans_of(&places) else {
        return Ok(None);
    };
    let texts: Vec<_> = texts.iter().map(|one| one.as_bytes()).collect();
    let Some((changes, size)) = values::changes(body, &spans, &texts) else {
        return Ok(None);
    };
    written(py, size, |out| values::put(body, &changes, out)).map(Some)
}

#[pymodule]
fn sealyard_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<json_border::Closed>()?;
    module.add_class::<json_border::Finder>()?;
    module.add_function(wrap_pyfunction!(candidates, module)?)?;
    module.add_function(wrap_pyfunction!(decode, module)?)?;
    module.add_function(wrap_pyfunction!(encode, module)?)?;
    module.add_function(wrap_pyfunction!(fields, module)?)?;
    module.add_function(wrap_pyfunction!(masking, module)?)?;
    module.add_function(wrap_pyfunction!(token_text, module)?)?;
    module.add_function(wrap_pyfunction!(token_parts, module)?)?;
    module.add_function(wrap_pyfunction!(put_texts, module)?)?;
    module.add_function(wrap_pyfunction!(put_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(quote, module)?)?;
    module.add_function(wrap_pyfunction!(splice, module)?)?;
    module.add_function(wrap_pyfunction!(texts_at, module)?)?;
    module.add_function(wrap_pyfunction!(tokens_at, module)?)?;
    module.add_function(wrap_pyfunction!(unquote, module)?)?;
    Ok(())
}
