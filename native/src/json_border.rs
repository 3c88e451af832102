//! The border of the scan to Python.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::json::{Found, Paths};

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
