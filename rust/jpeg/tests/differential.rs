//! Sound pictures of all kinds: the pixels of libjpeg-turbo, bit for bit, and by the own decoder.
//!
//! With `PIXCRAWLER_JPEG_ALL` set, everything is tried instead of samples.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::compare::{Verdict, compare, compare_bands, formats, wanted};
use common::samples::{FACTORS, Script, coded};
use common::turbo::{Colors, Compression, Sampling, compress, pixels};
use common::{Random, data};
use pixcrawler_jpeg::{Decoder, Header, Jpeg, PixelFormat, Scale, Scratch, Wanted};

const SCALES: [Scale; 4] = [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth];

fn header(bytes: &[u8]) -> Header {
    Jpeg::open_with(bytes, Decoder::Turbo).unwrap().header()
}

/// The own decoder must decode it, to the same pixels, whole and in bands.
fn check(bytes: &[u8], wanted: &Wanted, scratch: &mut Scratch, name: &str) {
    let verdict = compare(bytes, wanted, scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
    assert_eq!(verdict, Verdict::Equal, "{name}, {wanted:?}");
    compare_bands(bytes, wanted, scratch).unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
}

/// All formats and scales, and some regions.
fn check_all(random: &mut Random, bytes: &[u8], scratch: &mut Scratch, name: &str) {
    let header = header(bytes);
    for &format in formats(header.color) {
        for scale in SCALES {
            check(bytes, &Wanted { scale, ..Wanted::whole(format) }, scratch, name);
        }
    }
    for _ in 0..3 {
        check(bytes, &a_region(random, &header), scratch, name);
    }
}

fn a_region(random: &mut Random, header: &Header) -> Wanted {
    loop {
        let wanted = wanted(header, random.below(1 << 30));
        if wanted.region.is_some() {
            return wanted;
        }
    }
}

#[test]
fn compressed_by_libjpeg_turbo() {
    let (mut random, mut scratch) = (Random::new(1), Scratch::default());
    let all = data::takes_all();
    let mut kinds: Vec<(Colors, Sampling)> = Vec::new();
    for colors in Colors::ALL {
        let is_sampled = matches!(colors, Colors::Ycc | Colors::Ycck);
        kinds.extend(Sampling::ALL[..if is_sampled { 6 } else { 1 }].iter().map(|&sampling| (colors, sampling)));
    }
    for (colors, sampling) in kinds {
        for side in 1..=40 {
            let others: Vec<usize> = if all { (1..=40).collect() } else { vec![1 + random.below(40)] };
            for other in others {
                let size = if random.below(2) == 0 { (side, other) } else { (other, side) };
                let pixels = pixels(&mut random, size, colors.channels());
                let intervals: &[i32] = if all { &[0, 1, 3, 8] } else { &[random.pick(&[0, 1, 3, 8])] };
                for (&restart_interval, number) in intervals.iter().zip(0..) {
                    let how = Compression {
                        colors,
                        sampling,
                        quality: random.pick(&[1, 20, 50, 75, 85, 92, 95, 100]),
                        restart_interval,
                        optimise: random.below(2) == 0,
                        progressive: (side + number) % 3 == 0,
                    };
                    let bytes = compress(&pixels, size, &how);
                    check_all(&mut random, &bytes, &mut scratch, &format!("{size:?}, {how:?}"));
                }
            }
        }
    }
}

#[test]
fn random_coefficients_under_all_scripts() {
    let (mut random, mut scratch) = (Random::new(2), Scratch::default());
    let sides = if data::takes_all() { 40 } else { 4 };
    for factors in FACTORS {
        for script in Script::ALL {
            for number in 1..=sides {
                let side = if sides == 40 { number } else { 1 + random.below(40) };
                let size = (side, 1 + random.below(40));
                let restart_interval = random.pick(&[0, 1, 3, 8]);
                let bytes = coded(&mut random, size, factors, script, restart_interval);
                let name = format!("{size:?}, {factors:?}, {script:?}, restarts {restart_interval}");
                check_all(&mut random, &bytes, &mut scratch, &name);
            }
        }
    }
}

/// Of photographs: each, or some; whole, in one other way, and a part.
fn check_photographs(archive: &str, some: usize) {
    let Some(photographs) = data::photographs(archive) else { return };
    let (mut random, mut scratch) = (Random::new(3), Scratch::default());
    let step = if data::takes_all() { 1 } else { photographs.len().div_ceil(some) };
    for (name, bytes) in photographs.iter().step_by(step) {
        let header = header(bytes);
        let scale = random.pick(&SCALES[1..]);
        let format = formats(header.color)[0];
        check(bytes, &wanted(&header, 0), &mut scratch, name);
        check(bytes, &Wanted { scale, ..Wanted::whole(format) }, &mut scratch, name);
        check(bytes, &a_region(&mut random, &header), &mut scratch, name);
    }
}

#[test]
fn demo_photographs() {
    let (mut random, mut scratch) = (Random::new(6), Scratch::default());
    let photographs = data::demo_photographs();
    assert!(photographs.len() >= 10);
    for (name, bytes) in &photographs {
        check_all(&mut random, bytes, &mut scratch, name);
    }
}

#[test]
fn photographs() {
    check_photographs("photos-500.zip", 50);
}

#[test]
fn large_photographs() {
    check_photographs("photos-large.zip", 4);
}

/// A few photographs under all the compressor's settings.
#[test]
fn photographs_compressed_anew() {
    let Some(photographs) = data::photographs("photos-500.zip") else { return };
    let (mut random, mut scratch) = (Random::new(4), Scratch::default());
    let step = if data::takes_all() { 1 } else { 170 };
    for (name, bytes) in photographs.iter().step_by(step) {
        let mut jpeg = Jpeg::open_with(bytes, Decoder::Turbo).unwrap();
        let header = jpeg.header();
        if header.color == pixcrawler_jpeg::Color::Grey {
            continue;
        }
        let mut pixels = vec![0; header.width * header.height * 3];
        jpeg.decode_into(&Wanted::whole(PixelFormat::Rgb), &mut pixels, &mut scratch).unwrap();
        for sampling in Sampling::ALL {
            let how = Compression {
                colors: Colors::Ycc,
                sampling,
                quality: random.pick(&[60, 85, 95]),
                restart_interval: random.pick(&[0, 0, 1, 100]),
                optimise: random.below(2) == 0,
                progressive: random.below(2) == 0,
            };
            let bytes = compress(&pixels, (header.width, header.height), &how);
            let name = format!("{name}, {how:?}");
            check(&bytes, &wanted(&header, 0), &mut scratch, &name);
            check(&bytes, &wanted(&header, random.below(1 << 30)), &mut scratch, &name);
        }
    }
}

#[test]
fn corpora() {
    let (mut random, mut scratch) = (Random::new(5), Scratch::default());
    // Files of the folder, and how many of them the own decoder delivers at least.
    for (folder, least) in [("valid", 15), ("reftest", 30), ("go-fuzz", 20), ("fuzz", 2)] {
        let Some(files) = data::corpus(&format!("jpeg/{folder}")) else { return };
        let mut delivered = 0;
        for (name, bytes) in &files {
            let Ok(jpeg) = Jpeg::open_with(bytes, Decoder::Native) else { continue };
            let choice = random.below(10_000);
            for choice in [0, choice] {
                let wanted = wanted(&jpeg.header(), choice);
                let verdict = compare(bytes, &wanted, &mut scratch);
                let verdict = verdict.unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
                delivered += usize::from(choice == 0 && verdict == Verdict::Equal);
                if !matches!(verdict, Verdict::Large) {
                    let bands = compare_bands(bytes, &wanted, &mut scratch);
                    bands.unwrap_or_else(|wrong| panic!("{name}, {wanted:?}: {wrong}"));
                }
            }
        }
        assert!(delivered >= least, "{folder}: {delivered} of {} delivered", files.len());
    }
}
