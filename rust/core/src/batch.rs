//! Many members at once: each decoded into its own slot, on the Rayon pool that the caller is in, one result a slot.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

pub use crate::context::{Context, Counters, Member};
pub use crate::sample::Opened;
use crate::sample::{self, Scratch};
use crate::{Code, Error, Result};

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs one image's work: not at all after a stop, and a panic in it is that image's error alone.
fn guarded<T>(context: &Context, stop: &AtomicBool, work: impl FnOnce() -> Result<T>) -> Result<T> {
    if stop.load(Ordering::Relaxed) || context.is_stopped() {
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
    members.par_iter().with_max_len(1).map(|member| guarded(context, stop, || sample::open(member, context))).collect()
}

/// Decodes opened members, each into a buffer of its size (`height * width * channels` bytes).
#[must_use]
pub fn decode_opened(jobs: Vec<(&Opened<'_>, &mut [u8])>, context: &Context, stop: &AtomicBool) -> Vec<Result<()>> {
    jobs.into_par_iter()
        .with_max_len(1)
        .map(|(opened, out)| {
            guarded(context, stop, || {
                with_scratch(context, |scratch| sample::decode_opened(opened, out, scratch, context))
            })
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
            guarded(context, stop, || {
                with_scratch(context, |scratch| sample::decode_member(member, height, width, slot, scratch, context))
            })
        })
        .collect()
}
