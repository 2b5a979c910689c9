//! Sizes that no image has and buffers that are too short are refused, and nothing is written.

mod common;

use common::Random;
use pixcrawler_resize::{
    Channels, Filter, MAX_SIDE, Plan, ResizeError, Scratch, Size, Window, crop_geometry, pad_geometry, resize,
    resize_rgba,
};

fn refused(plan: &Plan, src_len: usize, src_stride: usize, dst_len: usize, dst_stride: usize) -> ResizeError {
    let mut dst = vec![7; dst_len];
    let src = vec![1; src_len];
    let error = resize(plan, &src, src_stride, &mut dst, dst_stride, &mut Scratch::new());
    assert!(dst.iter().all(|&byte| byte == 7));
    let Err(error) = error else { panic!("{plan:?} was accepted") };
    assert_eq!(resize_rgba(plan, &src, src_stride, &mut dst, dst_stride, &mut Scratch::new()), Err(error));
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn each_refusal_has_its_error() {
    let good = Plan::stretch(Size { w: 10, h: 10 }, Size { w: 5, h: 5 }, Channels::Four, Filter::Bilinear);
    let mut dst = [0; 100];
    assert_eq!(resize(&good, &[0; 400], 40, &mut dst, 20, &mut Scratch::new()), Ok(()));
    assert_eq!(refused(&good, 399, 40, 100, 20), ResizeError::SourceTooShort { expected: 400, actual: 399 });
    assert_eq!(refused(&good, 400, 41, 100, 20), ResizeError::SourceTooShort { expected: 409, actual: 400 });
    assert_eq!(refused(&good, 400, 39, 100, 20), ResizeError::SourceTooShort { expected: 400, actual: 400 });
    assert_eq!(refused(&good, 400, 40, 99, 20), ResizeError::DestinationTooShort { expected: 100, actual: 99 });
    assert_eq!(refused(&good, 400, 40, 100, 0), ResizeError::DestinationTooShort { expected: 100, actual: 100 });
    assert_eq!(
        refused(&good, 400, usize::MAX, 100, 20),
        ResizeError::SourceTooShort { expected: u64::MAX, actual: 400 }
    );
    for empty in [
        Plan { source: Size { w: 0, h: 10 }, ..good },
        Plan { full: Size { w: 5, h: 0 }, ..good },
        Plan { window: Window { w: 0, ..good.window }, ..good },
    ] {
        assert_eq!(refused(&empty, 400, 40, 100, 20), ResizeError::EmptySide);
    }
    let long = Plan { full: Size { w: MAX_SIDE + 1, h: 5 }, ..good };
    assert_eq!(refused(&long, 400, 40, 100, 20), ResizeError::SideTooLong);
    let window = Window { x: 1, ..good.window };
    let outside = Plan { window, ..good };
    assert_eq!(refused(&outside, 400, 40, 100, 20), ResizeError::WindowOutside { window, full: good.full });
    let window = Window { y: u32::MAX, h: u32::MAX, ..good.window };
    assert!(matches!(refused(&Plan { window, ..good }, 400, 40, 100, 20), ResizeError::WindowOutside { .. }));
}

#[test]
fn absurd_sizes_never_panic_or_allocate() {
    let mut random = Random::new(5);
    let sides = [0, 1, 2, 3, 1000, 65_536, MAX_SIDE, u32::MAX];
    let src = vec![9; 4096];
    for _ in 0..20_000 {
        let [w, h, full_w, full_h, x, y, window_w, window_h] = [0; 8].map(|_| random.pick(&sides));
        let plan = Plan {
            source: Size { w, h },
            full: Size { w: full_w, h: full_h },
            window: Window { x, y, w: window_w, h: window_h },
            channels: random.pick(&common::CHANNELS),
            // Nearest walks the whole axis up to its window: minutes for the sides here, over all the rounds.
            filter: random.pick(&[Filter::Bilinear, Filter::Bicubic, Filter::Lanczos]),
        };
        let [src_stride, dst_stride] = [0; 2].map(|_| random.pick(&[0, 1, 12, 4096, usize::MAX]));
        let mut dst = vec![0; 4096];
        let _ = resize(&plan, &src, src_stride, &mut dst, dst_stride, &mut Scratch::new());
    }
}

#[test]
fn a_far_window_of_a_huge_result_costs_what_it_keeps() {
    // A line of pixels cropped to its centre: the whole result would be 400 GB.
    let source = Size { w: 65_500, h: 1 };
    let out = Size { w: 224, h: 224 };
    let src: Vec<u8> = (0..source.w).map(|x| (x >> 8) as u8).collect();
    for filter in common::FILTERS {
        let Some(plan) = Plan::crop(source, out, Channels::One, filter) else { panic!("no such crop") };
        assert_eq!(plan.full, Size { w: 65_500 * 224, h: 224 });
        let mut dst = vec![0; 224 * 224];
        assert_eq!(resize(&plan, &src, 65_500, &mut dst, 224, &mut Scratch::new()), Ok(()));
        assert!(dst.iter().all(|&sample| sample == 127 || sample == 128), "{filter:?}");
    }
}

#[test]
fn geometry_refuses_empty_and_endless_sizes() {
    let out = Size { w: 224, h: 224 };
    assert_eq!(crop_geometry(Size { w: 0, h: 5 }, out), None);
    assert_eq!(pad_geometry(Size { w: 5, h: 5 }, Size { w: 0, h: 5 }), None);
    assert_eq!(crop_geometry(Size { w: MAX_SIDE, h: 1 }, out), None);
    assert_eq!(pad_geometry(Size { w: MAX_SIDE, h: 1 }, out).map(|pad| pad.full), Some(Size { w: 224, h: 0 }));
}
