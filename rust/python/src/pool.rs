//! Rayon pools of this process: one for each size, made at first use, made anew after a fork.
//!
//! The threads of a pool do not survive `fork`, and torch's `DataLoader` forks: in the child a generation counter is bumped,
//! and pools of an older generation are left where they are (nobody may wait for threads that do not exist).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use pixcrawler_core::batch::Share;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::ThreadPool;

use crate::memory;

static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// Locked with the GIL held and never across a release of it: a fork, which Python makes with the GIL held, finds it free.
static POOLS: Mutex<Option<HashMap<(usize, usize), &'static ThreadPool>>> = Mutex::new(None);

/// Rust's own default, whatever `RUST_MIN_STACK` and `ulimit -s` say: decoders do not recurse, but libraries' frames are large.
const STACK_BYTES: usize = 2 << 20;

/// How often a waiting thread looks for Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

extern "C" fn before_fork() {
    memory::lock_for_fork();
}

extern "C" fn after_fork_in_parent() {
    memory::unlock_after_fork();
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
    memory::unlock_after_fork();
}

/// Has forks of this process from now on noticed; once.
#[allow(unsafe_code)]
pub(crate) fn install_fork_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: in the child the handler does one atomic addition and unlocks what this very thread has locked, and the
        // library is never unloaded (CPython does not unload extension modules).
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
    });
}

fn get(_py: Python<'_>, threads: usize) -> PyResult<&'static ThreadPool> {
    let key = (GENERATION.load(Ordering::SeqCst), threads);
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = pools.get_or_insert_default();
    if let Some(pool) = pools.get(&key) {
        return Ok(pool);
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("pixcrawler-{index}"))
        .stack_size(STACK_BYTES)
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start {threads} decode threads: {error}")))?;
    let pool: &'static ThreadPool = Box::leak(Box::new(pool));
    pools.insert(key, pool);
    Ok(pool)
}

/// Has up to `shares` threads of the pool of `threads` call `share` at once, with the GIL released, waking for Ctrl-C: then
/// `share` sees its stop flag set, is waited for, and the signal is raised.
///
/// What several threads of the caller ask for is done in that order: a pool thread that finds one call's work all taken
/// begins the next call's.
pub(crate) fn run(py: Python<'_>, threads: usize, shares: usize, share: Share<'_>) -> PyResult<()> {
    let pool = get(py, threads)?;
    let stop = &AtomicBool::new(false);
    let mut signal = Ok(());
    py.detach(|| {
        pool.in_place_scope(|scope| {
            let (running, wait) = channel::<Infallible>();
            for _ in 0..shares.min(threads) {
                let running = running.clone();
                scope.spawn(move |_| {
                    share(stop);
                    drop(running);
                });
            }
            drop(running);
            // Disconnected when the last share is done.
            while signal.is_ok() && wait.recv_timeout(SIGNAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
                let signals = Python::attach(|py| py.check_signals());
                stop.store(signals.is_err(), Ordering::Relaxed);
                signal = signals;
            }
        });
    });
    signal
}
