//! The own JPEG decoder against libjpeg-turbo: the same pixels, or a refusal.
#![no_main]

#[path = "../../rust/jpeg/tests/common/compare.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod compare;

use libfuzzer_sys::{Corpus, fuzz_target};
use pixcrawler_jpeg::{Decoder, Jpeg, Scratch};

/// Larger pictures take the time of many small ones and show nothing else.
const MAX_PIXELS: usize = 1 << 18;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(jpeg) = Jpeg::open_with(bytes, Decoder::Native) else { return Corpus::Keep };
    let header = jpeg.header();
    if header.width * header.height > MAX_PIXELS {
        return Corpus::Reject;
    }
    let mut scratch = Scratch::default();
    for choice in [0, bytes.len()] {
        let wanted = compare::wanted(&header, choice);
        if let Err(difference) = compare::compare(bytes, &wanted, &mut scratch) {
            panic!("{wanted:?}: {difference}");
        }
        if let Err(difference) = compare::compare_bands(bytes, &wanted, &mut scratch) {
            panic!("{wanted:?}: {difference}");
        }
    }
    Corpus::Keep
});
