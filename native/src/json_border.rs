//! The border of the scan to Python.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::closed::Place;
use crate::json::{Found, Paths, STEPS_MAX};

/// From so many bytes on, other threads may run meanwhile, and the scan pauses.
const LARGE: usize = 64 * 1024;

/// Paths made ready to be found in JSON texts; it does not change.
#[pyclass(frozen, module = "sealyard_native")]
pub struct Finder {
    paths: Option<Paths>,
    pause: PyObject,
}

#[pymethods]
impl Finder {
    #[new]
    fn new(paths: Vec<Vec<Option<String>>>, pause: PyObject) -> Self {
        Self {
            paths: Paths::new(&paths),
            pause,
        }
    }

    #[pyo3(signature = (body, /))]
    fn find(&self, py: Python<'_>, body: &Bound<'_, PyBytes>) -> PyResult<Option<Found>> {
        let Some(paths) = &self.paths else {
            return Ok(None);
        };
        let text = body.as_bytes();
        if text.len() < LARGE {
            return Ok(paths.find(text, || true));
        }
        let mut paused = Ok(());
        let found = py.allow_threads(|| {
            paths.find(text, || {
                paused = Python::with_gil(|py| self.pause.call0(py).map(drop));
                paused.is_ok()
            })
        });
        paused.map(|()| found)
    }
}

/// Places made ready to be compared with JSON texts; it does not change.
#[pyclass(frozen, module = "sealyard_native")]
pub struct Closed {
    root: Place,
}

#[pymethods]
impl Closed {
    #[new]
    #[pyo3(signature = (root, /))]
    fn new(root: &Bound<'_, PyAny>) -> PyResult<Self> {
        place(root, STEPS_MAX).map(|root| Self { root })
    }

    #[pyo3(signature = (body, /))]
    fn is_clear(&self, py: Python<'_>, body: &[u8]) -> bool {
        if body.len() < LARGE {
            return self.root.is_clear(body);
        }
        py.allow_threads(|| self.root.is_clear(body))
    }
}

type Children<'py, K> = BTreeMap<K, Bound<'py, PyAny>>;
type Child<'py> = Option<Bound<'py, PyAny>>;
/// `ClosedPlace` of the Python form.
type Parts<'py> = (
    bool,
    bool,
    Children<'py, String>,
    Children<'py, usize>,
    Child<'py>,
    Child<'py>,
);

/// Return a place, from which paths lead on by at most so many steps; one beyond lists nothing, so
/// that no text with a value there is clear.
fn place(from: &Bound<'_, PyAny>, steps: usize) -> PyResult<Place> {
    let Some(rest) = steps.checked_sub(1) else {
        return Ok(Place::default());
    };
    let (whole, scalar, names, indexes, star, member): Parts<'_> = from.extract()?;
    let child = |one: &Bound<'_, PyAny>| place(one, rest);
    let names = names
        .iter()
        .map(|(name, one)| Ok((name.as_bytes().into(), child(one)?)));
    let indexes = indexes.iter().map(|(index, one)| Ok((*index, child(one)?)));
    Ok(Place {
        whole,
        scalar,
        names: names.collect::<PyResult<_>>()?,
        indexes: indexes.collect::<PyResult<_>>()?,
        star: star.as_ref().map(child).transpose()?.map(Box::new),
        member: member.as_ref().map(child).transpose()?.map(Box::new),
    })
}
