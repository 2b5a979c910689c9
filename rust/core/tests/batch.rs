//! Batches through the public face: pixels as Pillow has them, neighbours untouched, limits, stops.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pixcrawler_core::batch::{self, Context, Member, Picture, Share};
use pixcrawler_core::codec::Decoder;
use pixcrawler_core::zip::Directory;
use pixcrawler_core::{Code, Error, Filter, Fit, Limits, Mode, Options, Resize, Result};

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => { &[$(($name, include_bytes!(concat!("data/", $name)) as &[u8])),*] };
}

const FIXTURES: &[(&str, &[u8])] = fixtures![
    "alpha.png",
    "animated.webp",
    "baseline.jpg",
    "cmyk.jpg",
    "grey-alpha.png",
    "grey.jpg",
    "lossless.webp",
    "lossy.webp",
    "palette.png",
    "progressive.jpg",
    "rgb.png",
    "sideways.jpg",
];

fn fixture(name: &str) -> &'static [u8] {
    FIXTURES.iter().find(|(known, _)| *known == name).expect("a fixture of that name").1
}

fn options() -> Options {
    Options {
        mode: Mode::Rgb,
        resize: None,
        apply_exif: true,
        draft: false,
        keep_truncated: false,
        limits: Limits::default(),
    }
}

/// Files laid end to end, as a folder of images is read.
struct Files {
    bytes: Vec<u8>,
    directory: Directory,
}

impl Files {
    fn new(files: &[&[u8]]) -> Self {
        let names = (0..files.len()).map(|number| number.to_string());
        let sizes = files.iter().map(|file| file.len() as u64);
        Self { bytes: files.concat(), directory: Directory::bare(names, sizes) }
    }

    fn members(&self) -> Vec<Member<'_>> {
        let member = |index| Member { buffer: &self.bytes, offset: 0, directory: &self.directory, index };
        (0..self.directory.len()).map(member).collect()
    }
}

/// Calls a share on so many threads at once.
#[allow(clippy::unnecessary_wraps, reason = "as the functions under test want it")]
fn on(threads: usize, stop: &AtomicBool, share: Share<'_>) -> Result<(), Infallible> {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| share(stop));
        }
    });
    Ok(())
}

fn decode_into(
    files: &Files,
    height: usize,
    width: usize,
    out: &mut [u8],
    context: &Context,
    stop: &AtomicBool,
) -> Vec<Result<Option<Error>>> {
    let Ok(results) = batch::decode_into(&files.members(), height, width, out, context, |share| on(2, stop, share));
    results
}

fn decode_own(
    files: &Files,
    max_bytes: usize,
    context: &Context,
    threads: usize,
    stop: &AtomicBool,
) -> Vec<Result<Picture<Vec<u8>>>> {
    let allocate = |length| Some(vec![0xAB; length + 7]);
    let run = |share: Share<'_>| on(threads, stop, share);
    let Ok(results) = batch::decode(&files.members(), max_bytes, allocate, context, run);
    results
}

fn decode(files: &[&[u8]], height: usize, width: usize, context: &Context) -> (Vec<u8>, Vec<Result<Option<Error>>>) {
    let files = Files::new(files);
    let channels = context.options.mode.channels();
    let mut out = vec![0xAB; files.directory.len() * height * width * channels];
    let results = decode_into(&files, height, width, &mut out, context, &AtomicBool::new(false));
    (out, results)
}

fn code(result: &Result<Option<Error>>) -> Option<Code> {
    result.as_ref().err().map(Error::code)
}

#[test]
fn pixels_and_sizes_are_pillows() {
    let golden = include_str!("data/golden.txt");
    assert_eq!(golden.lines().count(), FIXTURES.len());
    let context = Context::new(options(), 1 << 20, 2);
    for line in golden.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, width, height, crc] = fields[..] else { panic!("a golden line of four fields: {line}") };
        let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
        let (pixels, results) = decode(&[fixture(name)], height, width, &context);
        assert_eq!(results, [Ok(None)], "{name}");
        assert_eq!(format!("{:08x}", crc32fast::hash(&pixels)), crc, "{name}");
    }
}

#[test]
fn both_ways_of_decoding_give_the_same() {
    let context = Context::new(options(), 1 << 20, 2);
    for (name, bytes) in FIXTURES {
        let files = Files::new(&[bytes]);
        let stop = AtomicBool::new(false);
        let own = decode_own(&files, 0, &context, 2, &stop).pop().unwrap().unwrap();
        let run = |share: Share<'_>| on(2, &stop, share);
        assert_eq!(batch::probe(&files.members(), &context, run), Ok(vec![Ok((own.height, own.width))]), "{name}");
        let length = own.height * own.width * 3;
        assert_eq!(own.pixels[..length], decode(&[bytes], own.height, own.width, &context).0, "{name}");
        assert_eq!(own.pixels[length..], [0xAB; 7], "{name}");
    }
}

#[test]
fn pictures_of_their_own_keep_to_the_bound_and_to_their_order() {
    let context = Context::new(options(), 1 << 20, 4);
    let (wide, tall) = (fixture("rgb.png"), fixture("sideways.jpg"));
    let good: Vec<&[u8]> = [wide, tall].into_iter().cycle().take(40).collect();
    let stop = AtomicBool::new(false);
    let whole = decode_own(&Files::new(&good), usize::MAX, &context, 1, &stop);
    let sizes: Vec<usize> = whole.iter().map(|picture| picture.as_ref().unwrap().pixels.len() - 7).collect();
    for threads in [1, 2, 5] {
        for fitting in [1, 2, 7, 39] {
            let files = Files::new(&good);
            for max_bytes in [sizes[..fitting].iter().sum(), sizes[..=fitting].iter().sum::<usize>() - 1] {
                let results = decode_own(&files, max_bytes, &context, threads, &stop);
                assert_eq!(results.len(), fitting, "{threads} threads, {max_bytes} bytes");
                for (found, expected) in results.iter().zip(&whole) {
                    assert!(found.as_ref().unwrap().pixels == expected.as_ref().unwrap().pixels);
                }
            }
        }
        assert_eq!(decode_own(&Files::new(&good), 0, &context, threads, &stop).len(), 1, "the first is never left out");
    }
}

#[test]
fn memory_is_taken_for_no_picture_behind_the_first_that_does_not_fit() {
    let context = Context::new(options(), 1 << 20, 4);
    let files = Files::new(&[fixture("rgb.png"); 30]);
    let stop = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    let allocate = |length| {
        taken.fetch_add(1, Ordering::Relaxed);
        Some(vec![0; length])
    };
    let max_bytes = 5 * 10 * 21 * 3;
    let Ok(results) = batch::decode(&files.members(), max_bytes, allocate, &context, |share| on(4, &stop, share));
    assert_eq!((results.len(), taken.into_inner()), (5, 5));
}

#[test]
fn bad_members_take_no_room_and_no_neighbour_along() {
    let context = Context::new(options(), 1 << 20, 4);
    let good = fixture("rgb.png");
    let files = Files::new(&[b"bad", good, b"", b"GIF89a", good, &good[..good.len() / 2], good]);
    let stop = AtomicBool::new(false);
    for threads in [1, 4] {
        let results = decode_own(&files, 4 * 10 * 21 * 3, &context, threads, &stop);
        let is_good: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(is_good, [false, true, false, false, true, false, true]);
    }
    let none = |_: usize| None::<Vec<u8>>;
    let Ok(results) = batch::decode(&files.members(), usize::MAX, none, &context, |share| on(2, &stop, share));
    let codes: Vec<Code> = results.into_iter().map(|result| result.unwrap_err().code()).collect();
    assert_eq!(codes[1], Code::LimitMemory);
    assert_eq!(codes.len(), 7);
}

#[test]
fn f02_a_panic_is_one_members_error_and_the_next_batch_is_right() {
    let context = Context::new(options(), 1 << 20, 3);
    let good = fixture("rgb.png");
    let files = Files::new(&[good; 12]);
    let stop = AtomicBool::new(false);
    let expected = decode_own(&files, usize::MAX, &context, 1, &stop);
    for threads in [1, 3] {
        let asked = AtomicUsize::new(0);
        // Two injected panics, each in the midst of an image's work, its share of the working set not taken yet.
        let allocate = |length| {
            assert!(!matches!(asked.fetch_add(1, Ordering::Relaxed), 2 | 7), "injected by the test");
            Some(vec![0; length + 7])
        };
        let run = |share: Share<'_>| on(threads, &stop, share);
        let Ok(results) = batch::decode(&files.members(), usize::MAX, allocate, &context, run);
        assert_eq!(results.len(), 12);
        let failed: Vec<Code> = results.iter().filter_map(|result| Some(result.as_ref().err()?.code())).collect();
        assert_eq!(failed, [Code::Internal; 2]);
        let again = decode_own(&files, usize::MAX, &context, threads, &stop);
        for (found, expected) in again.iter().zip(&expected) {
            assert!(found.as_ref().unwrap().pixels == expected.as_ref().unwrap().pixels);
        }
    }
}

#[test]
fn what_was_in_the_buffers_before_does_not_show() {
    let resize = Some(Resize { height: 12, width: 18, fit: Fit::Crop, filter: Filter::Bilinear });
    for mode in [Mode::Grey, Mode::Rgb, Mode::Rgba] {
        let context = Context::new(Options { mode, resize, ..options() }, 1 << 20, 2);
        for (name, bytes) in FIXTURES {
            let alone = decode(&[bytes], 12, 18, &context);
            assert_eq!(alone.1, [Ok(None)], "{name}");
            let again = decode(&[fixture("cmyk.jpg"), bytes], 12, 18, &context).0;
            assert_eq!(alone.0, again[again.len() / 2..], "{name} as {mode:?}");
        }
    }
}

#[test]
fn a_bad_image_leaves_its_neighbours_alone() {
    let good = fixture("rgb.png");
    let cut = &fixture("rgb.png")[..good.len() - 20];
    let context = Context::new(options(), 1 << 20, 2);
    let (pixels, results) = decode(&[good, cut, good, b"<html>", good], 10, 21, &context);
    let codes: Vec<_> = results.iter().map(code).collect();
    assert_eq!(codes, [None, Some(Code::TruncatedImage), None, Some(Code::NotAnImage), None]);
    let alone = decode(&[good], 10, 21, &context).0;
    for position in [0, 2, 4] {
        assert_eq!(pixels[position * alone.len()..][..alone.len()], alone);
    }
}

#[test]
fn another_size_is_refused_with_both() {
    let context = Context::new(options(), 1 << 20, 1);
    let (_, results) = decode(&[fixture("rgb.png")], 10, 20, &context);
    assert_eq!(code(&results[0]), Some(Code::ImageSize));
    assert_eq!(results[0].as_ref().unwrap_err().detail(), "expected 10 x 20 (height x width), got 10 x 21");
}

#[test]
fn truncated_jpegs_are_kept_on_request_alone() {
    let whole = fixture("baseline.jpg");
    let cut = &whole[..whole.len() - 30];
    let strict = Context::new(options(), 1 << 20, 1);
    assert_eq!(code(&decode(&[cut], 17, 33, &strict).1[0]), Some(Code::TruncatedImage));
    let keeping = Context::new(Options { keep_truncated: true, ..options() }, 1 << 20, 1);
    let (kept, results) = decode(&[cut, whole], 17, 33, &keeping);
    let flaws: Vec<_> = results.iter().map(|result| result.as_ref().unwrap().as_ref().map(Error::code)).collect();
    assert_eq!(flaws, [Some(Code::TruncatedImage), None], "it is told from a whole one");
    let own = decode_own(&Files::new(&[cut]), 0, &keeping, 1, &AtomicBool::new(false)).pop().unwrap().unwrap();
    assert_eq!(own.flaw.map(|flaw| flaw.code()), Some(Code::TruncatedImage));
    assert_eq!(kept[..33 * 3], decode(&[whole], 17, 33, &strict).0[..33 * 3], "the first row is whole");
}

#[test]
fn a_jpeg_that_lacks_its_end_marker_alone_is_whole() {
    let context = Context::new(options(), 1 << 20, 1);
    for name in ["baseline.jpg", "progressive.jpg"] {
        let bytes = fixture(name);
        let (pixels, results) = decode(&[&bytes[..bytes.len() - 2]], 17, 33, &context);
        assert_eq!(results, [Ok(None)], "{name}");
        assert_eq!(pixels, decode(&[bytes], 17, 33, &context).0, "{name}");
    }
}

#[test]
fn a_progressive_jpeg_without_its_last_scan_is_not() {
    let bytes = fixture("progressive.jpg");
    let last_scan = bytes.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
    let tables = bytes[..last_scan].windows(2).rposition(|pair| pair == [0xFF, 0xC4]).unwrap();
    let context = Context::new(options(), 1 << 20, 1);
    let (_, results) = decode(&[&bytes[..tables]], 17, 33, &context);
    assert_eq!(code(&results[0]), Some(Code::TruncatedImage));
}

#[test]
fn every_cut_of_every_fixture_is_an_error_or_the_picture() {
    let context = Context::new(options(), 1 << 20, 2);
    for (name, bytes) in FIXTURES {
        for length in 0..bytes.len() {
            let files = Files::new(&[&bytes[..length]]);
            let stop = AtomicBool::new(false);
            for result in decode_own(&files, 0, &context, 1, &stop) {
                if let Ok(Picture { pixels, height, width, .. }) = &result {
                    let whole = decode(&[bytes], *height, *width, &context).0;
                    assert!(pixels.starts_with(&whole), "{name} cut to {length} bytes was called good");
                }
                assert_ne!(
                    result.err().map(|error| error.code()),
                    Some(Code::Internal),
                    "{name} cut to {length} bytes"
                );
            }
        }
    }
}

#[test]
fn limits_come_before_the_pixels() {
    let few = Limits { pixels: 200, ..Limits::default() };
    let context = Context::new(Options { limits: few, ..options() }, 1 << 20, 1);
    assert_eq!(code(&decode(&[fixture("rgb.png")], 10, 21, &context).1[0]), Some(Code::LimitPixels));
    let scans = Limits { scans: 2, ..Limits::default() };
    let context = Context::new(Options { limits: scans, ..options() }, 1 << 20, 1);
    assert_eq!(code(&decode(&[fixture("progressive.jpg")], 17, 33, &context).1[0]), Some(Code::LimitScans));
    assert_eq!(decode(&[fixture("baseline.jpg")], 17, 33, &context).1, [Ok(None)]);
}

#[test]
fn what_needs_more_than_the_working_set_runs_alone() {
    let resize = Some(Resize { height: 9, width: 9, fit: Fit::Pad, filter: Filter::Lanczos });
    let context = Context::new(Options { resize, ..options() }, 1, 2);
    let all: Vec<&[u8]> = FIXTURES.iter().map(|(_, bytes)| *bytes).collect();
    let (tight, results) = decode(&all, 9, 9, &context);
    assert!(results.iter().all(Result::is_ok));
    let roomy = Context::new(Options { resize, ..options() }, 1 << 30, 2);
    assert_eq!(tight, decode(&all, 9, 9, &roomy).0);
}

#[test]
fn a_stop_ends_the_batch() {
    let files = Files::new(&[fixture("rgb.png"); 3]);
    let context = Context::new(options(), 1 << 20, 1);
    let stop = AtomicBool::new(true);
    let mut out = vec![0; 3 * 10 * 21 * 3];
    let results = decode_into(&files, 10, 21, &mut out, &context, &stop);
    assert!(results.iter().all(|result| code(result) == Some(Code::Interrupted)));
    let own = decode_own(&files, usize::MAX, &context, 2, &stop);
    assert!(own.iter().all(|result| result.as_ref().is_err_and(|error| error.code() == Code::Interrupted)));
    assert_eq!(Decoder::ALL.map(|decoder| context.counters.images(decoder)), [0; Decoder::ALL.len()]);
}

#[test]
fn a_draft_is_decoded_smaller_and_still_covers() {
    let resize = Some(Resize { height: 8, width: 16, fit: Fit::Stretch, filter: Filter::Bilinear });
    let full = Context::new(Options { resize, ..options() }, 1 << 20, 1);
    let draft = Context::new(Options { resize, draft: true, ..options() }, 1 << 20, 1);
    let exact = decode(&[fixture("baseline.jpg")], 8, 16, &full).0;
    let (near, results) = decode(&[fixture("baseline.jpg")], 8, 16, &draft);
    assert_eq!(results, [Ok(None)]);
    assert_ne!(near, exact, "33 x 17 at half its size covers 16 x 8");
    let size = Some(Resize { height: 10, width: 16, fit: Fit::Stretch, filter: Filter::Bilinear });
    let full = Context::new(Options { resize: size, ..options() }, 1 << 20, 1);
    let draft = Context::new(Options { resize: size, draft: true, ..options() }, 1 << 20, 1);
    let bytes = [fixture("baseline.jpg")];
    assert_eq!(decode(&bytes, 10, 16, &draft).0, decode(&bytes, 10, 16, &full).0, "half of 17 rows does not cover 10");
}
