//! The only table from the core's errors to Python exceptions.

use std::collections::BTreeMap;

use pixcrawler_core::{Code, Error, ErrorKind};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

pyo3::import_exception!(pixcrawler.barecat.exceptions, BarecatIntegrityError);
pyo3::import_exception!(pixcrawler.exceptions, ArchiveError);
pyo3::import_exception!(pixcrawler.exceptions, ImageDecodeError);
pyo3::import_exception!(pixcrawler.exceptions, ImageSizeError);
pyo3::import_exception!(pixcrawler.exceptions, LimitError);
pyo3::import_exception!(pixcrawler.exceptions, UnsupportedImageError);

const fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Archive => "ArchiveError",
        ErrorKind::Image => "ImageDecodeError",
        ErrorKind::ImageSize => "ImageSizeError",
        ErrorKind::Interrupted => "KeyboardInterrupt",
        ErrorKind::Limit => "LimitError",
        ErrorKind::Shard => "BarecatIntegrityError",
        ErrorKind::Unsupported => "UnsupportedImageError",
    }
}

fn class(py: Python<'_>, kind: ErrorKind) -> Bound<'_, PyType> {
    match kind {
        ErrorKind::Archive => py.get_type::<ArchiveError>(),
        ErrorKind::Image => py.get_type::<ImageDecodeError>(),
        ErrorKind::ImageSize => py.get_type::<ImageSizeError>(),
        ErrorKind::Interrupted => py.get_type::<PyKeyboardInterrupt>(),
        ErrorKind::Limit => py.get_type::<LimitError>(),
        ErrorKind::Shard => py.get_type::<BarecatIntegrityError>(),
        ErrorKind::Unsupported => py.get_type::<UnsupportedImageError>(),
    }
}

/// The exception for an error, not raised; its place in the dataset is for Python to fill in.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let kind = error.code().kind();
    if kind == ErrorKind::Interrupted {
        return class(py, kind).call0();
    }
    let fields = PyDict::new(py);
    fields.set_item("code", error.code().as_str())?;
    fields.set_item("offset", error.offset())?;
    class(py, kind).call((error.detail(),), Some(&fields))
}

/// The same, to be raised.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

/// The byte-level error codes: code -> (exception class name, cause, remedy).
#[pyfunction]
pub(crate) fn error_codes() -> BTreeMap<&'static str, (&'static str, &'static str, &'static str)> {
    let row = |code: &Code| (code.as_str(), (class_name(code.kind()), code.cause(), code.remedy()));
    Code::ALL.iter().map(row).collect()
}
