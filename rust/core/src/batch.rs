//! Many members at once: each decoded into its own slot, on the Rayon pool that the caller is in, one result a slot.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rayon::prelude::*;

use crate::sample::{self, Opened, Scratch};
use crate::zip::Directory;
use crate::{Code, Error, Options, Result};

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
    scratch_bytes: usize,
}

impl Context {
    /// A context whose decoders use at most `working_bytes` at once beside their output, on up to `threads` threads.
    #[must_use]
    pub fn new(options: Options, working_bytes: usize, threads: usize) -> Self {
        // What threads keep from image to image is part of the bound: a quarter of it, spread over four buffers each.
        let scratch_bytes = working_bytes / 16 / threads.max(1);
        Self { options, counters: Counters::default(), working_set: WorkingSet::new(working_bytes), scratch_bytes }
    }
}

/// Sums over all threads.
#[derive(Debug, Default)]
pub struct Counters {
    /// Pictures decoded.
    pub images: AtomicU64,
    /// Bytes of members read, inflated.
    pub encoded_bytes: AtomicU64,
    /// Nanoseconds in reading members: header checks, inflate, CRC.
    pub inflate_ns: AtomicU64,
    /// Nanoseconds in decoding, colour conversion and turning.
    pub decode_ns: AtomicU64,
    /// Nanoseconds in resizing.
    pub resize_ns: AtomicU64,
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    pub(crate) fn read(&self, started: Instant, bytes: usize) {
        self.inflate_ns.fetch_add(nanoseconds(started, Instant::now()), Ordering::Relaxed);
        self.encoded_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn decoded(&self, started: Instant) -> Instant {
        let now = Instant::now();
        self.decode_ns.fetch_add(nanoseconds(started, now), Ordering::Relaxed);
        self.images.fetch_add(1, Ordering::Relaxed);
        now
    }

    pub(crate) fn resized(&self, started: Instant) {
        self.resize_ns.fetch_add(nanoseconds(started, Instant::now()), Ordering::Relaxed);
    }
}

/// Bounds the memory that decoders use at once: what does not fit waits; what is larger by itself runs alone.
#[derive(Debug)]
pub(crate) struct WorkingSet {
    limit: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

/// A share of the working set, given back when dropped.
pub(crate) struct Share<'a> {
    set: &'a WorkingSet,
    bytes: usize,
}

impl WorkingSet {
    fn new(limit: usize) -> Self {
        Self { limit, used: Mutex::new(0), freed: Condvar::new() }
    }

    fn used(&self) -> MutexGuard<'_, usize> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `bytes` fit. Holders are running threads, never queued ones, so the wait ends.
    pub(crate) fn take(&self, bytes: usize) -> Share<'_> {
        let mut used = self.used();
        while *used > 0 && used.saturating_add(bytes) > self.limit {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Share { set: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.set.used() -= self.bytes;
        self.set.freed.notify_all();
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs one image's work: not at all after a stop, and a panic in it is that image's error alone.
fn guarded<T>(stop: &AtomicBool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if stop.load(Ordering::Relaxed) {
        return Err(Error::new(Code::Interrupted, "the batch was stopped before this image"));
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::new(Code::Internal, "the decoder panicked")))
}

fn with_scratch<T>(context: &Context, work: impl FnOnce(&mut Scratch) -> Result<T>) -> Result<T> {
    SCRATCH.with_borrow_mut(|scratch| {
        let result = work(scratch);
        scratch.shrink(context.scratch_bytes);
        result
    })
}

/// Reads members and their pictures' headers.
#[must_use]
pub fn open<'a>(members: &[Member<'a>], context: &Context, stop: &AtomicBool) -> Vec<Result<Opened<'a>>> {
    members.par_iter().with_max_len(1).map(|member| guarded(stop, || sample::open(member, context))).collect()
}

/// Decodes opened members, each into a buffer of its size (`height * width * channels` bytes).
#[must_use]
pub fn decode_opened(jobs: Vec<(&Opened<'_>, &mut [u8])>, context: &Context, stop: &AtomicBool) -> Vec<Result<()>> {
    jobs.into_par_iter()
        .with_max_len(1)
        .map(|(opened, out)| {
            guarded(stop, || with_scratch(context, |scratch| sample::decode_opened(opened, out, scratch, context)))
        })
        .collect()
}

/// Decodes `members` into the slots of `out`, `height * width * channels` bytes each, laid end to end.
///
/// Images are the unit of work, so that no thread waits for another's share of a batch at its end. A failed slot's content
/// is unspecified; slots beyond the members are left alone.
#[must_use]
pub fn decode_into(
    members: &[Member<'_>],
    height: usize,
    width: usize,
    out: &mut [u8],
    context: &Context,
    stop: &AtomicBool,
) -> Vec<Result<()>> {
    let slot_bytes = height * width * context.options.mode.channels();
    if slot_bytes == 0 || out.len() / slot_bytes < members.len() {
        let error =
            Error::new(Code::Internal, format!("{} bytes for {} slots of {slot_bytes}", out.len(), members.len()));
        return vec![Err(error); members.len()];
    }
    members
        .par_iter()
        .zip(out.par_chunks_exact_mut(slot_bytes))
        .with_max_len(1)
        .map(|(member, slot)| {
            guarded(stop, || {
                with_scratch(context, |scratch| sample::decode_member(member, height, width, slot, scratch, context))
            })
        })
        .collect()
}
