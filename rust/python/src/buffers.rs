//! The only file that knows the memory of Python objects: what bytes come in and which arrays they go out to.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use numpy::{Element, PyArray3, PyArray4, PyReadwriteArray4, PyUntypedArray, PyUntypedArrayMethods};
use numpy::{PyArrayDescrMethods, PyArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// A byte range of a chunk while it arrives: written front to back, then sealed and immutable.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct SegmentBuffer {
    capacity: usize,
    filling: Mutex<Vec<u8>>,
    sealed: OnceLock<Vec<u8>>,
}

impl SegmentBuffer {
    fn filling(&self) -> MutexGuard<'_, Vec<u8>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealed(&self) -> PyResult<&[u8]> {
        let unsealed = || PyValueError::new_err("the segment is not sealed yet");
        self.sealed.get().map(Vec::as_slice).ok_or_else(unsealed)
    }
}

#[pymethods]
impl SegmentBuffer {
    #[new]
    #[pyo3(signature = (capacity))]
    fn new(capacity: usize) -> PyResult<Self> {
        let mut filling = Vec::new();
        let failed = || PyMemoryError::new_err(format!("no memory for a segment of {capacity} bytes"));
        filling.try_reserve_exact(capacity).map_err(|_| failed())?;
        Ok(Self { capacity, filling: Mutex::new(filling), sealed: OnceLock::new() })
    }

    #[pyo3(signature = (data, /))]
    fn write(&self, data: &[u8]) -> PyResult<()> {
        let mut filling = self.filling();
        if self.sealed.get().is_some() {
            return Err(PyValueError::new_err("the segment is sealed"));
        }
        let (filled, length) = (filling.len(), data.len());
        if length > self.capacity - filled {
            let message = format!("{length} more bytes do not fit: {filled} of {} are written", self.capacity);
            return Err(PyValueError::new_err(message));
        }
        filling.extend_from_slice(data);
        Ok(())
    }

    fn seal(&self) -> PyResult<()> {
        let mut filling = self.filling();
        if self.sealed.get().is_some() {
            return Ok(());
        }
        if filling.len() != self.capacity {
            let message = format!("only {} of {} bytes are written", filling.len(), self.capacity);
            return Err(PyValueError::new_err(message));
        }
        // The lock is held: nobody else can seal in between.
        self.sealed.get_or_init(|| std::mem::take(&mut filling));
        Ok(())
    }

    #[getter]
    fn filled(&self) -> usize {
        self.sealed.get().map_or_else(|| self.filling().len(), Vec::len)
    }

    #[pyo3(signature = (start, stop, /))]
    fn tobytes<'py>(&self, py: Python<'py>, start: usize, stop: usize) -> PyResult<Bound<'py, PyBytes>> {
        let outside = || PyValueError::new_err(format!("[{start}, {stop}) is not inside {} bytes", self.capacity));
        Ok(PyBytes::new(py, self.sealed()?.get(start..stop).ok_or_else(outside)?))
    }

    fn __len__(&self) -> usize {
        self.capacity
    }
}

/// Bytes that cannot change while they are read.
#[derive(FromPyObject)]
pub(crate) enum Buffer {
    #[pyo3(transparent)]
    Segment(Py<SegmentBuffer>),
    #[pyo3(transparent)]
    Bytes(PyBackedBytes),
}

impl Buffer {
    /// The bytes; ValueError while a segment is still being filled.
    pub(crate) fn bytes(&self) -> PyResult<&[u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Segment(segment) => segment.get().sealed(),
        }
    }
}

/// A batch array, borrowed exclusively, and the size of its slots.
pub(crate) struct Slots<'py> {
    pub(crate) array: PyReadwriteArray4<'py, u8>,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl<'py> Slots<'py> {
    /// Checks dtype, shape (N, H, W, C) and layout, and borrows the array.
    pub(crate) fn borrow(
        out: &Bound<'py, PyAny>,
        count: usize,
        size: Option<(usize, usize)>,
        channels: usize,
    ) -> PyResult<Self> {
        let not_an_array = |_| PyTypeError::new_err("out must be a numpy array of uint8");
        let untyped = out.cast::<PyUntypedArray>().map_err(not_an_array)?;
        if !untyped.dtype().is_equiv_to(&u8::get_dtype(out.py())) {
            return Err(PyTypeError::new_err(format!("out must be of uint8, not {}", untyped.dtype())));
        }
        let wanted = || match size {
            Some((height, width)) => format!("({count}, {height}, {width}, {channels})"),
            None => format!("({count}, height, width, {channels})"),
        };
        let shape = untyped.shape().to_vec();
        let &[slots, height, width, depth] = shape.as_slice() else {
            return Err(PyValueError::new_err(format!("out must be of shape {}, not {shape:?}", wanted())));
        };
        if (slots, depth) != (count, channels) || size.is_some_and(|size| size != (height, width)) {
            return Err(PyValueError::new_err(format!("out must be of shape {}, not {shape:?}", wanted())));
        }
        if height == 0 || width == 0 {
            return Err(PyValueError::new_err(format!("out has slots without pixels: {shape:?}")));
        }
        if !untyped.is_c_contiguous() {
            return Err(PyValueError::new_err("out must be C-contiguous"));
        }
        let array = out.cast::<PyArray4<u8>>().map_err(not_an_array)?;
        let array =
            array.try_readwrite().map_err(|_| PyValueError::new_err("out is read-only or in use by another call"))?;
        Ok(Self { array, height, width })
    }
}

/// A new array (height, width, channels) of unspecified content.
pub(crate) fn empty_image<'py>(
    numpy_empty: &Bound<'py, PyAny>,
    height: usize,
    width: usize,
    channels: usize,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let array = numpy_empty.call1(((height, width, channels), u8::get_dtype(numpy_empty.py())))?;
    Ok(array.cast_into::<PyArray3<u8>>()?)
}
