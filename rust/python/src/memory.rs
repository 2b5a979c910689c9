//! Memory that is used again while passes run: of segments that were released and of images that the consumer let go.
//!
//! Fresh memory costs a page fault and a cleared page for every 4 KiB: 0.2 ms for a photograph that takes 1.2 ms to decode.
//! What is kept is bounded by the leases of the passes that are running; with the last of them it goes back to the system.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::buffers::Memory;

#[derive(Default)]
struct Kept {
    limit_bytes: usize,
    bytes: usize,
    /// By length. They are initialised, with whatever they held last.
    buffers: BTreeMap<usize, Vec<Memory>>,
}

/// Locked for moments, by decode threads too, which do not hold the GIL: who forks takes it before.
static KEPT: Mutex<Kept> = Mutex::new(Kept { limit_bytes: 0, bytes: 0, buffers: BTreeMap::new() });

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static FORKING: Cell<Option<MutexGuard<'static, Kept>>> = const { Cell::new(None) };
}

/// Waits until no other thread is in here: none would be there in the child to come out again.
pub(crate) fn lock_for_fork() {
    FORKING.set(Some(kept()));
}

/// Lets others in again, in the thread that forked.
pub(crate) fn unlock_after_fork() {
    FORKING.set(None);
}

impl Kept {
    fn take(&mut self, length: usize) -> Option<Memory> {
        // A much larger buffer would be missing where it fits.
        let (&found, same) = self.buffers.range_mut(length..=length.saturating_mul(2)).next()?;
        let buffer = same.pop();
        if same.is_empty() {
            self.buffers.remove(&found);
        }
        self.bytes -= buffer.as_ref().map_or(0, |buffer| buffer.len());
        buffer
    }

    fn shrink_to_limit(&mut self) {
        while self.bytes > self.limit_bytes
            && let Some(mut largest) = self.buffers.last_entry()
        {
            self.bytes -= largest.get_mut().pop().map_or(0, |buffer| buffer.len());
            if largest.get().is_empty() {
                largest.remove();
            }
        }
    }
}

/// Eight sizes to each power of two: images differ in size, and a buffer is to fit the next one too.
fn size_class(length: usize) -> usize {
    let length = length.max(1);
    let step = (length.checked_next_power_of_two().unwrap_or(length) / 16).max(4096);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

/// At least `length` initialised bytes of unspecified content, or None if they cannot be had.
pub(crate) fn take(length: usize) -> Option<Memory> {
    let length = size_class(length);
    let found = kept().take(length);
    found.or_else(|| Memory::zeroed(length))
}

/// Lets go of memory from [`take`]; it is kept if the leases allow.
pub(crate) fn give(buffer: Memory) {
    let mut kept = kept();
    if buffer.is_empty() || kept.bytes + buffer.len() > kept.limit_bytes {
        drop(kept);
        drop(buffer);
        return;
    }
    kept.bytes += buffer.len();
    kept.buffers.entry(buffer.len()).or_default().push(buffer);
}

/// The right to keep so many bytes for using them again, for as long as the object lives.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct MemoryLease {
    bytes: usize,
}

#[pymethods]
impl MemoryLease {
    #[new]
    #[pyo3(signature = (size_bytes, /))]
    fn new(size_bytes: usize) -> Self {
        kept().limit_bytes += size_bytes;
        Self { bytes: size_bytes }
    }

    /// Bytes that are kept at present, by all leases together.
    #[staticmethod]
    fn kept_bytes() -> usize {
        kept().bytes
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        let mut kept = kept();
        kept.limit_bytes -= self.bytes;
        kept.shrink_to_limit();
    }
}
