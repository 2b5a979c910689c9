//! Neither decoder reads or writes beyond the slices it is given: they lie against pages that may not be touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;
#[path = "../../resize/tests/common/guarded.rs"]
mod guarded;

use std::fs;
use std::path::Path;

use common::compare::{output_size, wanted};
use guarded::Guarded;
use pixcrawler_jpeg::{Decoder, Jpeg, Scratch};

const MOST_BYTES: usize = 1 << 20;

#[test]
fn u06_nothing_beyond_the_slices_is_touched() {
    let (mut src, mut dst) = (Guarded::new(1 << 16), Guarded::new(MOST_BYTES));
    let mut scratch = Scratch::default();
    let mut decoded = 0;
    let mut decode = |bytes: &[u8], choice: usize, at_end: bool| {
        let src = src.slice(bytes.len(), at_end);
        src.copy_from_slice(bytes);
        for decoder in [Decoder::Native, Decoder::Turbo] {
            let Ok(mut jpeg) = Jpeg::open_with(src, decoder) else { continue };
            let wanted = wanted(&jpeg.header(), choice);
            let (width, height) = output_size(&jpeg.header(), &wanted);
            let length = width * height * wanted.format.channels();
            if length <= MOST_BYTES {
                decoded += usize::from(jpeg.decode_into(&wanted, dst.slice(length, at_end), &mut scratch).is_ok());
            }
        }
    };
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/jpeg");
    let mut files: Vec<Vec<u8>> =
        fs::read_dir(seeds).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    files.sort();
    for bytes in &files {
        for at_end in [true, false] {
            for length in 0..=bytes.len() {
                decode(&bytes[..length], length, at_end);
            }
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                decode(&changed, at, at_end);
            }
        }
    }
    assert!(decoded > 5000, "{decoded}");
}
