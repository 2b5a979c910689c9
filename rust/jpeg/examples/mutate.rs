//! Damages JPEG files and decodes them with both decoders: `mutate SEED COUNT [FILES...]`, small made files if none are given.
//!
//! Prints what came of them, and how much time and memory the own decoder took at most. A file for which something comes out
//! that must not is written to `mutate-SEED-NUMBER.jpg`, and the exit status is 1. Those that the own decoder alone refuses
//! are written to the folder `$MUTATE_KEEP`, if it is set.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for testing prints and may panic")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/memory/mod.rs"]
mod memory;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use common::compare::{Verdict, compare, compare_bands, wanted};
use common::mutate::{KINDS, mutate};
use common::{Random, samples};
use pixcrawler_jpeg::{Decoder, Jpeg, Scratch};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

#[derive(Default)]
struct Counts {
    verdicts: BTreeMap<String, usize>,
    decided: [usize; KINDS.len()],
    slowest: (Duration, usize),
    /// Bytes beyond what the decoder says that it needs.
    largest: (usize, usize),
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [seed, count, files @ ..] = &arguments[..] else { panic!("mutate SEED COUNT [FILES...]") };
    let (seed, count): (u64, usize) = (seed.parse().unwrap(), count.parse().unwrap());
    let mut random = Random::new(seed);
    let files: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    let (mut counts, mut scratch, mut failures) = (Counts::default(), Scratch::default(), 0);
    let keep = env::var_os("MUTATE_KEEP");
    for number in 0..count {
        let file = |random: &mut Random| match files.len() {
            0 => {
                let longest = random.pick(&[16, 40, 40, 120]);
                samples::any(random, longest)
            }
            end => files[random.below(end)].clone(),
        };
        let (base, other) = (file(&mut random), file(&mut random));
        let (kind, bytes) = mutate(&mut random, &base, &other);
        let name = match try_one(&mut random, &bytes, kind, number, &mut scratch, &mut counts) {
            Ok(verdict) => {
                if let (Verdict::Stricter(_), Some(folder)) = (&verdict, &keep) {
                    fs::write(std::path::Path::new(folder).join(format!("{seed}-{number}.jpg")), &bytes).unwrap();
                }
                describe(&verdict)
            }
            Err(difference) => {
                let path = format!("mutate-{seed}-{number}.jpg");
                fs::write(&path, &bytes).unwrap();
                println!("{path} ({}): {difference}", KINDS[kind].0);
                failures += 1;
                "WRONG".to_owned()
            }
        };
        *counts.verdicts.entry(name).or_default() += 1;
    }
    for (name, count) in &counts.verdicts {
        println!("{count:8}  {name}");
    }
    for ((name, _), decided) in KINDS.iter().zip(counts.decided) {
        println!("{decided:8}  decided by the own decoder: {name}");
    }
    println!("slowest: {:?}, number {}", counts.slowest.0, counts.slowest.1);
    println!("memory: at most {} bytes beyond those foretold, number {}", counts.largest.0, counts.largest.1);
    process::exit(i32::from(failures > 0));
}

fn try_one(
    random: &mut Random,
    bytes: &[u8],
    kind: usize,
    number: usize,
    scratch: &mut Scratch,
    counts: &mut Counts,
) -> Result<Verdict, String> {
    let Ok(mut jpeg) = Jpeg::open_with(bytes, Decoder::Native) else { return Ok(Verdict::Left) };
    let header = jpeg.header();
    if jpeg.decoder() == Decoder::Native {
        let foretold = jpeg.working_bytes();
        let mut fresh = Scratch::default();
        let began = Instant::now();
        let before = memory::start();
        let _ = jpeg.decode_bands(&wanted(&header, 0), &mut |_, _| {}, &mut fresh);
        let used = memory::peak() - before;
        counts.slowest = counts.slowest.max((began.elapsed(), number));
        counts.largest = counts.largest.max((used.saturating_sub(foretold), number));
    }
    let verdict = compare(bytes, &wanted(&header, 0), scratch)?;
    let is_decided = !matches!(verdict, Verdict::Left | Verdict::Asked | Verdict::Large);
    counts.decided[kind] += usize::from(is_decided);
    if is_decided {
        let other = wanted(&header, random.below(10_000));
        let is_same = |one: &Verdict, two: &Verdict| std::mem::discriminant(one) == std::mem::discriminant(two);
        let found = compare(bytes, &other, scratch).map_err(|difference| format!("{other:?}: {difference}"))?;
        // Of a scaled picture libjpeg-turbo decodes fewer coefficients, and may be silent about the others.
        if !is_same(&found, &verdict) && !matches!(found, Verdict::Stricter(_) | Verdict::Refused(_)) {
            return Err(format!("{verdict:?} as a whole, {found:?} as {other:?}"));
        }
        compare_bands(bytes, &other, scratch).map_err(|difference| format!("{other:?}: {difference}"))?;
    }
    Ok(verdict)
}

/// The verdict with its reason, without the numbers.
fn describe(verdict: &Verdict) -> String {
    let (name, error) = match verdict {
        Verdict::Left => return "left to libjpeg-turbo for the headers".to_owned(),
        Verdict::Asked => return "left to libjpeg-turbo for the data".to_owned(),
        Verdict::Equal => return "equal pixels".to_owned(),
        Verdict::Large => return "too large to compare".to_owned(),
        Verdict::Refused(error) => ("refused by both", error),
        Verdict::Stricter(error) => ("refused by the own decoder alone", error),
    };
    let words: Vec<&str> =
        error.message().split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit())).collect();
    format!("{name}: {}", words.join(" "))
}
