//! Files of other projects' fuzzers, read as images and as archives: none may make any code panic.
//!
//! A panic is caught for each image and told as [`Code::Internal`]; in the parsers it fails the test. The development
//! profile, in which `cargo test` builds, checks arithmetic for overflow in all crates, as the profile `hardened` does
//! with optimised code. The files are read from `$PIXCRAWLER_TEST_DATA`, or from `../shared/data` beside the workspace.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says that it is skipped")]

mod archive;

use std::convert::Infallible;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use archive::{open, read};
use pixcrawler_core::batch::{self, Context, Member};
use pixcrawler_core::zip::Directory;
use pixcrawler_core::{Code, Filter, Fit, Limits, Mode, Options, Resize};

const THREADS: usize = 2;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// All files of the corpora, in a fixed order; of the project's own fixtures where there are none.
fn corpus() -> Vec<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let mut folder = std::env::var_os("PIXCRAWLER_TEST_DATA").map_or_else(beside, PathBuf::from).join("corpus");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {}; only the project's own fixtures are read", folder.display());
        folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    }
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    found
}

/// Calls `work` with each item, on several threads.
fn share_out<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

fn contexts() -> Vec<Context> {
    let limits = Limits { pixels: 1_000_000, scans: 20, ..Limits::default() };
    let options =
        Options { mode: Mode::Rgb, resize: None, apply_exif: true, draft: false, keep_truncated: true, limits };
    let resize = |height, width, fit, filter| Some(Resize { height, width, fit, filter });
    let crop = Options {
        mode: Mode::Rgba,
        resize: resize(33, 20, Fit::Crop, Filter::Bilinear),
        keep_truncated: false,
        ..options.clone()
    };
    let pad =
        Options { mode: Mode::Grey, resize: resize(7, 40, Fit::Pad, Filter::Lanczos), draft: true, ..options.clone() };
    [options, crop, pad].into_iter().map(|options| Context::new(options, 64 << 20, THREADS)).collect()
}

#[test]
fn f10_overflow_is_checked_where_it_is_not_switched_off() {
    let is_checked = catch_unwind(|| black_box(u8::MAX) + black_box(1)).is_err();
    assert!(is_checked || !cfg!(debug_assertions), "the development profile checks");
    if !is_checked {
        eprintln!("SKIPPED: built without overflow checks; `cargo test`, or `cargo test --profile hardened`, has them");
    }
}

#[test]
fn f10_no_file_makes_a_decoder_panic() {
    let contexts = contexts();
    let stop = AtomicBool::new(false);
    let (read, delivered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    share_out(&corpus(), |path| {
        let bytes = std::fs::read(path).unwrap();
        read.fetch_add(1, Ordering::Relaxed);
        let directory = Directory::bare([String::from("file")], [bytes.len() as u64]);
        let member = Member { buffer: &bytes, offset: 0, directory: &directory, index: 0 };
        for context in &contexts {
            let allocate = |length| Some(vec![0; length]);
            let Ok(results) = batch::decode(&[member], 0, allocate, context, |share| {
                share(&stop);
                Ok::<(), Infallible>(())
            });
            for result in results {
                match result {
                    Ok(_) => _ = delivered.fetch_add(1, Ordering::Relaxed),
                    Err(error) => assert_ne!(error.code(), Code::Internal, "{}: {error}", path.display()),
                }
            }
        }
    });
    let (read, delivered) = (read.into_inner(), delivered.into_inner());
    eprintln!("{read} files, {delivered} pictures of them");
    assert!(delivered >= 20);
}

#[test]
fn f10_no_file_makes_the_archive_reader_panic() {
    share_out(&corpus(), |path| {
        let bytes = std::fs::read(path).unwrap();
        if let Ok(directory) = open(&bytes) {
            for index in 0..directory.len() {
                _ = black_box(read(&directory, index, &bytes));
            }
        }
    });
}
