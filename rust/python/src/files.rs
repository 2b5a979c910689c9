//! `LocalFile`: positioned reads into segments, without the GIL.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use pyo3::exceptions::{PyEOFError, PyValueError};
use pyo3::prelude::*;

use crate::buffers::SegmentBuffer;

/// An open file. It is read at positions and never mapped: one that is cut short must be an error, not a signal.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct LocalFile {
    file: File,
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
        Ok(self.file.metadata()?.len())
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
}
