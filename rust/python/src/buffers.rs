//! The only file that knows the memory of Python objects: what bytes come in and which arrays they go out to.

use std::alloc::{Layout, alloc_zeroed};
use std::ops::{Deref, DerefMut};
use std::os::raw::c_int;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use numpy::ndarray::{ArrayViewMut, Dimension, IntoDimension};
use numpy::{Element, PyArray, PyArray4, PyReadwriteArray4, PyUntypedArray, PyUntypedArrayMethods};
use numpy::{PyArrayDescrMethods, PyArrayMethods};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::{memory, sockets};

/// Initialised bytes. Large ones are mappings of their own: they go back to the system when they are dropped, whichever
/// thread that happens in, where malloc would keep up to 64 MB for each thread that ever allocated.
pub(crate) struct Memory {
    bytes: NonNull<[u8]>,
    is_mapped: bool,
}

/// From here on mapped. Smaller ones would soon use up the mappings that a process may have (65,530 on Linux).
const MAPPED_FROM: usize = 128 << 10;

// SAFETY: the memory is owned, like a box's.
#[allow(unsafe_code)]
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference gives shared access alone.
#[allow(unsafe_code)]
unsafe impl Sync for Memory {}

impl Memory {
    /// So many zeros, or None if the memory cannot be had.
    #[allow(unsafe_code)]
    pub(crate) fn zeroed(length: usize) -> Option<Self> {
        if length >= MAPPED_FROM
            && let Some(bytes) = map(length)
        {
            return Some(Self { bytes, is_mapped: true });
        }
        let layout = Layout::array::<u8>(length).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the layout is not of size zero. Unlike `vec![0; length]` a failure is null and does not abort.
        let pointer = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { bytes: NonNull::slice_from_raw_parts(pointer, length), is_mapped: false })
    }
}

/// From here on the system is asked for huge pages: 2 MiB at once where a fault each 4 KiB costs ten times the clearing.
/// Below, pages are made with the mapping, which saves the faults.
#[cfg(target_os = "linux")]
const HUGE_FROM: usize = 2 << 20;

#[cfg(unix)]
#[allow(unsafe_code)]
fn map(length: usize) -> Option<NonNull<[u8]>> {
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let (access, mut kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    #[cfg(target_os = "linux")]
    if length < HUGE_FROM {
        kind |= libc::MAP_POPULATE;
    }
    // SAFETY: a new anonymous mapping, at an address of the system's choice, touches nothing that exists.
    let pointer = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
    let pointer = NonNull::new(pointer).filter(|pointer| pointer.as_ptr() != libc::MAP_FAILED)?;
    #[cfg(target_os = "linux")]
    if length >= HUGE_FROM {
        // SAFETY: the advice is for the whole of the new mapping, and changes no content. It may be refused.
        unsafe { libc::madvise(pointer.as_ptr(), length, libc::MADV_HUGEPAGE) };
    }
    Some(NonNull::slice_from_raw_parts(pointer.cast(), length))
}

#[cfg(not(unix))]
fn map(_length: usize) -> Option<NonNull<[u8]>> {
    None
}

impl Drop for Memory {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        #[cfg(unix)]
        if self.is_mapped {
            // SAFETY: the mapping is this object's, whole, and nobody refers to it any more.
            unsafe { libc::munmap(self.bytes.as_ptr().cast(), self.bytes.len()) };
            return;
        }
        // SAFETY: what is not mapped was allocated by the global allocator with the layout of a slice of this length.
        drop(unsafe { Box::from_raw(self.bytes.as_ptr()) });
    }
}

impl Deref for Memory {
    type Target = [u8];

    #[allow(unsafe_code)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are owned and initialised (zeros at first).
        unsafe { self.bytes.as_ref() }
    }
}

impl DerefMut for Memory {
    #[allow(unsafe_code)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the bytes are owned and initialised, and borrowed exclusively.
        unsafe { self.bytes.as_mut() }
    }
}

/// The memory of an array that was handed out. It is used again when the array and all views of it are gone.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct ArrayMemory {
    /// Not looked at before the drop: until then it is the array's.
    memory: Option<Memory>,
}

impl Drop for ArrayMemory {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            memory::give(memory);
        }
    }
}

/// A C-contiguous array of memory that has its size or more, which is used again after it.
#[allow(unsafe_code)]
pub(crate) fn array<D: Dimension>(py: Python<'_>, memory: Memory, shape: D) -> PyResult<Bound<'_, PyArray<u8, D>>> {
    let length = shape.slice().iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    if length.is_none_or(|length| length > memory.len()) {
        return Err(PyMemoryError::new_err(format!("{} bytes for an array of shape {shape:?}", memory.len())));
    }
    let pointer = memory.bytes.cast::<u8>();
    let owner = Bound::new(py, ArrayMemory { memory: Some(memory) })?.into_any();
    // SAFETY: the memory holds at least the product of the sides of initialised bytes, and is reached through the array
    // alone. It is neither moved nor freed before `owner` is dropped, which the array holds as its base.
    unsafe {
        let view = ArrayViewMut::from_shape_ptr(shape, pointer.as_ptr());
        Ok(PyArray::borrow_from_array(&view, owner))
    }
}

/// A new uint8 array of unspecified content.
#[pyfunction]
#[pyo3(signature = (shape, /))]
pub(crate) fn empty(py: Python<'_>, shape: (usize, usize, usize, usize)) -> PyResult<Bound<'_, PyArray4<u8>>> {
    let (count, height, width, channels) = shape;
    let length = [height, width, channels].iter().try_fold(count, |product, &side| product.checked_mul(side));
    let no_memory = || PyMemoryError::new_err(format!("no memory for an array of shape {shape:?}"));
    array(py, length.and_then(memory::take).ok_or_else(no_memory)?, shape.into_dimension())
}

/// A byte range of a chunk while it arrives: written front to back, then sealed and immutable.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct SegmentBuffer {
    capacity: usize,
    filling: Mutex<Filling>,
    sealed: OnceLock<Memory>,
}

#[derive(Default)]
struct Filling {
    /// At least `capacity` bytes; None once sealed, and while a call receives into it.
    memory: Option<Memory>,
    filled: usize,
}

impl SegmentBuffer {
    fn take_memory(capacity: usize) -> PyResult<Memory> {
        let failed = || PyMemoryError::new_err(format!("no memory for a segment of {capacity} bytes"));
        memory::take(capacity).ok_or_else(failed)
    }

    /// A sealed segment, filled by `fill` with the GIL released.
    pub(crate) fn filled_by<T: Send>(
        py: Python<'_>,
        capacity: usize,
        fill: impl FnOnce(&mut [u8]) -> T + Send,
    ) -> PyResult<(Self, T)> {
        let mut memory = Self::take_memory(capacity)?;
        let bytes = &mut memory[..capacity];
        let result = py.detach(|| fill(bytes));
        Ok((Self { capacity, filling: Mutex::default(), sealed: OnceLock::from(memory) }, result))
    }

    fn filling(&self) -> MutexGuard<'_, Filling> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealed(&self) -> PyResult<&[u8]> {
        let unsealed = || PyValueError::new_err("the segment is not sealed yet");
        self.sealed.get().map(|memory| &memory[..self.capacity]).ok_or_else(unsealed)
    }
}

fn not_writable() -> PyErr {
    PyValueError::new_err("the segment is sealed, or another call writes it")
}

impl Drop for SegmentBuffer {
    fn drop(&mut self) {
        let filling = self.filling.get_mut().unwrap_or_else(PoisonError::into_inner);
        for memory in [filling.memory.take(), self.sealed.take()].into_iter().flatten() {
            memory::give(memory);
        }
    }
}

#[pymethods]
impl SegmentBuffer {
    #[new]
    #[pyo3(signature = (capacity))]
    fn new(capacity: usize) -> PyResult<Self> {
        let filling = Filling { memory: Some(Self::take_memory(capacity)?), filled: 0 };
        Ok(Self { capacity, filling: Mutex::new(filling), sealed: OnceLock::new() })
    }

    #[pyo3(signature = (data, /))]
    fn write(&self, data: &[u8]) -> PyResult<()> {
        let mut filling = self.filling();
        let (filled, length) = (filling.filled, data.len());
        let Some(memory) = filling.memory.as_mut() else {
            return Err(not_writable());
        };
        if length > self.capacity - filled {
            let message = format!("{length} more bytes do not fit: {filled} of {} are written", self.capacity);
            return Err(PyValueError::new_err(message));
        }
        memory[filled..filled + length].copy_from_slice(data);
        filling.filled += length;
        Ok(())
    }

    #[pyo3(signature = (descriptor, limit, timeout_s, /))]
    fn receive(&self, py: Python<'_>, descriptor: c_int, limit: usize, timeout_s: f64) -> PyResult<(usize, bool)> {
        let time = Duration::try_from_secs_f64(timeout_s).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut filling = self.filling();
        let filled = filling.filled;
        // Taken out meanwhile: the lock is not held while the GIL is free.
        let mut memory = filling.memory.take().ok_or_else(not_writable)?;
        drop(filling);
        let stop = self.capacity.min(filled.saturating_add(limit));
        let bytes = &mut memory[filled..stop];
        let received = py.detach(|| sockets::receive(descriptor, bytes, time));
        let mut filling = self.filling();
        filling.memory = Some(memory);
        let received = received?;
        filling.filled += received.length;
        Ok((received.length, received.is_ended))
    }

    fn seal(&self) -> PyResult<()> {
        let mut filling = self.filling();
        if self.sealed.get().is_some() {
            return Ok(());
        }
        if filling.filled != self.capacity {
            let message = format!("only {} of {} bytes are written", filling.filled, self.capacity);
            return Err(PyValueError::new_err(message));
        }
        let memory = filling.memory.take().ok_or_else(not_writable)?;
        // The lock is held: nobody else can seal in between.
        self.sealed.get_or_init(|| memory);
        Ok(())
    }

    #[getter]
    fn filled(&self) -> usize {
        self.filling().filled.max(self.sealed.get().map_or(0, |_| self.capacity))
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

/// A bytes object in the making: nobody else has seen it yet.
pub(crate) struct NewBytes {
    object: Py<PyBytes>,
    bytes: NonNull<u8>,
    length: usize,
}

// SAFETY: the content is this object's alone until `into_object`, and the object's reference count is only touched with
// the GIL held.
#[allow(unsafe_code)]
unsafe impl Send for NewBytes {}

impl NewBytes {
    /// So many bytes of unspecified content; MemoryError if they cannot be had.
    #[allow(unsafe_code)]
    pub(crate) fn new(py: Python<'_>, length: usize) -> PyResult<Self> {
        let too_long = |_| PyMemoryError::new_err(format!("no memory for {length} bytes"));
        let signed = ffi::Py_ssize_t::try_from(length).map_err(too_long)?;
        // SAFETY: without a source the call makes a new object of that length, or returns null with an error set.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(ptr::null(), signed))?
                .cast_into_unchecked::<PyBytes>()
        };
        // SAFETY: it is a bytes object.
        let pointer = unsafe { ffi::PyBytes_AsString(object.as_ptr()) };
        let bytes = NonNull::new(pointer.cast()).ok_or_else(|| PyErr::fetch(py))?;
        Ok(Self { object: object.unbind(), bytes, length })
    }

    /// Its content, zeros at first.
    #[allow(unsafe_code)]
    pub(crate) fn zeroed(&mut self) -> &mut [u8] {
        // SAFETY: a new object has `length` bytes (the empty one is shared, and no byte of it is touched), nobody else
        // refers to it, and it is borrowed exclusively here.
        unsafe {
            self.bytes.write_bytes(0, self.length);
            std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.length)
        }
    }

    /// The finished object.
    pub(crate) fn into_object(self, py: Python<'_>) -> Bound<'_, PyBytes> {
        self.object.into_bound(py)
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
