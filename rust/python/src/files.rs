//! `LocalFile`: positioned reads into segments, without the GIL.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use pixcrawler_core::{Code, Error, crc32c};
use pyo3::exceptions::{PyEOFError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffers::SegmentBuffer;
use crate::errors;

/// An open file. It is read at positions and never mapped: one that is cut short must be an error, not a signal.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct LocalFile {
    file: File,
}

/// So much is allocated before the length of the file is asked for.
const BELIEVED_BYTES: u64 = 1 << 20;

/// Why bytes of a shard cannot be had.
pub(crate) enum Failure {
    Content(Error),
    Io(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Content(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The exception, not raised.
    pub(crate) fn exception(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Content(error) => errors::exception(py, &error),
            Self::Io(error) => Ok(PyErr::from(error).into_value(py).into_bound(py).into_any()),
        }
    }
}

fn short(offset: u64, size: u64, end: u64) -> Error {
    let detail = format!("expected {size} bytes at {offset}, the shard ends at {end}");
    Error::new(Code::ShardShort, detail)
}

/// A size that may be allocated: that of bytes that are there.
pub(crate) fn bounded(offset: u64, size: u64, length: u64) -> Result<usize, Failure> {
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Err(short(offset, size, length).into());
    }
    usize::try_from(size).map_err(|_| short(offset, size, length).into())
}

impl LocalFile {
    /// Fills the buffer from `offset` on.
    pub(crate) fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        let read = read_all_at(&self.file, buffer, offset)?;
        if read < buffer.len() {
            return Err(short(offset, buffer.len() as u64, offset + read as u64).into());
        }
        Ok(())
    }

    /// Its length now.
    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

/// Reads until the buffer is full or the file ends; returns how much that was.
fn read_all_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_at(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[pymethods]
impl LocalFile {
    #[new]
    #[pyo3(signature = (path, /))]
    #[allow(clippy::needless_pass_by_value, reason = "pyo3 hands converted arguments over by value")]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Self { file: File::open(path)? })
    }

    #[getter]
    fn size_bytes(&self) -> PyResult<u64> {
        Ok(self.length()?)
    }

    #[pyo3(signature = (start, stop, /))]
    fn read(&self, py: Python<'_>, start: u64, stop: u64) -> PyResult<SegmentBuffer> {
        let length = stop.checked_sub(start).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| PyValueError::new_err(format!("not a range: [{start}, {stop})")))?;
        let (segment, read) = SegmentBuffer::filled_by(py, length, |buffer| read_all_at(&self.file, buffer, start))?;
        let read = read?;
        if read < length {
            return Err(PyEOFError::new_err(format!("the file ends at byte {}", start + read as u64)));
        }
        Ok(segment)
    }

    #[pyo3(signature = (offset, size, crc=None, /))]
    fn read_bytes<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        size: u64,
        crc: Option<u32>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let raised = |failure: Failure| failure.exception(py).map_or_else(|error| error, PyErr::from_value);
        // A small size is believed: a short read tells a wrong one without asking first.
        let is_small = size <= BELIEVED_BYTES && offset <= i64::MAX as u64 - BELIEVED_BYTES;
        let length = if is_small { u64::MAX } else { self.length()? };
        let size = bounded(offset, size, length).map_err(raised)?;
        PyBytes::new_with(py, size, |buffer| {
            py.detach(|| {
                self.fill(buffer, offset)?;
                Ok(crc32c::check(buffer, crc)?)
            })
            .map_err(raised)
        })
    }
}
