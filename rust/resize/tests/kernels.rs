//! Every kernel writes the same bytes, whatever the size, format, stride and part.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use common::{FILTERS, Random, row_lens};
use pixcrawler_resize::{Filter, Kernel, Plan, Scratch, Size, Window, resize, resize_rgba};

/// The kernels of vectors that this processor can run; the others are skipped.
fn vector_kernels() -> Vec<(Kernel, Scratch)> {
    let mut available = Vec::new();
    for kernel in [Kernel::Avx2, Kernel::Avx512] {
        match Scratch::with_kernel(kernel) {
            Some(scratch) => available.push((kernel, scratch)),
            None => eprintln!("skipped: this processor has no {}", kernel.name()),
        }
    }
    available
}

/// Runs `plan` with rows `gap` bytes apart in source and destination, and checks that the gaps stay as they were.
fn run(plan: &Plan, pixels: &[u8], gap: usize, scratch: &mut Scratch) -> Vec<u8> {
    let (src_len, dst_len) = row_lens(plan);
    let mut src = Vec::new();
    for row in pixels.chunks(src_len) {
        src.extend_from_slice(row);
        src.extend(std::iter::repeat_n(0xa5, gap));
    }
    src.truncate(src.len() - gap);
    let rows = plan.window.h as usize;
    let mut dst = vec![0x5a; rows * (dst_len + gap) - gap];
    resize(plan, &src, src_len + gap, &mut dst, dst_len + gap, scratch).unwrap();
    let mut out = Vec::new();
    for row in dst.chunks(dst_len + gap) {
        out.extend_from_slice(&row[..dst_len]);
        assert!(row[dst_len..].iter().all(|&byte| byte == 0x5a), "{plan:?} wrote between its rows");
    }
    out
}

#[test]
fn kernels_agree_on_random_sizes() {
    let mut vectors = vector_kernels();
    let mut scalar = Scratch::with_kernel(Kernel::Scalar).unwrap();
    let mut random = Random::new(1);
    let filters = [Filter::Bilinear, Filter::Bilinear, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];
    for _ in 0..600 {
        let plan = random.plan(400, &filters);
        let pixels = random.pixels(plan.source.h as usize * row_lens(&plan).0);
        let gap = random.pick(&[0, 0, 1, 13, 64]);
        let expected = run(&plan, &pixels, 0, &mut scalar);
        for (kernel, scratch) in &mut vectors {
            assert!(run(&plan, &pixels, gap, scratch) == expected, "{kernel:?} {plan:?}");
        }
    }
}

#[test]
fn kernels_agree_on_every_tap_count() {
    let mut vectors = vector_kernels();
    let mut scalar = Scratch::with_kernel(Kernel::Scalar).unwrap();
    let mut random = Random::new(2);
    for channels in common::CHANNELS {
        for side in 1..120 {
            // From one tap to more than a hundred, on both axes.
            let full = Size { w: 10, h: 10 };
            let plan = Plan::stretch(Size { w: side, h: 121 - side }, full, channels, Filter::Bilinear);
            let pixels = random.pixels(plan.source.h as usize * row_lens(&plan).0);
            let expected = run(&plan, &pixels, 0, &mut scalar);
            for (kernel, scratch) in &mut vectors {
                assert!(run(&plan, &pixels, 0, scratch) == expected, "{kernel:?} {plan:?}");
            }
        }
    }
}

#[test]
fn sums_of_millions_of_samples_do_not_overflow() {
    let mut vectors = vector_kernels();
    let mut scalar = Scratch::with_kernel(Kernel::Scalar).unwrap();
    // Weights of a few units, then of one, then of none: rounding makes their sum as much as twice the whole.
    for side in [140_000, 2_500_000, 6_000_000, 20_000_000] {
        for (source, full) in
            [(Size { w: side, h: 1 }, Size { w: 2, h: 1 }), (Size { w: 1, h: side }, Size { w: 1, h: 2 })]
        {
            let plan = Plan::stretch(source, full, common::CHANNELS[0], Filter::Bilinear);
            let pixels = vec![255; side as usize];
            let expected = run(&plan, &pixels, 0, &mut scalar);
            for (kernel, scratch) in &mut vectors {
                assert!(run(&plan, &pixels, 0, scratch) == expected, "{kernel:?} {plan:?}");
            }
        }
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let mut random = Random::new(3);
    for kernel in [Kernel::Scalar, Kernel::Avx2, Kernel::Avx512] {
        let Some(mut scratch) = Scratch::with_kernel(kernel) else { continue };
        for _ in 0..300 {
            let part = random.plan(200, &FILTERS);
            let whole = Plan { window: Window::all(part.full), ..part };
            let pixels = random.pixels(part.source.h as usize * row_lens(&part).0);
            let all = run(&whole, &pixels, 0, &mut scratch);
            let (Window { x, y, .. }, count) = (part.window, part.channels.count());
            let mut expected = Vec::new();
            for row in all.chunks(row_lens(&whole).1).skip(y as usize).take(part.window.h as usize) {
                expected.extend_from_slice(&row[x as usize * count..][..row_lens(&part).1]);
            }
            assert!(run(&part, &pixels, 0, &mut scratch) == expected, "{kernel:?} {part:?}");
        }
    }
}

#[test]
fn rgba_is_premultiply_resize_unpremultiply() {
    let mut random = Random::new(4);
    let mut scratch = Scratch::new();
    for _ in 0..100 {
        let plan = Plan { channels: common::CHANNELS[2], ..random.plan(100, &FILTERS) };
        let (src_len, dst_len) = row_lens(&plan);
        let mut pixels = random.pixels(plan.source.h as usize * src_len);
        let mut out = vec![0; plan.window.h as usize * dst_len];
        resize_rgba(&plan, &pixels, src_len, &mut out, dst_len, &mut scratch).unwrap();
        let plain = plan.filter == Filter::Nearest || plan.source == plan.full;
        if !plain {
            pixcrawler_resize::premultiply(&mut pixels);
        }
        let mut expected = run(&plan, &pixels, 0, &mut scratch);
        if !plain {
            pixcrawler_resize::unpremultiply(&mut expected);
        }
        assert!(out == expected, "{plan:?}");
    }
}

#[test]
fn a_kernel_has_its_name() {
    assert_eq!(pixcrawler_resize::kernel(), Kernel::in_use().name());
    assert!(Kernel::in_use().is_available());
}
