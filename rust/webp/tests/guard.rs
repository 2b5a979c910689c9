//! libwebp reads and writes nothing beyond the slices it is given: they lie against pages that may not be touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../../resize/tests/common/guarded.rs"]
mod guarded;

use std::fs;
use std::path::Path;

use guarded::Guarded;
use pixcrawler_webp::{PixelFormat, decode_into, read_header};

const MOST_BYTES: usize = 1 << 20;

#[test]
fn u06_nothing_beyond_the_slices_is_touched() {
    let (mut src, mut dst) = (Guarded::new(1 << 16), Guarded::new(MOST_BYTES));
    let mut decoded = 0;
    let mut decode = |bytes: &[u8], at_end: bool| {
        let src = src.slice(bytes.len(), at_end);
        src.copy_from_slice(bytes);
        let Ok(header) = read_header(src) else { return };
        for format in [PixelFormat::Rgb, PixelFormat::Rgba] {
            let length = header.width * header.height * format.channels();
            if length <= MOST_BYTES {
                decoded += usize::from(decode_into(src, format, dst.slice(length, at_end)).is_ok());
            }
        }
    };
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/webp");
    let mut files: Vec<Vec<u8>> =
        fs::read_dir(seeds).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    files.sort();
    for bytes in &files {
        for at_end in [true, false] {
            for length in 0..=bytes.len() {
                decode(&bytes[..length], at_end);
            }
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                decode(&changed, at_end);
            }
        }
    }
    assert!(decoded > 500, "{decoded}");
}
