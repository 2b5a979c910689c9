//! What the batches of a run share: the member as they take it, options, memory for working sets, counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Options;
use crate::codec::Decoder;
use crate::zip::Directory;

/// A member to decode and the bytes that hold it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Bytes of the chunk that hold the member's extent.
    pub buffer: &'a [u8],
    /// Position in the chunk of the buffer's first byte.
    pub offset: u64,
    /// The chunk's directory.
    pub directory: &'a Directory,
    /// Which member of the directory.
    pub index: usize,
}

/// What all batches of a run share: options, memory for working sets, counters.
#[derive(Debug)]
pub struct Context {
    /// How members become pictures.
    pub options: Options,
    /// What was done so far.
    pub counters: Counters,
    pub(crate) working_set: WorkingSet,
    stopped: AtomicBool,
    pub(crate) scratch_bytes: usize,
}

impl Context {
    /// A context whose decoders use at most `working_bytes` at once beside their output, on up to `threads` threads.
    #[must_use]
    pub fn new(options: Options, working_bytes: usize, threads: usize) -> Self {
        // What threads keep from image to image is part of the bound: a quarter of it, spread over four buffers each.
        let scratch_bytes = working_bytes / 16 / threads.max(1);
        Self {
            options,
            counters: Counters::default(),
            working_set: WorkingSet::new(working_bytes),
            stopped: AtomicBool::new(false),
            scratch_bytes,
        }
    }

    /// Ends all batches of the run, those under way after the images that are being decoded.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the run was stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Sums over all threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Pictures decoded, by decoder in the order of [`Decoder::ALL`].
    images: [AtomicU64; Decoder::ALL.len()],
    /// Bytes of members read, inflated.
    pub encoded_bytes: AtomicU64,
    /// Nanoseconds in reading members: header checks, inflate, CRC.
    pub inflate_ns: AtomicU64,
    /// Nanoseconds in decoding, colour conversion and turning.
    pub decode_ns: AtomicU64,
    /// Nanoseconds in resizing.
    pub resize_ns: AtomicU64,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    /// Pictures that a decoder decoded.
    #[must_use]
    pub fn images(&self, decoder: Decoder) -> u64 {
        self.images[decoder as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self, duration: Duration, bytes: usize) {
        self.inflate_ns.fetch_add(nanoseconds(duration), Ordering::Relaxed);
        self.encoded_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn decoded(&self, decoder: Decoder, duration: Duration) {
        self.decode_ns.fetch_add(nanoseconds(duration), Ordering::Relaxed);
        self.images[decoder as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resized(&self, duration: Duration) {
        self.resize_ns.fetch_add(nanoseconds(duration), Ordering::Relaxed);
    }
}

/// Bounds the memory that decoders use at once: what does not fit waits; what is larger by itself runs alone.
#[derive(Debug)]
pub(crate) struct WorkingSet {
    limit: usize,
    used: Mutex<Used>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Used {
    bytes: usize,
    /// Shares that are held, and those among them that wait to grow.
    shares: usize,
    growing: usize,
}

/// A share of the working set, given back when dropped.
pub(crate) struct Share<'a> {
    set: &'a WorkingSet,
    bytes: usize,
}

impl WorkingSet {
    fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::default(), freed: Condvar::new() }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` fit. Holders are running threads, never queued ones, so the wait ends.
    pub(crate) fn take(&self, bytes: usize) -> Share<'_> {
        let mut used = self.used();
        while used.bytes > 0 && used.bytes.saturating_add(bytes) > self.limit {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        used.bytes = used.bytes.saturating_add(bytes);
        used.shares += 1;
        Share { set: self, bytes }
    }
}

impl Share<'_> {
    /// Waits until so many bytes more fit, or until all others wait as well: one that grows runs alone then, so that the limit
    /// is exceeded by no more than what it grows by.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let mut used = self.set.used();
        used.growing += 1;
        // One share fewer runs: others that wait may go on.
        self.set.freed.notify_all();
        while used.bytes.saturating_add(bytes) > self.set.limit && used.shares > used.growing {
            used = self.set.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        used.growing -= 1;
        used.bytes = used.bytes.saturating_add(bytes);
        self.bytes += bytes;
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut used = self.set.used();
        used.bytes -= self.bytes;
        used.shares -= 1;
        drop(used);
        self.set.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    #[test]
    fn b17_the_working_set_holds_whatever_the_threads() {
        // Each takes a share and grows it, as one does whose image goes over to another decoder.
        let (limit, first, more) = (100, 40, 70);
        let set = WorkingSet::new(limit);
        let (used, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let count = |bytes: usize| {
            most.fetch_max(used.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut share = set.take(first);
                        count(first);
                        share.grow(more);
                        count(more);
                        thread::yield_now();
                        used.fetch_sub(first + more, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most <= limit + more, "{most} of {limit} and {more}");
        assert_eq!(set.used().bytes, 0);
    }

    #[test]
    fn b17_what_is_larger_than_the_working_set_runs_alone() {
        let set = WorkingSet::new(10);
        drop(set.take(1000));
        let mut share = set.take(usize::MAX);
        share.grow(0);
        drop(share);
        assert_eq!(set.used().bytes, 0);
    }
}
