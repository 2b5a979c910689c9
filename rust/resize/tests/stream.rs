//! Rows that come a few at a time give the bytes of `resize`, and nothing beyond the slices is touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use common::guarded::Guarded;
use common::{FILTERS, Random, row_lens};
use pixcrawler_resize::{Channels, Filter, Kernel, Plan, ResizeError, Scratch, Size, Stream, Window, resize};

/// What lies around the rows of a destination.
const AROUND: u8 = 0x5a;

/// The kernels that this processor can run.
fn kernels() -> Vec<(Kernel, Scratch)> {
    let mut available = Vec::new();
    for kernel in [Kernel::Scalar, Kernel::Avx2, Kernel::Avx512] {
        match Scratch::with_kernel(kernel) {
            Some(scratch) => available.push((kernel, scratch)),
            None => eprintln!("skipped: this processor has no {}", kernel.name()),
        }
    }
    available
}

/// How many rows come at once.
#[derive(Clone, Copy, Debug)]
enum Split {
    /// So many each time.
    Even(usize),
    /// Some, none at times.
    Random,
    /// As `Random`; rows that are not needed are skipped, or come as zeros.
    Skipping,
}

const SPLITS: [Split; 8] = [
    Split::Even(1),
    Split::Even(8),
    Split::Even(16),
    Split::Even(usize::MAX),
    Split::Random,
    Split::Random,
    Split::Random,
    Split::Skipping,
];

/// Where rows and results lie: against pages that may not be touched.
struct Bench {
    random: Random,
    src: Guarded,
    dst: Guarded,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), src: Guarded::new(4 * 400 * 400), dst: Guarded::new(4 * 400 * 464) }
    }

    /// Checks one plan with one split on every kernel.
    fn check(&mut self, plan: &Plan, split: Split, kernels: &mut [(Kernel, Scratch)]) {
        let (src_len, dst_len) = row_lens(plan);
        let pixels = self.random.pixels(plan.source.h as usize * src_len);
        let rows = plan.window.h as usize;
        let mut expected = vec![0; rows * dst_len];
        resize(plan, &pixels, src_len, &mut expected, dst_len, &mut kernels[0].1).unwrap();
        let stride = dst_len + self.random.pick(&[0, 0, 1, 13, 64]);
        for (kernel, scratch) in kernels {
            let what = format!("{kernel:?} {plan:?} {split:?}");
            let at_end = self.random.range(0, 1) == 0;
            let dst = self.dst.slice((rows - 1) * stride + dst_len, at_end);
            dst.fill(AROUND);
            let mut stream = Stream::new(plan, dst, stride, scratch).unwrap();
            feed(&mut stream, &pixels, src_len, split, &mut self.random, &mut self.src);
            assert_eq!(stream.finish(), Ok(()), "{what}");
            for (found, expected) in dst.chunks(stride).zip(expected.chunks(dst_len)) {
                assert!(&found[..dst_len] == expected, "{what}");
                assert!(found[dst_len..].iter().all(|&byte| byte == AROUND), "{what} wrote between its rows");
            }
        }
    }
}

/// Pushes `pixels` as `split` says, each run of rows from a place that ends, or begins, at an untouchable page.
fn feed(
    stream: &mut Stream<'_>,
    pixels: &[u8],
    src_len: usize,
    split: Split,
    random: &mut Random,
    place: &mut Guarded,
) {
    let rows = pixels.len() / src_len;
    let needed = stream.needed_rows();
    assert!(!needed.is_empty() && needed.end <= rows);
    let mut row = 0;
    while row < rows {
        let left = (rows - row) as u32;
        let some = match random.range(0, 3) {
            0 => 4.min(left),
            1 => random.range(0, 3.min(left)),
            _ => random.range(0, left),
        };
        let mut count = if let Split::Even(count) = split { count.min(rows - row) } else { some as usize };
        let is_spare = matches!(split, Split::Skipping) && !needed.contains(&row);
        if is_spare {
            let end = if row < needed.start { needed.start } else { rows };
            count = count.min(end - row);
            if random.range(0, 1) == 0 {
                stream.skip(count).unwrap();
                row += count;
                continue;
            }
        }
        let run = place.slice(count * src_len, random.range(0, 1) == 0);
        run.copy_from_slice(&pixels[row * src_len..][..count * src_len]);
        if is_spare {
            run.fill(0);
        }
        stream.push(run).unwrap();
        // What was pushed may be overwritten.
        run.fill(0xa5);
        row += count;
    }
}

#[test]
fn any_split_of_any_plan_gives_the_same_bytes() {
    let mut kernels = kernels();
    let mut bench = Bench::new(7);
    for longest in [400, 60, 9] {
        for _ in 0..600 {
            let plan = bench.random.plan(longest, &FILTERS);
            let split = bench.random.pick(&SPLITS);
            bench.check(&plan, split, &mut kernels);
        }
    }
}

#[test]
fn every_split_of_each_order_of_the_passes() {
    let mut kernels = kernels();
    let mut bench = Bench::new(8);
    let sizes = [
        ("across, then down", (97, 75), (45, 34)),
        ("down, then across", (60, 150), (45, 45)),
        ("up", (31, 22), (90, 81)),
        ("across alone", (97, 41), (45, 41)),
        ("down alone", (45, 97), (45, 34)),
        ("neither", (45, 37), (45, 37)),
    ];
    for (_, source, full) in sizes {
        let [source, full] = [source, full].map(|(w, h)| Size { w, h });
        let windows = [Window::all(full), Window { x: 5, y: 7, w: full.w - 9, h: full.h - 15 }];
        for (filter, channels) in FILTERS.iter().flat_map(|&filter| common::CHANNELS.map(|c| (filter, c))) {
            for (window, split) in windows.iter().flat_map(|&window| SPLITS.map(|split| (window, split))) {
                bench.check(&Plan { source, full, window, channels, filter }, split, &mut kernels);
            }
        }
    }
}

#[test]
fn only_needed_rows_are_awaited() {
    let source = Size { w: 40, h: 300 };
    let full = Size { w: 20, h: 30 };
    let whole = Plan::stretch(source, full, Channels::Three, Filter::Bilinear);
    let part = Plan { window: Window { x: 0, y: 10, w: 20, h: 5 }, ..whole };
    let (mut dst, mut scratch) = (vec![0; 20 * 30 * 3], Scratch::new());
    assert_eq!(Stream::new(&whole, &mut dst, 60, &mut scratch).unwrap().needed_rows(), 0..300);
    let mut stream = Stream::new(&part, &mut dst, 60, &mut scratch).unwrap();
    let needed = stream.needed_rows();
    // Ten rows a result, and half a window beyond on both sides.
    assert!((90..100).contains(&needed.start) && (150..=160).contains(&needed.end), "{needed:?}");
    stream.skip(needed.start).unwrap();
    assert_eq!(stream.skip(1), Err(ResizeError::RowNeeded { row: needed.start as u64 }));
    stream.push(&vec![9; needed.len() * 120]).unwrap();
    assert_eq!(stream.finish(), Ok(()));
    assert!(dst[..5 * 60].iter().all(|&sample| sample == 9) && dst[5 * 60..].iter().all(|&sample| sample == 0));
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    for filter in FILTERS {
        let plan = Plan::stretch(Size { w: 10, h: 20 }, Size { w: 5, h: 7 }, Channels::Three, filter);
        let (mut dst, mut scratch) = (vec![0; 5 * 7 * 3], Scratch::new());
        let mut stream = Stream::new(&plan, &mut dst, 15, &mut scratch).unwrap();
        assert_eq!(stream.push(&[1; 29]), Err(ResizeError::PartOfRow { row_len: 30, actual: 29 }));
        assert_eq!(stream.push(&[1; 21 * 30]), Err(ResizeError::TooManyRows { expected: 20, actual: 21 }));
        assert_eq!(stream.skip(usize::MAX), Err(ResizeError::TooManyRows { expected: 20, actual: u64::MAX }));
        assert_eq!(stream.push(&[]), Ok(()));
        assert_eq!(stream.push(&[1; 19 * 30]), Ok(()));
        assert_eq!(stream.push(&[1; 60]), Err(ResizeError::TooManyRows { expected: 20, actual: 21 }));
        assert_eq!(stream.push(&[1; 30]), Ok(()));
        assert_eq!(stream.push(&[1; 30]), Err(ResizeError::TooManyRows { expected: 20, actual: 21 }));
        assert_eq!(stream.finish(), Ok(()));
        assert!(dst.iter().all(|&sample| sample == 1));

        let mut stream = Stream::new(&plan, &mut dst, 15, &mut scratch).unwrap();
        stream.push(&[1; 4 * 30]).unwrap();
        let expected = stream.needed_rows().end as u64;
        assert_eq!(stream.finish(), Err(ResizeError::RowsMissing { expected, actual: 4 }));
    }
}

#[test]
fn sizes_are_refused_as_by_resize() {
    let good = Plan::stretch(Size { w: 10, h: 20 }, Size { w: 5, h: 7 }, Channels::Three, Filter::Bilinear);
    let refused = |plan: Plan, dst_len: usize, dst_stride: usize| {
        Stream::new(&plan, &mut vec![0; dst_len], dst_stride, &mut Scratch::new()).err()
    };
    assert_eq!(refused(good, 105, 15), None);
    let too_short = |expected, actual| Some(ResizeError::DestinationTooShort { expected, actual });
    assert_eq!(refused(good, 104, 15), too_short(105, 104));
    assert_eq!(refused(good, 105, 14), too_short(105, 105));
    assert_eq!(refused(Plan { source: Size { w: 0, h: 20 }, ..good }, 105, 15), Some(ResizeError::EmptySide));
    assert_eq!(refused(Plan { source: Size { w: u32::MAX, h: 20 }, ..good }, 105, 15), Some(ResizeError::SideTooLong));
    let window = Window { x: 1, ..good.window };
    assert_eq!(refused(Plan { window, ..good }, 105, 15), Some(ResizeError::WindowOutside { window, full: good.full }));
}
