//! Pictures of arbitrary coefficients, decoded here and by libjpeg-turbo.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod encoder;

use encoder::{Coded, Picture, ZIGZAG};

use super::idct::{Quant, block_scalar, transform};
use super::plan::Conversion;
use super::{Assembler, Block, Component, Kernel, Layout, Region, Scratch, Target, Transform, color};
use crate::turbo::Jpeg;
use crate::{PixelFormat, Scale};

const SCALES: [Scale; 4] = [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth];

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

    /// From -limit to limit.
    fn value(&mut self, limit: i16) -> i16 {
        (self.below(2 * limit as usize + 1) as i32 - i32::from(limit)) as i16
    }
}

/// What kind of coefficients blocks are filled with.
#[derive(Clone, Copy, Debug)]
enum Filling {
    /// As photographs have them.
    Tame,
    /// Anything that can be coded, with tables of 16 bits.
    Hostile,
}

fn quant(random: &mut Random, filling: Filling) -> [u16; 64] {
    std::array::from_fn(|_| match filling {
        Filling::Tame => 1 + random.below(40) as u16,
        Filling::Hostile if random.below(2) == 0 => 1 + random.below(255) as u16,
        Filling::Hostile => 1 + random.below(65535) as u16,
    })
}

fn block(random: &mut Random, filling: Filling) -> Block {
    let mut block = Block::ZERO;
    let last = [0, 0, 1, 2, 5, 6, 9, 9, 10, 20, 40, 63, 63][random.below(13)];
    // The shortcuts' conditions: nothing but the first row, or the first and the fifth.
    let rows = [0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x11][random.below(6)];
    let limit = match filling {
        Filling::Tame => 30,
        Filling::Hostile => [3, 100, 2000, 16383][random.below(4)],
    };
    // Differences of neighbouring DC values have at most 15 bits.
    block.0[0] = random.value(if matches!(filling, Filling::Tame) { 60 } else { 16383 });
    for &natural in &ZIGZAG[1..=last] {
        if random.below(3) > 0 && rows >> (natural / 8) & 1 == 1 {
            block.0[natural] = random.value(limit);
        }
    }
    block
}

fn picture(
    random: &mut Random,
    (width, height): (usize, usize),
    factors: &[(usize, usize)],
    transform: Transform,
    filling: Filling,
) -> Picture {
    let max_h = factors.iter().map(|f| f.0).max().unwrap();
    let max_v = factors.iter().map(|f| f.1).max().unwrap();
    let components = factors
        .iter()
        .map(|&(h, v)| {
            let columns = width.div_ceil(8 * max_h) * h;
            let rows = height.div_ceil(8 * max_v) * v;
            let blocks = (0..columns * rows).map(|_| block(random, filling)).collect();
            Coded { h, v, quant: quant(random, filling), columns, blocks }
        })
        .collect();
    Picture { width, height, components, transform }
}

fn layout(picture: &Picture, format: PixelFormat, scale: Scale) -> Layout {
    let components = picture.components.iter().map(|c| Component { h: c.h, v: c.v, quant: c.quant }).collect();
    let (width, height) = (picture.width, picture.height);
    Layout { width, height, components, transform: picture.transform, format, scale, region: None }
}

/// Index of a block's last coefficient in zigzag order.
fn last(block: &Block) -> u8 {
    (0..64).rev().find(|&i| block.0[ZIGZAG[i]] != 0).unwrap_or(0) as u8
}

/// Gives all blocks in runs of random lengths.
fn feed(random: &mut Random, picture: &Picture, mut assembler: Assembler) {
    for mcu_row in 0..picture.height.div_ceil(8 * picture.max_v()) {
        for (index, component) in picture.components.iter().enumerate() {
            for y in 0..component.v {
                let row = (mcu_row * component.v + y) * component.columns;
                let mut x = 0;
                while x < component.columns {
                    let count = (1 + random.below(9)).min(component.columns - x);
                    let mut blocks = component.blocks[row + x..row + x + count].to_vec();
                    let last: Vec<u8> = blocks.iter().map(last).collect();
                    assembler.blocks(index, y, x, &mut blocks, &last);
                    assert!(blocks.iter().all(|block| block.0 == [0; 64]), "blocks are cleared");
                    x += count;
                }
            }
        }
        assembler.end_mcu_row();
    }
    assembler.finish();
}

fn kernels() -> Vec<Kernel> {
    let (there, missing): (Vec<Kernel>, Vec<Kernel>) = Kernel::ALL.iter().partition(|kernel| kernel.is_there());
    for kernel in missing {
        eprintln!("skipped: this processor has no {kernel:?}");
    }
    there
}

fn formats(components: usize) -> &'static [PixelFormat] {
    match components {
        1 => &[PixelFormat::Grey, PixelFormat::Rgb, PixelFormat::Rgba],
        3 => &[PixelFormat::Rgb, PixelFormat::Rgba],
        _ => &[PixelFormat::Cmyk],
    }
}

/// Decodes in each way there is and compares with libjpeg-turbo.
fn check(random: &mut Random, scratch: &mut Scratch, picture: &Picture, name: &str) {
    let file = picture.encode();
    for &format in formats(picture.components.len()) {
        for scale in SCALES {
            let pitch = scale.apply(picture.width) * format.channels();
            let mut expected = vec![0; scale.apply(picture.height) * pitch];
            let decoded = Jpeg::open(&file).and_then(|mut jpeg| jpeg.decode_into(format, scale, false, &mut expected));
            decoded.unwrap_or_else(|error| panic!("{name}: libjpeg-turbo says {error}"));
            let layout = layout(picture, format, scale);
            for kernel in kernels() {
                let mut pixels = vec![0x55; expected.len()];
                let target = Target::Picture(&mut pixels);
                feed(random, picture, Assembler::new(&layout, kernel, target, scratch).unwrap());
                let first = pixels.iter().zip(&expected).position(|(a, b)| a != b);
                assert_eq!(first, None, "{name} {format:?} {scale:?} {kernel:?}, {pitch} bytes a row");

                let mut bands = Vec::new();
                let mut take = |first: usize, rows: &[u8]| {
                    assert_eq!(first * pitch, bands.len());
                    assert!(rows.len() <= 8 * picture.max_v() * pitch && !rows.is_empty());
                    bands.extend_from_slice(rows);
                };
                let target = Target::Bands(&mut take);
                feed(random, picture, Assembler::new(&layout, kernel, target, scratch).unwrap());
                assert!(bands == expected, "{name} {format:?} {scale:?} {kernel:?} in bands");
            }
        }
    }
}

/// All sampling factors whose ratios are whole, of three components with `of` to choose from.
fn combinations(of: &[(usize, usize)]) -> Vec<[(usize, usize); 3]> {
    let triples = of.iter().flat_map(|&a| of.iter().flat_map(move |&b| of.iter().map(move |&c| [a, b, c])));
    triples
        .filter(|factors| {
            let (max_h, max_v) =
                (factors.iter().map(|f| f.0).max().unwrap(), factors.iter().map(|f| f.1).max().unwrap());
            factors.iter().all(|f| max_h % f.0 == 0 && max_v % f.1 == 0)
        })
        .collect()
}

#[test]
fn all_samplings_up_to_two() {
    let (mut random, mut scratch) = (Random(1), Scratch::default());
    for factors in combinations(&[(1, 1), (1, 2), (2, 1), (2, 2)]) {
        for filling in [Filling::Tame, Filling::Hostile] {
            for transform in [Transform::YccToRgb, Transform::None] {
                let size = (1 + random.below(40), 1 + random.below(40));
                let picture = picture(&mut random, size, &factors, transform, filling);
                check(&mut random, &mut scratch, &picture, &format!("{factors:?} {size:?} {filling:?} {transform:?}"));
            }
        }
    }
}

#[test]
fn samplings_up_to_four() {
    let (mut random, mut scratch) = (Random(2), Scratch::default());
    let all: Vec<_> = (1..=4).flat_map(|h| (1..=4).map(move |v| (h, v))).collect();
    let all = combinations(&all);
    for _ in 0..150 {
        let factors = all[random.below(all.len())];
        let size = (1 + random.below(90), 1 + random.below(90));
        let filling = [Filling::Tame, Filling::Hostile][random.below(2)];
        let picture = picture(&mut random, size, &factors, Transform::YccToRgb, filling);
        check(&mut random, &mut scratch, &picture, &format!("{factors:?} {size:?} {filling:?}"));
    }
}

#[test]
fn usual_samplings_at_all_small_sizes() {
    let (mut random, mut scratch) = (Random(3), Scratch::default());
    for chroma in [[(1, 1); 3], [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)]] {
        for side in 1..=40 {
            for size in [(side, 1 + random.below(40)), (1 + random.below(70), side)] {
                let picture = picture(&mut random, size, &chroma, Transform::YccToRgb, Filling::Hostile);
                check(&mut random, &mut scratch, &picture, &format!("{chroma:?} {size:?}"));
            }
        }
    }
}

#[test]
fn one_and_four_components() {
    let (mut random, mut scratch) = (Random(4), Scratch::default());
    for side in 1..=40 {
        for filling in [Filling::Tame, Filling::Hostile] {
            let size = (side, 1 + random.below(40));
            let grey = picture(&mut random, size, &[(1, 1)], Transform::None, filling);
            // One component has no colour transform, which the Adobe segment would not say otherwise.
            check(&mut random, &mut scratch, &grey, &format!("grey {size:?} {filling:?}"));
            for transform in [Transform::None, Transform::YccToRgb] {
                for factors in [[(1, 1); 4], [(2, 2), (1, 1), (1, 1), (2, 2)], [(2, 1), (1, 1), (1, 2), (2, 1)]] {
                    let picture = picture(&mut random, size, &factors, transform, filling);
                    check(&mut random, &mut scratch, &picture, &format!("{factors:?} {size:?} {transform:?}"));
                }
            }
        }
    }
}

#[test]
fn wide_pictures() {
    let (mut random, mut scratch) = (Random(5), Scratch::default());
    for factors in [[(1, 1); 3], [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)]] {
        for width in [127, 128, 129, 255, 320, 511, 513] {
            let size = (width, 20 + random.below(40));
            let picture = picture(&mut random, size, &factors, Transform::YccToRgb, Filling::Tame);
            check(&mut random, &mut scratch, &picture, &format!("{factors:?} {size:?}"));
        }
    }
}

#[test]
fn a_region_is_that_part_of_the_picture() {
    let (mut random, mut scratch) = (Random(6), Scratch::default());
    let all = combinations(&[(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (1, 4), (4, 2)]);
    for _ in 0..400 {
        let factors = all[random.below(all.len())];
        let (width, height) = (1 + random.below(150), 1 + random.below(100));
        let picture = picture(&mut random, (width, height), &factors, Transform::YccToRgb, Filling::Tame);
        let format = [PixelFormat::Rgb, PixelFormat::Rgba][random.below(2)];
        let channels = format.channels();
        let mut whole = vec![0; width * height * channels];
        let file = picture.encode();
        Jpeg::open(&file).unwrap().decode_into(format, Scale::Full, false, &mut whole).unwrap();
        let (x, y) = (random.below(width), random.below(height));
        let region = Region { x, y, width: 1 + random.below(width - x), height: 1 + random.below(height - y) };
        let expected: Vec<u8> = (y..y + region.height)
            .flat_map(|y| &whole[(y * width + x) * channels..(y * width + x + region.width) * channels])
            .copied()
            .collect();
        let layout = Layout { region: Some(region), ..layout(&picture, format, Scale::Full) };
        for kernel in kernels() {
            let mut pixels = vec![0x55; expected.len()];
            let target = Target::Picture(&mut pixels);
            feed(&mut random, &picture, Assembler::new(&layout, kernel, target, &mut scratch).unwrap());
            assert!(pixels == expected, "{factors:?} {width}x{height} {region:?} {kernel:?}");
            let mut bands = Vec::new();
            let mut take = |first: usize, rows: &[u8]| {
                assert_eq!(first * region.width * channels, bands.len());
                bands.extend_from_slice(rows);
            };
            let target = Target::Bands(&mut take);
            feed(&mut random, &picture, Assembler::new(&layout, kernel, target, &mut scratch).unwrap());
            assert!(bands == expected, "{factors:?} {width}x{height} {region:?} {kernel:?} in bands");
        }
    }
}

#[test]
fn kernels_agree_on_blocks_that_no_file_holds() {
    let mut random = Random(7);
    for round in 0..20_000 {
        let quant = Quant::new(&quant(&mut random, if round % 2 == 0 { Filling::Hostile } else { Filling::Tame }));
        let mut blocks = vec![Block::ZERO; 1 + random.below(7)];
        let end = [1, 2, 6, 10, 11, 64][random.below(6)];
        let extremes = [i16::MIN, i16::MAX, -1, 0, 8191, 8192, -8192, -8193];
        for block in &mut blocks {
            for &natural in &ZIGZAG[..end] {
                block.0[natural] = if random.below(2) == 0 { extremes[random.below(8)] } else { random.next() as i16 };
            }
        }
        if end == 64 && random.below(2) == 0 {
            // Only for blocks with nothing below their first row does it matter what the shortcut wraps.
            let alone = random.below(blocks.len());
            blocks.fill(Block::ZERO);
            blocks[alone].0[random.below(8)] = extremes[random.below(8)];
        }
        let last = vec![end as u8 - 1; blocks.len()];
        let stride = blocks.len() * 8 + 5;
        let mut expected = vec![0; stride * 8];
        for (x, block) in blocks.iter().enumerate() {
            block_scalar(&quant, block, &mut expected[x * 8..], stride);
        }
        for kernel in kernels() {
            let mut out = vec![0; stride * 8];
            transform(kernel, &quant, &mut blocks.clone(), &last, &mut out, stride);
            assert!(out == expected, "{kernel:?}, coefficients up to {end}");
        }
    }
}

#[test]
fn colors_of_all_values() {
    let row: Vec<u8> = (0..=255).collect();
    let mut kernels = kernels();
    kernels.retain(|&kernel| kernel != Kernel::Scalar);
    for y in 0..=255 {
        for cb in 0..=255 {
            let planes: [&[u8]; 4] = [&[y; 256], &[cb; 256], &row, &row];
            let expected: Vec<[u8; 3]> = row.iter().map(|&cr| color::rgb(y, cb, cr)).collect();
            for &kernel in &kernels {
                let mut out = vec![0; 256 * 3];
                color::convert(kernel, Conversion::YccToRgb, planes, 3, 256, &mut out);
                assert!(out == expected.concat(), "{kernel:?}, luma {y}, blue difference {cb}");
            }
        }
    }
}

#[test]
fn layouts_that_cannot_be_decoded_are_refused() {
    let component = |h, v| Component { h, v, quant: [1; 64] };
    let good = || Layout {
        width: 8,
        height: 8,
        components: vec![component(2, 2), component(1, 1), component(1, 1)],
        transform: Transform::YccToRgb,
        format: PixelFormat::Rgb,
        scale: Scale::Full,
        region: None,
    };
    let refused = |layout: Layout, bytes: usize| {
        Assembler::new(&layout, Kernel::Scalar, Target::Picture(&mut vec![0; bytes]), &mut Scratch::default()).is_err()
    };
    assert!(!refused(good(), 192));
    assert!(refused(good(), 191));
    assert!(refused(Layout { width: 0, ..good() }, 0));
    assert!(refused(Layout { format: PixelFormat::Grey, ..good() }, 64));
    assert!(refused(Layout { components: vec![component(3, 1), component(2, 1), component(1, 1)], ..good() }, 192));
    assert!(refused(Layout { components: vec![component(5, 1), component(1, 1), component(1, 1)], ..good() }, 192));
    let region = Some(Region { x: 4, y: 0, width: 5, height: 1 });
    assert!(refused(Layout { region, ..good() }, 15));
}
