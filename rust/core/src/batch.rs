//! Many members at once, shared out among threads: one result a member, in order.
//!
//! The threads are the caller's: each function here takes `run`, hands it a [`Share`], and expects that to be called by as
//! many threads as are to take part, at once. Threads take the members one by one in order, and an image is the unit of work:
//! no thread waits for another at the end for longer than one image takes.

use std::cell::{Cell, RefCell};
use std::iter::Enumerate;
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub use crate::context::{Context, Counters, Member};
pub use crate::sample::Picture;
use crate::sample::{self, Scratch};
use crate::{Code, Error, Result};

/// One thread's part of a batch: it returns when no member is left to begin. A set flag ends it after the image in hand.
pub type Share<'s> = &'s (dyn Fn(&AtomicBool) + Sync);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs one image's work: not at all after a stop, and a panic in it is that image's error alone.
pub(crate) fn guarded<T>(
    context: &Context,
    stop: &AtomicBool,
    work: impl FnOnce(&mut Scratch) -> Result<T>,
) -> Result<T> {
    if stop.load(Ordering::Relaxed) || context.is_stopped() {
        return Err(Error::new(Code::Interrupted, "the batch was stopped before this image"));
    }
    let with_scratch = || {
        SCRATCH.with_borrow_mut(|scratch| {
            let result = work(scratch);
            scratch.shrink(context.scratch_bytes);
            result
        })
    };
    catch_unwind(AssertUnwindSafe(with_scratch))
        .unwrap_or_else(|_| Err(Error::new(Code::Internal, "the decoder panicked")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Items that threads take in order, and by position what became of them.
pub(crate) struct Shared<I, R> {
    items: Mutex<Enumerate<I>>,
    results: Mutex<Vec<Option<R>>>,
}

impl<I: ExactSizeIterator, R> Shared<I, R> {
    pub(crate) fn new(items: I) -> Self {
        let results = (0..items.len()).map(|_| None).collect();
        Self { items: Mutex::new(items.enumerate()), results: Mutex::new(results) }
    }

    /// Takes items until none is left.
    pub(crate) fn work(&self, each: impl Fn(usize, I::Item) -> Option<R>) {
        loop {
            // The lock is let go of before the work.
            let next = lock(&self.items).next();
            let Some((position, item)) = next else { return };
            let result = each(position, item);
            lock(&self.results)[position] = result;
        }
    }

    /// The results up to the first item that has none.
    pub(crate) fn finish(self) -> Vec<R> {
        let results = self.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.into_iter().map_while(|result| result).collect()
    }
}

/// The bound on outputs together. Bytes are granted in the members' order, whichever thread knows its size first, so that the
/// same members fit every time. Who waits for its turn waits for running threads alone, until they have read a header.
struct Room {
    max_bytes: usize,
    granted: Mutex<Granted>,
    turn: Condvar,
}

#[derive(Default)]
struct Granted {
    members: usize,
    bytes: usize,
    /// A member was left out, and all behind it are.
    is_full: bool,
}

impl Room {
    fn is_full(&self) -> bool {
        lock(&self.granted).is_full
    }

    /// Whether a member's output fits; to be called once for each member, with nothing for one that has no output.
    fn grant(&self, position: usize, bytes: usize) -> bool {
        let mut granted = lock(&self.granted);
        while granted.members < position && !granted.is_full {
            granted = self.turn.wait(granted).unwrap_or_else(PoisonError::into_inner);
        }
        if granted.is_full {
            return false;
        }
        granted.members += 1;
        granted.bytes = granted.bytes.saturating_add(bytes);
        granted.is_full = position > 0 && granted.bytes > self.max_bytes;
        self.turn.notify_all();
        !granted.is_full
    }
}

/// Reads members and their pictures' headers: (height, width) of the outputs.
///
/// # Errors
/// What `run` returns.
pub fn probe<E>(
    members: &[Member<'_>],
    context: &Context,
    run: impl FnOnce(Share<'_>) -> Result<(), E>,
) -> Result<Vec<Result<(usize, usize)>>, E> {
    let shared = Shared::new(members.iter());
    run(&|stop| {
        shared.work(|_, member| Some(guarded(context, stop, |scratch| sample::probe(member, scratch, context))));
    })?;
    Ok(shared.finish())
}

/// Decodes members, each into memory of its own of its picture's size (`height * width * channels` bytes or more), which
/// `allocate` gives.
///
/// The results are those of the first members: of as many as have outputs of `max_bytes` together, and of one at least.
///
/// # Errors
/// What `run` returns.
pub fn decode<B: DerefMut<Target = [u8]> + Send, E>(
    members: &[Member<'_>],
    max_bytes: usize,
    allocate: impl Fn(usize) -> Option<B> + Sync,
    context: &Context,
    run: impl FnOnce(Share<'_>) -> Result<(), E>,
) -> Result<Vec<Result<Picture<B>>>, E> {
    let room = Room { max_bytes, granted: Mutex::default(), turn: Condvar::new() };
    let shared = Shared::new(members.iter());
    run(&|stop| {
        shared.work(|position, member| {
            if room.is_full() {
                return None;
            }
            let has_asked = Cell::new(false);
            let take = |bytes| {
                has_asked.set(true);
                if !room.grant(position, bytes) {
                    return Ok(None);
                }
                let no_memory = || Error::new(Code::LimitMemory, format!("{bytes} bytes could not be allocated"));
                allocate(bytes).ok_or_else(no_memory).map(Some)
            };
            let result = guarded(context, stop, |scratch| sample::decode_own(member, take, scratch, context));
            let is_left = !has_asked.get() && !room.grant(position, 0);
            if is_left { None } else { result.transpose() }
        });
    })?;
    Ok(shared.finish())
}

/// Decodes `members` into the slots of `out`, `height * width * channels` bytes each, laid end to end.
///
/// A failed slot's content is unspecified; slots beyond the members are left alone. The result of a picture that was kept
/// though it is not whole ([`Options::keep_truncated`](crate::Options::keep_truncated)) is the error that it would be else.
///
/// # Errors
/// What `run` returns.
pub fn decode_into<E>(
    members: &[Member<'_>],
    height: usize,
    width: usize,
    out: &mut [u8],
    context: &Context,
    run: impl FnOnce(Share<'_>) -> Result<(), E>,
) -> Result<Vec<Result<Option<Error>>>, E> {
    let slot_bytes = height * width * context.options.mode.channels();
    if slot_bytes == 0 || out.len() / slot_bytes < members.len() {
        let error =
            Error::new(Code::Internal, format!("{} bytes for {} slots of {slot_bytes}", out.len(), members.len()));
        return Ok(vec![Err(error); members.len()]);
    }
    let shared = Shared::new(members.iter().zip(out.chunks_exact_mut(slot_bytes)));
    run(&|stop| {
        shared.work(|_, (member, slot)| {
            Some(guarded(context, stop, |scratch| sample::decode_member(member, height, width, slot, scratch, context)))
        });
    })?;
    Ok(shared.finish())
}
