//! Batches through the public face: pixels as Pillow has them, neighbours untouched, limits, stops.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::atomic::AtomicBool;

use pixcrawler_core::batch::{self, Context, Member};
use pixcrawler_core::codec::Decoder;
use pixcrawler_core::zip::Directory;
use pixcrawler_core::{Code, Filter, Fit, Limits, Mode, Options, Resize, Result};

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

fn decode(files: &[&[u8]], height: usize, width: usize, context: &Context) -> (Vec<u8>, Vec<Result<()>>) {
    let files = Files::new(files);
    let channels = context.options.mode.channels();
    let mut out = vec![0xAB; files.directory.len() * height * width * channels];
    let results = batch::decode_into(&files.members(), height, width, &mut out, context, &AtomicBool::new(false));
    (out, results)
}

fn code(result: &Result<()>) -> Option<Code> {
    result.as_ref().err().map(pixcrawler_core::Error::code)
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
        assert_eq!(results, [Ok(())], "{name}");
        assert_eq!(format!("{:08x}", crc32fast::hash(&pixels)), crc, "{name}");
    }
}

#[test]
fn both_ways_of_decoding_give_the_same() {
    let context = Context::new(options(), 1 << 20, 2);
    for (name, bytes) in FIXTURES {
        let files = Files::new(&[bytes]);
        let stop = AtomicBool::new(false);
        let opened = batch::open(&files.members(), &context, &stop).pop().unwrap().unwrap();
        let mut own = vec![0; opened.height * opened.width * 3];
        let results = batch::decode_opened(vec![(&opened, &mut own)], &context, &stop);
        assert_eq!(results, [Ok(())], "{name}");
        assert_eq!(own, decode(&[bytes], opened.height, opened.width, &context).0, "{name}");
    }
}

#[test]
fn what_was_in_the_buffers_before_does_not_show() {
    let resize = Some(Resize { height: 12, width: 18, fit: Fit::Crop, filter: Filter::Bilinear });
    for mode in [Mode::Grey, Mode::Rgb, Mode::Rgba] {
        let context = Context::new(Options { mode, resize, ..options() }, 1 << 20, 2);
        for (name, bytes) in FIXTURES {
            let alone = decode(&[bytes], 12, 18, &context);
            assert_eq!(alone.1, [Ok(())], "{name}");
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
    let (kept, results) = decode(&[cut], 17, 33, &keeping);
    assert_eq!(results, [Ok(())]);
    assert_eq!(kept[..33 * 3], decode(&[whole], 17, 33, &strict).0[..33 * 3], "the first row is whole");
}

#[test]
fn a_jpeg_that_lacks_its_end_marker_alone_is_whole() {
    let context = Context::new(options(), 1 << 20, 1);
    for name in ["baseline.jpg", "progressive.jpg"] {
        let bytes = fixture(name);
        let (pixels, results) = decode(&[&bytes[..bytes.len() - 2]], 17, 33, &context);
        assert_eq!(results, [Ok(())], "{name}");
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
            for opened in batch::open(&files.members(), &context, &stop).into_iter().flatten() {
                let mut out = vec![0; opened.height * opened.width * 3];
                let results = batch::decode_opened(vec![(&opened, &mut out)], &context, &stop);
                if results[0].is_ok() {
                    let whole = decode(&[bytes], opened.height, opened.width, &context).0;
                    assert!(out == whole, "{name} cut to {length} bytes was called good");
                }
                assert_ne!(code(&results[0]), Some(Code::Internal), "{name} cut to {length} bytes");
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
    assert_eq!(decode(&[fixture("baseline.jpg")], 17, 33, &context).1, [Ok(())]);
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
    let results = batch::decode_into(&files.members(), 10, 21, &mut out, &context, &stop);
    assert!(results.iter().all(|result| code(result) == Some(Code::Interrupted)));
    assert_eq!(Decoder::ALL.map(|decoder| context.counters.images(decoder)), [0; 4]);
}

#[test]
fn a_draft_is_decoded_smaller_and_still_covers() {
    let resize = Some(Resize { height: 8, width: 16, fit: Fit::Stretch, filter: Filter::Bilinear });
    let full = Context::new(Options { resize, ..options() }, 1 << 20, 1);
    let draft = Context::new(Options { resize, draft: true, ..options() }, 1 << 20, 1);
    let exact = decode(&[fixture("baseline.jpg")], 8, 16, &full).0;
    let (near, results) = decode(&[fixture("baseline.jpg")], 8, 16, &draft);
    assert_eq!(results, [Ok(())]);
    assert_ne!(near, exact, "33 x 17 at half its size covers 16 x 8");
    let size = Some(Resize { height: 10, width: 16, fit: Fit::Stretch, filter: Filter::Bilinear });
    let full = Context::new(Options { resize: size, ..options() }, 1 << 20, 1);
    let draft = Context::new(Options { resize: size, draft: true, ..options() }, 1 << 20, 1);
    let bytes = [fixture("baseline.jpg")];
    assert_eq!(decode(&bytes, 10, 16, &draft).0, decode(&bytes, 10, 16, &full).0, "half of 17 rows does not cover 10");
}
