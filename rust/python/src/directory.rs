//! `Directory`: a chunk's members, as Python sees them.

use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{self, Place, Surroundings};
use pixcrawler_core::{Code, Error, Limits};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::buffers::Buffer;
use crate::errors;

/// The Python `Limits` of which the core knows.
#[derive(FromPyObject)]
pub(crate) struct PyLimits {
    entries: u64,
    directory_bytes: u64,
    prefix_bytes: u64,
    member_bytes: u64,
    inflated_bytes: u64,
    inflate_ratio: u64,
    chunk_inflated_bytes: u64,
    pixels: u64,
    side: u64,
    scans: u32,
    scan_pixels: u64,
    markers: u64,
    png_chunks: u64,
}

impl From<PyLimits> for Limits {
    fn from(limits: PyLimits) -> Self {
        let PyLimits {
            entries,
            directory_bytes,
            prefix_bytes,
            member_bytes,
            inflated_bytes,
            inflate_ratio,
            chunk_inflated_bytes,
            pixels,
            side,
            scans,
            scan_pixels,
            markers,
            png_chunks,
        } = limits;
        Self {
            entries,
            directory_bytes,
            prefix_bytes,
            member_bytes,
            inflated_bytes,
            inflate_ratio,
            chunk_inflated_bytes,
            pixels,
            side,
            scans,
            scan_pixels,
            markers,
            png_chunks,
        }
    }
}

impl PyLimits {
    const COUNT: usize = 13;

    /// Of a directory's pickle: all numbers, in one order.
    fn numbers(limits: &Limits) -> [u64; Self::COUNT] {
        let scans = limits.scans.into();
        let &Limits { entries, directory_bytes, prefix_bytes, member_bytes, inflated_bytes, inflate_ratio, .. } =
            limits;
        let &Limits { chunk_inflated_bytes, pixels, side, scan_pixels, markers, png_chunks, .. } = limits;
        [
            entries,
            directory_bytes,
            prefix_bytes,
            member_bytes,
            inflated_bytes,
            inflate_ratio,
            chunk_inflated_bytes,
            pixels,
            side,
            scans,
            scan_pixels,
            markers,
            png_chunks,
        ]
    }

    fn from_numbers(numbers: [u64; Self::COUNT]) -> Option<Limits> {
        let [
            entries,
            directory_bytes,
            prefix_bytes,
            member_bytes,
            inflated_bytes,
            inflate_ratio,
            chunk_inflated_bytes,
            pixels,
            side,
            scans,
            scan_pixels,
            markers,
            png_chunks,
        ] = numbers;
        Some(Limits {
            entries,
            directory_bytes,
            prefix_bytes,
            member_bytes,
            inflated_bytes,
            inflate_ratio,
            chunk_inflated_bytes,
            pixels,
            side,
            scans: scans.try_into().ok()?,
            scan_pixels,
            markers,
            png_chunks,
        })
    }
}

/// Where a zip's central directory stands.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct Location {
    inner: zip::Location,
}

#[pymethods]
impl Location {
    #[getter]
    fn start(&self) -> u64 {
        self.inner.offset
    }

    #[getter]
    fn stop(&self) -> u64 {
        self.inner.offset + self.inner.size
    }

    #[getter]
    fn entries(&self) -> u64 {
        self.inner.entries
    }
}

/// A chunk's members: a zip's validated central directory, the files of a folder laid end to end, or those of a shard.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct Directory {
    pub(crate) inner: zip::Directory,
    limits: Limits,
}

impl Directory {
    fn check(&self, index: usize) -> PyResult<usize> {
        let length = self.inner.len();
        let outside = || PyIndexError::new_err(format!("member {index} of {length}"));
        (index < length).then_some(index).ok_or_else(outside)
    }
}

/// The highest number of a shard: five digits.
const MAX_SHARD: i64 = 99_999;

/// The place that a row (path, shard, offset, size, CRC-32C) of an index gives, if its numbers can be true.
fn row_place(row: &Bound<'_, PyTuple>) -> PyResult<Result<Place, Error>> {
    let values = [row.get_item(1)?, row.get_item(2)?, row.get_item(3)?, row.get_item(4)?];
    let number = |at: usize, most: i64| {
        let value: &Bound<'_, PyAny> = &values[at];
        let number = value.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?;
        (0..=most).contains(&number).then(|| number.cast_unsigned())
    };
    let place = || {
        number(0, MAX_SHARD)?;
        let (offset, size) = (number(1, i64::MAX)?, number(2, i64::MAX)?);
        let crc32c = if values[3].is_none() { None } else { Some(number(3, u32::MAX.into())? as u32) };
        (offset + size <= i64::MAX.cast_unsigned()).then_some(Place { offset, size, crc32c })
    };
    if let Some(place) = place() {
        return Ok(Ok(place));
    }
    let mut found = Vec::new();
    for value in &values {
        let shown = if value.is_exact_instance_of::<PyInt>() { value.str()? } else { value.get_type().name()? };
        found.push(shown.to_string());
    }
    let detail = format!("shard, offset, size and CRC32C are {}", found.join(", "));
    Ok(Err(Error::new(Code::ArchiveRow, detail)))
}

/// The name and the place of a row.
fn row_file(row: &Bound<'_, PyTuple>) -> PyResult<(String, Result<Place, Error>)> {
    let path = row.get_item(0)?;
    if let Ok(path) = path.cast_exact::<PyString>() {
        return Ok((path.to_cow()?.into_owned(), row_place(row)?));
    }
    let detail = format!("the path is no text, but {}", path.get_type().name()?);
    Ok((path.str()?.to_string_lossy().into_owned(), Err(Error::new(Code::ArchiveRow, detail))))
}

#[pymethods]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 hands converted arguments over by value")]
impl Directory {
    #[new]
    fn new(py: Python<'_>, data: &[u8], location: &Location, file_size: u64, limits: PyLimits) -> PyResult<Self> {
        let limits = Limits::from(limits);
        let parsed = zip::Directory::parse(data, &location.inner, file_size, &limits);
        Ok(Self { inner: parsed.map_err(|error| errors::raised(py, &error))?, limits })
    }

    #[staticmethod]
    #[pyo3(name = "locate")]
    fn locate_directory(py: Python<'_>, tail: &[u8], file_size: u64, limits: PyLimits) -> PyResult<Location> {
        let found = zip::locate(tail, file_size, &limits.into());
        Ok(Location { inner: found.map_err(|error| errors::raised(py, &error))? })
    }

    #[staticmethod]
    fn identify<'py>(py: Python<'py>, head: &[u8], file_size: u64) -> PyResult<Bound<'py, PyAny>> {
        errors::exception(py, &zip::identify(head, file_size))
    }

    #[staticmethod]
    fn bare(names: Vec<String>, sizes: Vec<u64>) -> PyResult<Self> {
        if names.len() != sizes.len() {
            return Err(PyValueError::new_err(format!("{} names for {} sizes", names.len(), sizes.len())));
        }
        Ok(Self { inner: zip::Directory::bare(names, sizes), limits: Limits::default() })
    }

    /// The files of a part of a shard, and where in the shard that part begins and ends.
    #[staticmethod]
    #[pyo3(signature = (rows, shard_bytes, limits, *, before=0, following=None))]
    fn in_shard(
        py: Python<'_>,
        rows: Vec<Bound<'_, PyTuple>>,
        shard_bytes: Option<u64>,
        limits: PyLimits,
        before: u64,
        following: Option<Vec<Bound<'_, PyTuple>>>,
    ) -> PyResult<(Self, u64, u64)> {
        let limits = Limits::from(limits);
        let mut around = Surroundings { shard_bytes, before, after: None };
        let after = following.iter().flatten().find_map(|row| {
            let place = row_place(row).ok()?.and_then(|place| around.hold(place)).ok()?;
            (place.size > 0).then_some(place.offset)
        });
        around.after = after;
        let files = rows.iter().map(row_file).collect::<PyResult<Vec<_>>>()?;
        let made = zip::Directory::in_shard(files, &around, &limits);
        let (inner, held) = made.map_err(|error| errors::raised(py, &error))?;
        Ok((Self { inner, limits }, held.start, held.end))
    }

    /// Pickled as the table that was read: about 16 bytes an entry, and its name.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let limits = PyLimits::numbers(&self.limits);
        let mut data: Vec<u8> = limits.iter().flat_map(|limit| limit.to_le_bytes()).collect();
        data.extend(self.inner.to_bytes());
        let restore = py.import("pixcrawler._native")?.getattr("restore_directory")?;
        (restore, (PyBytes::new(py, &data),)).into_pyobject(py)
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[pyo3(signature = (index, /))]
    fn name(&self, index: usize) -> PyResult<String> {
        Ok(self.inner.name(self.check(index)?).into_owned())
    }

    #[pyo3(signature = (index, /))]
    fn raw_name<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.inner.raw_name(self.check(index)?)))
    }

    #[pyo3(signature = (index, /))]
    fn extent(&self, index: usize) -> PyResult<(u64, u64)> {
        let extent = self.inner.extent(self.check(index)?);
        Ok((extent.start, extent.end))
    }

    #[pyo3(signature = (index, /))]
    fn is_refused(&self, index: usize) -> PyResult<bool> {
        Ok(self.inner.entry(self.check(index)?).fault.is_some())
    }

    #[pyo3(signature = (name, /))]
    fn find(&self, name: &str) -> Option<usize> {
        self.inner.find(name)
    }

    #[getter]
    fn tolerated(&self) -> Vec<String> {
        self.inner.tolerated()
    }

    #[getter]
    fn samples(&self) -> Vec<usize> {
        let directory = &self.inner;
        (0..directory.len())
            .filter(|&index| !directory.is_folder(index) && directory.name(index) != "metadata.jsonl")
            .collect()
    }

    #[pyo3(signature = (index, buffer, offset, /))]
    fn read_member<'py>(
        &self,
        py: Python<'py>,
        index: usize,
        buffer: Buffer,
        offset: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let index = self.check(index)?;
        let bytes = buffer.bytes()?;
        let mut inflated = Vec::new();
        let read = py.detach(|| read_member(&self.inner, index, bytes, offset, &mut inflated, &self.limits));
        Ok(PyBytes::new(py, read.map_err(|error| errors::raised(py, &error))?))
    }
}

/// The directory of a pickle.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub(crate) fn restore_directory(data: &[u8]) -> PyResult<Directory> {
    let restore = || {
        let (limits, table) = data.split_at_checked(PyLimits::COUNT * 8)?;
        let mut numbers = [0; PyLimits::COUNT];
        for (number, bytes) in numbers.iter_mut().zip(limits.as_chunks().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        Some(Directory { inner: zip::Directory::from_bytes(table)?, limits: PyLimits::from_numbers(numbers)? })
    };
    restore().ok_or_else(|| PyValueError::new_err(format!("{} bytes that are no pickled directory", data.len())))
}
