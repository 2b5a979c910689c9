//! Small pictures of all kinds, made for a seed.

use super::Random;
use super::encoder::{Coded, Picture, Scan};
use super::turbo::{Colors, Compression, Sampling, compress, pixels};

/// Sampling factors: of one, three and four components, the usual and the odd.
pub(crate) const FACTORS: [&[(usize, usize)]; 14] = [
    &[(1, 1)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (2, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (1, 1)],
    &[(1, 4), (1, 1), (1, 2)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 2), (1, 1)],
    &[(1, 1), (1, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1), (2, 2)],
    &[(2, 1), (1, 1), (1, 2), (2, 2)],
];

/// How a picture's coefficients are spread over scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// One sequential scan; several where an MCU would have too many blocks.
    Sequential,
    /// A sequential scan for each component.
    Separate,
    /// Progressive: DC, then all AC coefficients, without successive approximation.
    Spectral,
    /// The script of libjpeg's `jpeg_simple_progression`.
    Simple,
    /// Bands of random widths, each from a random bit position.
    Fine,
}

impl Script {
    pub(crate) const ALL: [Self; 5] = [Self::Sequential, Self::Separate, Self::Spectral, Self::Simple, Self::Fine];
}

/// A file of random coefficients.
pub(crate) fn coded(
    random: &mut Random,
    (width, height): (usize, usize),
    factors: &[(usize, usize)],
    script: Script,
    restart_interval: usize,
) -> Vec<u8> {
    let (max_h, max_v) = (factors.iter().map(|f| f.0).max().unwrap(), factors.iter().map(|f| f.1).max().unwrap());
    let components = factors.iter().map(|&(h, v)| {
        let (columns, rows) = (width.div_ceil(8 * max_h) * h, height.div_ceil(8 * max_v) * v);
        let blocks = (0..columns * rows).map(|_| block(random)).collect();
        Coded { h, v, columns, blocks }
    });
    let components: Vec<Coded> = components.collect();
    let is_progressive = !matches!(script, Script::Sequential | Script::Separate);
    let picture = Picture { width, height, components, is_progressive };
    let scans = scans(random, factors, script, restart_interval);
    let quant = random.pick(&[1, 2, 9, 40]);
    picture.encode(random, quant, &scans)
}

fn block(random: &mut Random) -> [i32; 64] {
    let mut block = [0; 64];
    let (end, sparse, bits) =
        (random.pick(&[1, 1, 2, 6, 10, 30, 64]), random.pick(&[1, 2, 4, 20]), random.pick(&[2, 5, 9]));
    let mut value = |bits: usize| {
        let size = random.below(bits + 1);
        let magnitude = random.below(1 << size) as i32;
        if random.below(2) == 0 { magnitude } else { -magnitude }
    };
    block[0] = value(7);
    for (index, coefficient) in block.iter_mut().enumerate().take(end).skip(1) {
        if index * 7 % sparse == 0 {
            *coefficient = value(bits);
        }
    }
    block
}

fn scans(random: &mut Random, factors: &[(usize, usize)], script: Script, restart_interval: usize) -> Vec<Scan> {
    let all: Vec<usize> = (0..factors.len()).collect();
    let scan = |components: &[usize], spectral, approximation| Scan {
        components: components.to_vec(),
        spectral,
        approximation,
        restart_interval,
    };
    let fits = factors.iter().map(|&(h, v)| h * v).sum::<usize>() <= 10;
    let groups: Vec<&[usize]> = if fits && script != Script::Separate { vec![&all] } else { all.chunks(1).collect() };
    let each_group = |spectral, approximation| groups.iter().map(move |group| scan(group, spectral, approximation));
    let each = |spectral, approximation| all.chunks(1).map(move |one| scan(one, spectral, approximation));
    let mut scans = Vec::new();
    match script {
        Script::Sequential | Script::Separate => scans.extend(each_group((0, 63), (0, 0))),
        Script::Spectral => {
            scans.extend(each_group((0, 0), (0, 0)));
            scans.extend(each((1, 63), (0, 0)));
        }
        Script::Simple => {
            scans.extend(each_group((0, 0), (0, 1)));
            scans.extend(each((1, 5), (0, 2)));
            scans.extend(each((6, 63), (0, 2)));
            scans.extend(each((1, 63), (2, 1)));
            scans.extend(each_group((0, 0), (1, 0)));
            scans.extend(each((1, 63), (1, 0)));
        }
        Script::Fine => {
            scans.extend(each_group((0, 0), (0, 0)));
            for &component in &all {
                let mut first = 1;
                while first < 64 {
                    let last = (first + random.below(40)).min(63);
                    let high = random.below(4) as u32;
                    scans.push(scan(&[component], (first, last), (0, high)));
                    scans.extend((0..high).rev().map(|low| scan(&[component], (first, last), (low + 1, low))));
                    first = last + 1;
                }
            }
        }
    }
    scans
}

/// A small file of any kind: by libjpeg-turbo or of random coefficients.
pub(crate) fn any(random: &mut Random, longest: usize) -> Vec<u8> {
    let size = (1 + random.below(longest), 1 + random.below(longest));
    let restart_interval = random.pick(&[0, 0, 1, 3, 8]);
    if random.below(2) == 0 {
        let (factors, script) = (random.pick(&FACTORS), random.pick(&Script::ALL));
        return coded(random, size, factors, script, restart_interval);
    }
    let how = Compression {
        colors: random.pick(&[
            Colors::Grey,
            Colors::Ycc,
            Colors::Ycc,
            Colors::Ycc,
            Colors::Rgb,
            Colors::Cmyk,
            Colors::Ycck,
        ]),
        sampling: random.pick(&Sampling::ALL),
        quality: 1 + random.below(100) as i32,
        restart_interval: restart_interval as i32,
        optimise: random.below(2) == 0,
        progressive: random.below(4) == 0,
    };
    compress(&pixels(random, size, how.colors.channels()), size, &how)
}
