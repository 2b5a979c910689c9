//! Rayon pools of this process: one for each size, made at first use, made anew after a fork.
//!
//! The threads of a pool do not survive `fork`, and torch's `DataLoader` forks: in the child a generation counter is bumped,
//! and pools of an older generation are left where they are (nobody may wait for threads that do not exist).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::ThreadPool;

static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// Locked with the GIL held and never across a release of it: a fork, which Python makes with the GIL held, finds it free.
static POOLS: Mutex<Option<HashMap<(usize, usize), &'static ThreadPool>>> = Mutex::new(None);

/// How often a waiting thread looks for Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

/// Has forks of this process from now on noticed; once.
#[allow(unsafe_code)]
pub(crate) fn install_fork_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler does one atomic addition, which is allowed between fork and exec, and the library is never
        // unloaded (CPython does not unload extension modules).
        unsafe { libc::pthread_atfork(None, None, Some(after_fork_in_child)) };
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
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start {threads} decode threads: {error}")))?;
    let pool: &'static ThreadPool = Box::leak(Box::new(pool));
    pools.insert(key, pool);
    Ok(pool)
}

/// Runs `work` on the pool of `threads` threads with the GIL released, waking for Ctrl-C: then `work` sees its stop flag
/// set, is waited for, and the signal is raised.
pub(crate) fn run<T: Send>(py: Python<'_>, threads: usize, work: impl FnOnce(&AtomicBool) -> T + Send) -> PyResult<T> {
    let pool = get(py, threads)?;
    let stop = AtomicBool::new(false);
    let (mut result, mut signal) = (None, None);
    py.detach(|| {
        pool.in_place_scope(|scope| {
            let (finished, wait) = channel();
            let (stop, result) = (&stop, &mut result);
            scope.spawn(move |_| {
                *result = Some(work(stop));
                // The receiver lives until this scope ends.
                let _ = finished.send(());
            });
            while wait.recv_timeout(SIGNAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                #[allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
                let signals = Python::attach(|py| py.check_signals());
                if let Err(raised) = signals {
                    stop.store(true, Ordering::Relaxed);
                    signal = Some(raised);
                    break;
                }
            }
        });
    });
    match (signal, result) {
        (Some(raised), _) => Err(raised),
        (None, Some(result)) => Ok(result),
        (None, None) => Err(PyRuntimeError::new_err("the decode threads ended without a result")),
    }
}
