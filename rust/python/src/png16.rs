//! PNGs of 16 bits a channel, whole.

use pixcrawler_core::codec;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::directory::PyLimits;
use crate::errors;

type Shape = (usize, usize, usize);

/// A PNG's samples as they are coded, and (height, width, channels).
#[pyfunction]
#[pyo3(signature = (data, limits, /))]
pub(crate) fn decode_png16<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyBytes>,
    limits: PyLimits,
) -> PyResult<(Bound<'py, PyBytes>, Shape)> {
    let bytes = data.as_bytes();
    let limits = limits.into();
    let picture = py.detach(|| codec::decode_deep(bytes, &limits)).map_err(|error| errors::raised(py, &error))?;
    Ok((PyBytes::new(py, &picture.samples), (picture.height, picture.width, picture.channels)))
}
