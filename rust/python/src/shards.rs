//! Files of an archive: their checksum, and many of them read at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

use pixcrawler_core::crc32c as checksum;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffers::NewBytes;
use crate::files::{Failure, LocalFile, bounded};
use crate::pool;

/// From here on the GIL is released: below, the checksum takes a microsecond.
const LONG_BYTES: usize = 32 << 10;

/// Neighbours are read together where copying them costs less than asking once more.
const JOINED_MEMBER_BYTES: usize = 32 << 10;
const JOINED_GAP_BYTES: u64 = 8 << 10;
const JOINED_BYTES: u64 = 256 << 10;

/// So much is read by the calling thread itself: waking others takes as long.
const ALONE_BYTES: usize = 256 << 10;

type Item = (Py<LocalFile>, u64, u64, Option<u32>);

/// The checksum of bytes.
#[pyfunction]
#[pyo3(signature = (data, initial=0, /))]
pub(crate) fn crc32c(py: Python<'_>, data: &Bound<'_, PyBytes>, initial: u32) -> u32 {
    let data = data.as_bytes();
    if data.len() < LONG_BYTES {
        return checksum::crc32c(data, initial);
    }
    py.detach(|| checksum::crc32c(data, initial))
}

/// One file to read, and where it goes.
struct Request {
    slot: usize,
    file: usize,
    offset: u64,
    crc: Option<u32>,
    out: NewBytes,
    size: usize,
}

/// Requests that one read answers.
struct Group {
    requests: Vec<Request>,
    start: u64,
    stop: u64,
}

fn grouped(requests: Vec<Request>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for request in requests {
        let stop = request.offset + request.size as u64;
        if let Some(group) = groups.last_mut()
            && group.requests.last().is_some_and(|last| last.file == request.file && last.size <= JOINED_MEMBER_BYTES)
            && request.size <= JOINED_MEMBER_BYTES
            && request.offset <= group.stop + JOINED_GAP_BYTES
            && stop.max(group.stop) - group.start <= JOINED_BYTES
        {
            group.stop = group.stop.max(stop);
            group.requests.push(request);
        } else {
            groups.push(Group { start: request.offset, stop, requests: vec![request] });
        }
    }
    groups
}

impl Group {
    fn read(self, files: &[&LocalFile], done: &mut Vec<(usize, Result<NewBytes, Failure>)>) {
        let joined = (self.requests.len() > 1).then(|| self.read_joined(files)).flatten();
        for mut request in self.requests {
            let out = request.out.zeroed();
            let filled = match &joined {
                Some(bytes) => {
                    let from = (request.offset - self.start) as usize;
                    out.copy_from_slice(&bytes[from..from + request.size]);
                    Ok(())
                }
                None => files[request.file].fill(out, request.offset),
            };
            let checked = filled.and_then(|()| Ok(checksum::check(out, request.crc)?));
            done.push((request.slot, checked.map(|()| request.out)));
        }
    }

    /// The bytes of all; None if they cannot be had together, and then each is asked for by itself.
    fn read_joined(&self, files: &[&LocalFile]) -> Option<Vec<u8>> {
        let mut bytes = vec![0; (self.stop - self.start) as usize];
        files[self.requests.first()?.file].fill(&mut bytes, self.start).ok()?;
        Some(bytes)
    }
}

fn next(queue: &Mutex<IntoIter<Group>>) -> Option<Group> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Files read and checked, in order of asking.
#[pyfunction]
#[pyo3(signature = (items, threads, /))]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 hands converted arguments over by value")]
pub(crate) fn read_many<'py>(py: Python<'py>, items: Vec<Item>, threads: usize) -> PyResult<Bound<'py, PyList>> {
    let mut results: Vec<Option<Bound<'py, PyAny>>> = Vec::with_capacity(items.len());
    let mut files: Vec<&LocalFile> = Vec::new();
    let mut known: HashMap<*const LocalFile, (usize, u64)> = HashMap::new();
    let mut requests = Vec::with_capacity(items.len());
    for (slot, (file, offset, size, crc)) in items.iter().enumerate() {
        let file = file.get();
        let (number, length) = match known.entry(std::ptr::from_ref(file)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                files.push(file);
                *entry.insert((files.len() - 1, file.length()?))
            }
        };
        match bounded(*offset, *size, length) {
            Ok(size) => {
                let out = NewBytes::new(py, size)?;
                requests.push(Request { slot, file: number, offset: *offset, crc: *crc, out, size });
                results.push(None);
            }
            Err(failure) => results.push(Some(failure.exception(py)?)),
        }
    }
    let total: usize = requests.iter().map(|request| request.size).sum();
    requests.sort_unstable_by_key(|request| (request.file, request.offset));
    let groups = grouped(requests);
    let shares = groups.len();
    let queue = Mutex::new(groups.into_iter());
    let finished = Mutex::new(Vec::new());
    let share = |stop: &AtomicBool| {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed)
            && let Some(group) = next(&queue)
        {
            group.read(&files, &mut done);
        }
        finished.lock().unwrap_or_else(PoisonError::into_inner).append(&mut done);
    };
    if total <= ALONE_BYTES || threads < 2 {
        py.detach(|| share(&AtomicBool::new(false)));
    } else {
        pool::run(py, threads, shares, &share)?;
    }
    for (slot, result) in finished.into_inner().unwrap_or_else(PoisonError::into_inner) {
        results[slot] = Some(match result {
            Ok(bytes) => bytes.into_object(py).into_any(),
            Err(failure) => failure.exception(py)?,
        });
    }
    PyList::new(py, results)
}
