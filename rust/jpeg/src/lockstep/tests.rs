//! Pictures of several scans, decoded here and by libjpeg-turbo.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says that it is skipped")]

mod encoder;

use std::path::{Path, PathBuf};

use encoder::{Coded, Picture, Scan};

use crate::back::{Component, Kernel, Layout, Region, Target, Transform};
use crate::header;
use crate::native::{self, Refusal, Scratch};
use crate::turbo::Jpeg;
use crate::{Error, PixelFormat, Scale};

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 20) as usize % end
    }

    /// Of any sign, of small magnitude more often than of a large one, at most 2^bits - 1.
    fn value(&mut self, bits: usize) -> i32 {
        let size = self.below(bits + 1);
        let magnitude = self.below(1 << size) as i32;
        if self.below(2) == 0 { magnitude } else { -magnitude }
    }
}

fn block(random: &mut Random, is_hostile: bool) -> [i32; 64] {
    let mut block = [0; 64];
    block[0] = random.value(if is_hostile { 14 } else { 7 });
    let end = [1, 1, 1, 2, 6, 10, 30, 64, 64][random.below(9)];
    // One coefficient of how many is not zero.
    let sparse = [1, 2, 4, 20][random.below(4)];
    let bits = if is_hostile { [2, 5, 15][random.below(3)] } else { 5 };
    for value in &mut block[1..end.max(1)] {
        if random.below(sparse) == 0 {
            *value = random.value(bits);
        }
    }
    block
}

fn picture(
    random: &mut Random,
    (width, height): (usize, usize),
    factors: &[(usize, usize)],
    is_progressive: bool,
    is_hostile: bool,
) -> Picture {
    let (max_h, max_v) = (factors.iter().map(|f| f.0).max().unwrap(), factors.iter().map(|f| f.1).max().unwrap());
    let components = factors.iter().map(|&(h, v)| {
        let (columns, rows) = (width.div_ceil(8 * max_h) * h, height.div_ceil(8 * max_v) * v);
        let mut empty = 0;
        let blocks = (0..columns * rows).map(|_| {
            // Stretches of empty blocks, for EOB runs.
            empty = if empty > 0 {
                empty - 1
            } else if random.below(8) == 0 {
                random.below(40)
            } else {
                0
            };
            if empty > 0 { [0; 64] } else { block(random, is_hostile) }
        });
        Coded { h, v, columns, blocks: blocks.collect() }
    });
    Picture { width, height, components: components.collect(), is_progressive }
}

/// Random groups of components, none with more blocks in an MCU than are allowed.
fn groups(random: &mut Random, picture: &Picture) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..picture.components.len() {
        let blocks = |index: &usize| picture.components[*index].h * picture.components[*index].v;
        match groups.last_mut() {
            Some(group) if random.below(3) > 0 && group.iter().map(blocks).sum::<usize>() + blocks(&index) <= 10 => {
                group.push(index);
            }
            _ => groups.push(vec![index]),
        }
    }
    groups
}

fn restart_interval(random: &mut Random) -> usize {
    [0, 0, 1, 2, 5, 17][random.below(6)]
}

/// A random script that brings all coefficients to their last bits, each from a position up to `high`.
fn script(random: &mut Random, picture: &Picture, high: u32) -> Vec<Scan> {
    if !picture.is_progressive {
        let scan = |components: Vec<usize>, random: &mut Random| Scan {
            components,
            spectral: (0, 63),
            approximation: (0, 0),
            restart_interval: restart_interval(random),
        };
        return groups(random, picture).into_iter().map(|group| scan(group, random)).collect();
    }
    let mut scans = Vec::new();
    let mut low = random.below(high as usize + 1) as u32;
    let mut dc = Vec::new();
    let mut before = 0;
    loop {
        for components in groups(random, picture) {
            dc.push(Scan {
                components,
                spectral: (0, 0),
                approximation: (before, low),
                restart_interval: restart_interval(random),
            });
        }
        if low == 0 {
            break;
        }
        (before, low) = (low, low - 1);
    }
    // First DC scans come before all others; their refinements anywhere.
    let is_first = |scan: &Scan| scan.approximation.0 == 0;
    scans.extend(dc.iter().filter(|scan| is_first(scan)).cloned());
    dc.retain(|scan| !is_first(scan));
    dc.reverse();
    let mut reached = vec![[None; 64]; picture.components.len()];
    while reached.iter().any(|bits| bits[1..].iter().any(|&bit| bit != Some(0))) || !dc.is_empty() {
        if random.below(4) == 0 {
            scans.extend(dc.pop());
        }
        let component = random.below(reached.len());
        let bits = &mut reached[component];
        let start = if random.below(2) == 0 { 1 } else { 1 + random.below(63) };
        let Some(first) = (start..64).find(|&index| bits[index] != Some(0)) else { continue };
        let same = (first..64).take_while(|&index| bits[index] == bits[first]).count();
        let last = first + if random.below(3) == 0 { random.below(same) } else { same - 1 };
        let (before, low) = match bits[first] {
            None => (0, random.below(high as usize + 1) as u32),
            Some(bit) => (bit, bit - 1),
        };
        bits[first..=last].fill(Some(low));
        scans.push(Scan {
            components: vec![component],
            spectral: (first, last),
            approximation: (before, low),
            restart_interval: restart_interval(random),
        });
        if scans.len() > 100 {
            return script(random, picture, high);
        }
    }
    scans
}

fn format(components: usize) -> PixelFormat {
    match components {
        1 => PixelFormat::Grey,
        3 => PixelFormat::Rgb,
        _ => PixelFormat::Cmyk,
    }
}

fn layout(picture: &header::Picture, scale: Scale) -> Layout {
    let component = |part: &header::Component| Component { h: part.h, v: part.v, quant: part.quant };
    Layout {
        width: picture.header.width,
        height: picture.header.height,
        components: picture.components.iter().map(component).collect(),
        transform: if picture.is_ycc { Transform::YccToRgb } else { Transform::None },
        format: format(picture.components.len()),
        scale,
        region: None,
    }
}

/// What this crate makes of a file; `None` if it is not for it.
fn decode(file: &[u8], kernel: Kernel, scale: Scale, scratch: &mut Scratch) -> Option<Result<Vec<u8>, Error>> {
    let picture = header::parse(file)?;
    let format = format(picture.components.len());
    let (width, height) = (picture.header.width, picture.header.height);
    let layout = layout(&picture, scale);
    let mut pixels = vec![0x55; scale.apply(width) * scale.apply(height) * format.channels()];
    match native::decode(&picture, file, kernel, &layout, Target::Picture(&mut pixels), scratch) {
        Ok(()) => Some(Ok(pixels)),
        Err(Refusal::Damaged(error)) => Some(Err(error)),
        Err(Refusal::AskTurbo) => None,
    }
}

/// What libjpeg-turbo makes of it.
fn decode_turbo(file: &[u8], scale: Scale) -> Result<Vec<u8>, Error> {
    let mut jpeg = Jpeg::open(file)?;
    let header = jpeg.header();
    let format = match header.color {
        crate::Color::Grey => PixelFormat::Grey,
        crate::Color::Rgb => PixelFormat::Rgb,
        crate::Color::Cmyk => PixelFormat::Cmyk,
    };
    let mut pixels = vec![0; scale.apply(header.width) * scale.apply(header.height) * format.channels()];
    jpeg.decode_into(format, scale, false, &mut pixels)?;
    Ok(pixels)
}

fn kernels() -> Vec<Kernel> {
    Kernel::ALL.iter().copied().filter(|kernel| kernel.is_there()).collect()
}

/// A sound picture must be decoded here, and as libjpeg-turbo does.
fn check(file: &[u8], scale: Scale, scratch: &mut Scratch, name: &str) {
    let expected = decode_turbo(file, scale).unwrap_or_else(|error| panic!("{name}: libjpeg-turbo says {error}"));
    for kernel in kernels() {
        let pixels = decode(file, kernel, scale, scratch).unwrap_or_else(|| panic!("{name}: refused"));
        let pixels = pixels.unwrap_or_else(|error| panic!("{name}: {error}"));
        let first = pixels.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(first, None, "{name}, {kernel:?}, {scale:?}");
    }
}

const FACTORS: [&[(usize, usize)]; 12] = [
    &[(1, 1)],
    &[(1, 1); 3],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (2, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (1, 1)],
    &[(1, 4), (1, 1), (1, 2)],
    &[(1, 1); 4],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
    &[(2, 1), (1, 1), (1, 2), (2, 2)],
];

#[test]
fn random_progressive_scripts() {
    let (mut random, mut scratch) = (Random(1), Scratch::default());
    for round in 0..1500 {
        let size = (1 + random.below(40), 1 + random.below(40));
        let factors = FACTORS[random.below(FACTORS.len())];
        let is_hostile = random.below(3) == 0;
        let picture = picture(&mut random, size, factors, true, is_hostile);
        let high = if random.below(5) == 0 { 8 } else { 2 };
        let scans = script(&mut random, &picture, high);
        let quant = [1, 2, 9, 40][random.below(4)];
        let file = picture.encode(&mut random, quant, &scans);
        let scale = if random.below(4) == 0 { Scale::Half } else { Scale::Full };
        check(&file, scale, &mut scratch, &format!("{round}: {size:?} {factors:?} {is_hostile} {scans:?}"));
    }
}

#[test]
fn long_runs_of_empty_bands() {
    let (mut random, mut scratch) = (Random(2), Scratch::default());
    for round in 0..4 {
        let mut picture = picture(&mut random, (1900, 1200), &[(1, 1)], true, false);
        // 35,700 blocks: more than the longest run has.
        let count = picture.components[0].blocks.len();
        for block in &mut picture.components[0].blocks[..count - 20] {
            if round % 2 == 0 || block[1..].iter().all(|&value| value.abs() < 8) {
                block[1..].fill(0);
            }
        }
        let scans = script(&mut random, &picture, 2);
        let file = picture.encode(&mut random, 1, &scans);
        check(&file, Scale::Full, &mut scratch, &format!("{round}: {scans:?}"));
    }
}

#[test]
fn sequential_pictures_of_several_scans() {
    let (mut random, mut scratch) = (Random(3), Scratch::default());
    for round in 0..600 {
        let size = (1 + random.below(60), 1 + random.below(60));
        let factors = FACTORS[random.below(FACTORS.len())];
        let is_hostile = random.below(3) == 0;
        let picture = picture(&mut random, size, factors, false, is_hostile);
        let scans = script(&mut random, &picture, 0);
        let file = picture.encode(&mut random, 3, &scans);
        let scale = if random.below(4) == 0 { Scale::Quarter } else { Scale::Full };
        check(&file, scale, &mut scratch, &format!("{round}: {size:?} {factors:?} {is_hostile} {scans:?}"));
    }
}

#[test]
fn bit_positions_that_no_encoder_uses() {
    let (mut random, mut scratch) = (Random(5), Scratch::default());
    let mut left = 0;
    for round in 0..200 {
        let picture = picture(&mut random, (20, 20), &[(1, 1); 3], true, true);
        let scans = script(&mut random, &picture, 13);
        let file = picture.encode(&mut random, 1, &scans);
        let expected = decode_turbo(&file, Scale::Full);
        for kernel in kernels() {
            let decoded = decode(&file, kernel, Scale::Full, &mut scratch);
            left += usize::from(decoded.is_none());
            assert!(decoded.is_none_or(|decoded| decoded == expected), "{round}: {scans:?}");
        }
    }
    assert!(left > 0);
}

#[test]
fn parts_of_a_picture() {
    let (mut random, mut scratch) = (Random(6), Scratch::default());
    for round in 0..200 {
        let (width, height) = (1 + random.below(90), 1 + random.below(90));
        let factors = FACTORS[1 + random.below(8)];
        let picture = picture(&mut random, (width, height), factors, round % 2 == 0, false);
        let scans = script(&mut random, &picture, 2);
        let file = picture.encode(&mut random, 3, &scans);
        let whole = decode_turbo(&file, Scale::Full).unwrap();
        let (x, y) = (random.below(width), random.below(height));
        let region = Region { x, y, width: 1 + random.below(width - x), height: 1 + random.below(height - y) };
        let rows = whole.chunks_exact(width * 3).skip(y).take(region.height);
        let expected: Vec<u8> = rows.flat_map(|row| &row[x * 3..(x + region.width) * 3]).copied().collect();
        let parsed = header::parse(&file).unwrap();
        let layout = Layout { region: Some(region), ..layout(&parsed, Scale::Full) };
        for kernel in kernels() {
            let mut pixels = vec![0x55; expected.len()];
            let target = Target::Picture(&mut pixels);
            let is_decoded = native::decode(&parsed, &file, kernel, &layout, target, &mut scratch).is_ok();
            assert!(is_decoded && pixels == expected, "{round}: {width} x {height}, {region:?} {factors:?} {kernel:?}");
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn files_of_other_projects() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("PIXCRAWLER_TEST_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join("corpus/jpeg");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {}", folder.display());
        return;
    }
    let (mut paths, mut scratch, mut decoded) = (Vec::new(), Scratch::default(), 0);
    files(&folder, &mut paths);
    for path in paths {
        let file = std::fs::read(&path).unwrap();
        let Some(header) = header::parse(&file).map(|picture| picture.header) else { continue };
        // Fuzzers like to promise huge pictures.
        if header.width * header.height > 1 << 22 {
            continue;
        }
        let expected = decode_turbo(&file, Scale::Full);
        // A missing end marker alone is no damage.
        let is_cut = expected.as_ref().is_err_and(|error| error.message() == "Premature end of JPEG file");
        for kernel in kernels() {
            let Some(own) = decode(&file, kernel, Scale::Full, &mut scratch) else { continue };
            decoded += usize::from(own.is_ok());
            let is_same = own == expected || own.is_err() && expected.is_err();
            assert!(is_same || is_cut, "{}: {:?}, {:?}", path.display(), own.err(), expected.err());
        }
    }
    assert!(decoded > 50, "{decoded}");
}

#[test]
fn a_damaged_picture_is_never_called_good() {
    let (mut random, mut scratch) = (Random(4), Scratch::default());
    let (mut accepted, mut refused, mut left) = (0, 0, 0);
    for round in 0..4000 {
        let size = (1 + random.below(40), 1 + random.below(40));
        let factors = FACTORS[random.below(FACTORS.len())];
        let is_progressive = random.below(6) > 0;
        let picture = picture(&mut random, size, factors, is_progressive, false);
        let scans = script(&mut random, &picture, 2);
        let mut file = picture.encode(&mut random, 5, &scans);
        // Anywhere, or in the data of a scan.
        let data: Vec<usize> = header::parse(&file).unwrap().scans.iter().map(|scan| scan.data).collect();
        let end = file.len();
        let place = |random: &mut Random| {
            if random.below(8) == 0 {
                return random.below(end);
            }
            let start = data[random.below(data.len())];
            let is_data = |&at: &usize| file[at] != 0xFF || matches!(file[at + 1], 0 | 0xD0..=0xD7);
            start + random.below((start..end - 1).take_while(is_data).count().max(1))
        };
        let (at, to) = (place(&mut random), place(&mut random));
        match random.below(8) {
            0 => file.truncate(at),
            1 => drop(file.remove(at)),
            2 => file.insert(at, random.next() as u8),
            3 => {
                let length = random.below(9).min(end - at.max(to));
                file.copy_within(at..at + length, to);
            }
            4 => file[at] = random.next() as u8,
            5 => (file[at], file[to]) = (file[to], file[at]),
            _ => file[at] ^= 1 << random.below(8),
        }
        let mut expected = decode_turbo(&file, Scale::Full);
        if expected.as_ref().is_err_and(|error| error.message() == "Premature end of JPEG file") {
            // A missing end marker alone is no damage.
            expected = decode_turbo(&[&file, [0xFF, 0xD9].as_slice()].concat(), Scale::Full);
        }
        for kernel in kernels() {
            match decode(&file, kernel, Scale::Full, &mut scratch) {
                None => left += 1,
                Some(Ok(pixels)) => {
                    accepted += 1;
                    assert!(expected.as_ref() == Ok(&pixels), "{round}: {kernel:?} {:?}", expected.as_ref().err());
                }
                Some(Err(error)) => {
                    refused += 1;
                    // In sequential scans libjpeg-turbo's fast way passes over codes that are none.
                    let is_said = expected.is_err() || !is_progressive;
                    assert!(is_said, "{round}: {kernel:?} {error}, libjpeg-turbo says nothing");
                }
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused, {left} left to libjpeg-turbo");
}
