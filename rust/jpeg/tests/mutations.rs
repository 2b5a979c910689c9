//! Damaged files: refused, or the pixels that libjpeg-turbo makes of them. `examples/mutate.rs` tries more of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::compare::{Verdict, compare, compare_bands, wanted};
use common::mutate::mutate;
use common::{Random, data, samples};
use pixcrawler_jpeg::{Decoder, Error, ErrorKind, Jpeg, Scratch};

/// What the own decoder alone may refuse: libjpeg-turbo's fast path takes a code that is none for a zero and says nothing.
fn is_known(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt && error.message().contains("is no Huffman code")
}

/// Whether the own decoder decided.
fn try_one(random: &mut Random, bytes: &[u8], scratch: &mut Scratch, name: &str) -> bool {
    let Ok(jpeg) = Jpeg::open_with(bytes, Decoder::Native) else { return false };
    for choice in [0, random.below(10_000)] {
        let wanted = wanted(&jpeg.header(), choice);
        let verdict = compare(bytes, &wanted, scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
        match verdict {
            Verdict::Left | Verdict::Asked | Verdict::Large => return false,
            Verdict::Equal | Verdict::Refused(_) => {}
            Verdict::Stricter(error) => assert!(is_known(&error), "{name}, {wanted:?}: {error} is refused here alone"),
        }
        compare_bands(bytes, &wanted, scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
    }
    true
}

#[test]
fn made_files() {
    let (mut random, mut scratch) = (Random::new(1), Scratch::default());
    let mut decided = 0;
    for number in 0..3000 {
        let longest = random.pick(&[16, 40, 40, 120]);
        let (file, other) = (samples::any(&mut random, longest), samples::any(&mut random, longest));
        let (kind, bytes) = mutate(&mut random, &file, &other);
        decided += usize::from(try_one(&mut random, &bytes, &mut scratch, &format!("number {number}, damage {kind}")));
    }
    assert!(decided > 700, "libjpeg-turbo decided all but {decided}");
}

#[test]
fn photographs() {
    let Some(photographs) = data::photographs("photos-500.zip") else { return };
    let (mut random, mut scratch) = (Random::new(2), Scratch::default());
    let mut decided = 0;
    for number in 0..if data::takes_all() { 5000 } else { 40 } {
        let (name, file) = &photographs[random.below(photographs.len())];
        let (_, other) = &photographs[random.below(photographs.len())];
        let (kind, bytes) = mutate(&mut random, file, other);
        let name = format!("number {number}, {name}, damage {kind}");
        decided += usize::from(try_one(&mut random, &bytes, &mut scratch, &name));
    }
    assert!(decided > 5, "libjpeg-turbo decided all but {decided}");
}

/// Files in `data/` that were once taken wrongly, and what they are made of.
#[test]
fn known_files() {
    let mut scratch = Scratch::default();
    for (bytes, name) in [
        (include_bytes!("data/grey-8x8.jpg").as_slice(), "a sound one"),
        (include_bytes!("data/adobe-behind-a-scan.jpg"), "an Adobe marker between scans, too late for the colours"),
        (include_bytes!("data/scan-out-of-order.jpg"), "a scan header with the components in another order"),
    ] {
        let header = Jpeg::open_with(bytes, Decoder::Turbo).map(|jpeg| jpeg.header());
        let Ok(header) = header else {
            assert!(Jpeg::open_with(bytes, Decoder::Native).is_err(), "{name}");
            continue;
        };
        for choice in 0..60 {
            let wanted = wanted(&header, choice);
            compare(bytes, &wanted, &mut scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
            compare_bands(bytes, &wanted, &mut scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
        }
    }
}

/// libjpeg-turbo's fast path ends the data there and its slow path does not; what is left of the first stays in the block.
#[test]
fn fill_bytes_before_stuffed_zeros_are_for_libjpeg_turbo() {
    let (mut random, mut scratch) = (Random::new(3), Scratch::default());
    let mut asked = 0;
    for number in 0..300 {
        let mut bytes = samples::any(&mut random, 40);
        let stuffed: Vec<usize> = memchr::memmem::find_iter(&bytes, &[0xFF, 0]).collect();
        let Some(&at) = stuffed.last() else { continue };
        let header = Jpeg::open_with(&bytes, Decoder::Native).unwrap().header();
        bytes.insert(at, 0xFF);
        let verdict = compare(&bytes, &wanted(&header, 0), &mut scratch);
        asked += usize::from(verdict.unwrap_or_else(|wrong| panic!("number {number}: {wrong}")) == Verdict::Asked);
    }
    assert!(asked > 100, "{asked}");
}
