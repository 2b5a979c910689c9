//! Arbitrary bytes as images: alone, beside good ones, and as the EXIF block of a good one.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::thread;

use pixcrawler_core::batch::{self, Context, Share};
use pixcrawler_core::zip::Directory;
use pixcrawler_core::{Code, Filter, Fit, Limits, Mode, Options, Resize};

use crate::Numbers;
use crate::archive::{self, Archive, deflate};
use crate::mutate::png_chunk;

const JPEG: &[u8] = include_bytes!("../../rust/core/tests/data/baseline.jpg");
const PNG: &[u8] = include_bytes!("../../rust/core/tests/data/rgb.png");
const PALETTE: &[u8] = include_bytes!("../../rust/core/tests/data/palette.png");
const WEBP: &[u8] = include_bytes!("../../rust/core/tests/data/lossless.webp");

/// Larger pictures take the time of many small ones and show nothing else.
fn limits() -> Limits {
    Limits { pixels: 1 << 17, scans: 20, inflated_bytes: 1 << 20, ..Limits::default() }
}

fn options(mode: Mode, resize: Option<Resize>) -> Options {
    Options { mode, resize, apply_exif: true, draft: false, keep_truncated: false, limits: limits() }
}

fn context(options: Options) -> Context {
    Context::new(options, 1 << 24, 1)
}

/// Runs a share on so many threads at once.
fn on(threads: usize) -> impl FnOnce(Share<'_>) -> Result<(), Infallible> {
    move |share| {
        let stop = AtomicBool::new(false);
        if threads == 1 {
            share(&stop);
        } else {
            thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(|| share(&stop)))));
        }
        Ok(())
    }
}

/// Pixels, height and width.
type Picture = (Vec<u8>, usize, usize);

/// One file's picture at its own size, in memory filled with a byte.
fn decode_own(bytes: &[u8], context: &Context, fill: u8) -> Result<Picture, Code> {
    let directory = Directory::bare(["a"], [bytes.len() as u64]);
    let member = batch::Member { buffer: bytes, offset: 0, directory: &directory, index: 0 };
    let allocate = |length| Some(vec![fill; length]);
    let Ok(mut results) = batch::decode(&[member], 1 << 30, allocate, context, on(1));
    assert_eq!(results.len(), 1);
    match results.remove(0) {
        Ok(picture) => Ok((picture.pixels, picture.height, picture.width)),
        Err(error) => {
            assert_ne!(error.code(), Code::Internal, "{error}");
            Err(error.code())
        }
    }
}

fn probe(bytes: &[u8], context: &Context) -> Result<(usize, usize), Code> {
    let directory = Directory::bare(["a"], [bytes.len() as u64]);
    let member = batch::Member { buffer: bytes, offset: 0, directory: &directory, index: 0 };
    let Ok(mut results) = batch::probe(&[member], context, on(1));
    results.remove(0).map_err(|error| error.code())
}

/// Decodes in three ways: never `internal`, never dependent on what the memory held, and of the size that was probed.
pub fn check(bytes: &[u8]) {
    let resize = |height, width, fit, filter| Some(Resize { height, width, fit, filter });
    let plain = context(options(Mode::Rgb, None));
    let size = probe(bytes, &plain);
    let first = decode_own(bytes, &plain, 0);
    match (&first, size) {
        (Ok((pixels, height, width)), Ok(size)) => {
            assert_eq!(((*height, *width), pixels.len()), (size, height * width * 3));
        }
        (Err(_), Ok(_)) => {}
        (Err(code), Err(probed)) => assert_eq!(*code, probed),
        (Ok(_), Err(probed)) => panic!("decoded, though probing says {}", probed.as_str()),
    }
    assert_eq!(first, decode_own(bytes, &plain, 0xFF), "the pixels depend on what the memory held");
    let mut kept = options(Mode::Rgba, resize(5, 7, Fit::Crop, Filter::Bicubic));
    kept.keep_truncated = true;
    let kept = context(kept);
    let found = decode_own(bytes, &kept, 0);
    assert_eq!(found, decode_own(bytes, &kept, 0xFF), "the kept pixels depend on what the memory held");
    assert!(found.is_ok() || first.is_err(), "with truncated ones kept: {:?}", found.err());
    let mut draft = options(Mode::Grey, resize(9, 4, Fit::Pad, Filter::Lanczos));
    draft.draft = true;
    let found = decode_own(bytes, &context(draft), 0);
    assert_eq!(found.err(), first.err(), "the outcome depends on the size wanted");
}

/// How a good image is turned by an EXIF block: 0 upright, then each way of turning by its EXIF number.
fn turned(image: &[u8]) -> usize {
    let mut raw = options(Mode::Rgb, None);
    raw.apply_exif = false;
    let (raw, height, width) = decode_own(image, &context(raw), 0).expect("a good image");
    let (found, ..) = decode_own(image, &context(options(Mode::Rgb, None)), 0).expect("EXIF must not fail an image");
    let pixel = |y: usize, x: usize| &raw[(y * width + x) * 3..][..3];
    // Exif 2.32, 4.6.4 A: where the 0th row and the 0th column are.
    (1..=8)
        .find(|orientation| {
            let (out_height, out_width) = if *orientation >= 5 { (width, height) } else { (height, width) };
            let mut at = found.chunks_exact(3);
            (0..out_height).all(|y| {
                (0..out_width).all(|x| {
                    let (right, below) = (out_width - 1 - x, out_height - 1 - y);
                    let source = match orientation {
                        1 => pixel(y, x),
                        2 => pixel(y, right),
                        3 => pixel(below, right),
                        4 => pixel(below, x),
                        5 => pixel(x, y),
                        6 => pixel(height - 1 - x, y),
                        7 => pixel(height - 1 - x, width - 1 - y),
                        _ => pixel(x, width - 1 - y),
                    };
                    at.next() == Some(source)
                })
            })
        })
        .expect("a turn of the raw picture")
}

/// An EXIF block in a JPEG, a PNG and a WebP: none fails, and all turn the same way.
pub fn check_exif(tiff: &[u8]) {
    let tiff = &tiff[..tiff.len().min(65_000)];
    let length = (tiff.len() as u16 + 8).to_be_bytes();
    let jpeg = [&JPEG[..2], &[0xFF, 0xE1], &length, b"Exif\0\0", tiff, &JPEG[2..]].concat();
    let png = [&PNG[..33], &png_chunk(*b"eXIf", tiff), &PNG[33..]].concat();
    // A file of one lossless stream, made an extended one (WebP container specification, "Extended File Format").
    let mut webp = b"WEBPVP8X\x0A\0\0\0\x18\0\0\0\x17\0\0\x0D\0\0".to_vec();
    webp.extend(&WEBP[12..]);
    webp.extend(b"EXIF");
    webp.extend((tiff.len() as u32).to_le_bytes());
    webp.extend(tiff);
    webp.resize(webp.len().next_multiple_of(2), 0);
    let webp = [b"RIFF", &(webp.len() as u32).to_le_bytes()[..], &webp].concat();
    let found = [&jpeg, &png, &webp].map(|image| turned(image));
    assert!(found[0] == found[1] && found[1] == found[2], "turned as {found:?}");
}

const SIDE: usize = 12;

/// The good images, as they come out alone.
fn good() -> &'static [(&'static [u8], Vec<u8>)] {
    static GOOD: OnceLock<Vec<(&[u8], Vec<u8>)>> = OnceLock::new();
    GOOD.get_or_init(|| {
        [JPEG, PNG, WEBP, PALETTE]
            .map(|bytes| (bytes, decode_own(bytes, &context(batch_options()), 0).expect("a good image").0))
            .into()
    })
}

fn batch_options() -> Options {
    let resize = Resize { height: SIDE, width: SIDE, fit: Fit::Stretch, filter: Filter::Bilinear };
    options(Mode::Rgb, Some(resize))
}

/// A zip of good members and arbitrary ones, in one batch: one result a slot, good ones as when they are alone, and the
/// same with one thread as with several.
pub fn check_batch(input: &[u8]) {
    let mut numbers = Numbers(input);
    let threads = numbers.range(1, 8) as usize;
    let mut members = Vec::new();
    let mut expected = Vec::new();
    while members.len() < 12 && !numbers.0.is_empty() {
        let choice = numbers.u8();
        let (bytes, pixels) = match usize::from(choice & 7) {
            at @ 0..4 => (good()[at].0, Some(&good()[at].1)),
            _ => {
                let length = usize::from(numbers.u16()) % 600;
                (numbers.bytes(length), None)
            }
        };
        let name = format!("{}.jpg", members.len());
        let mut member = archive::Member::stored(name, bytes);
        if choice & 8 != 0 {
            (member.method, member.packed) = (8, deflate(bytes));
        }
        if choice & 16 != 0 && pixels.is_none() {
            // The bytes are what stands in the archive.
            (member.method, member.packed) = (8, bytes.to_vec());
        }
        members.push(member);
        expected.push(pixels);
    }
    let bytes = Archive::new(&members).bytes;
    // A member of bad bytes can hide a second end record; then the archive is refused as a whole.
    let Ok(directory) = archive::open(&bytes) else { return };
    assert_eq!(directory.len(), expected.len());
    let run = |threads: usize, fill: u8| {
        let batch: Vec<_> = (0..directory.len())
            .map(|index| {
                let extent = directory.extent(index);
                let buffer = &bytes[extent.start as usize..extent.end as usize];
                batch::Member { buffer, offset: extent.start, directory: &directory, index }
            })
            .collect();
        let slot = SIDE * SIDE * 3;
        let mut out = vec![fill; (batch.len() + 1) * slot];
        let context = Context::new(batch_options(), 1 << 20, threads);
        let Ok(results) = batch::decode_into(&batch, SIDE, SIDE, &mut out, &context, on(threads));
        assert_eq!(results.len(), batch.len());
        assert!(out[batch.len() * slot..].iter().all(|&byte| byte == fill), "written beyond the last slot");
        let outcome = |(result, slot): (&pixcrawler_core::Result<_>, &[u8])| match result {
            Ok(_) => Ok(slot.to_vec()),
            Err(error) => Err(pixcrawler_core::Error::code(error)),
        };
        results.iter().zip(out.chunks_exact(slot)).map(outcome).collect::<Vec<_>>()
    };
    let found = run(threads, 0);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_ne!(found.as_ref().err(), Some(&Code::Internal), "slot {index}");
        if let Some(expected) = expected {
            assert!(
                found.as_ref() == Ok(*expected),
                "slot {index} is not as when it is alone: {:?}",
                found.as_ref().err()
            );
        }
    }
    assert!(found == run(1, 0xFF), "another result with one thread than with {threads}");
}
