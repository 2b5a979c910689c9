//! Every resize kernel against the scalar one, over arbitrary sizes, filters, strides and windows.

use pixcrawler_resize::{Channels, Filter, Kernel, Plan, Scratch, Size, Stream, Window, resize, resize_rgba};

use crate::Numbers;

/// The plan that an input begins with; the rest are pixels.
fn plan(numbers: &mut Numbers<'_>) -> Plan {
    let shape = numbers.u8();
    let filter = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos][usize::from(shape & 3)];
    let channels = [Channels::One, Channels::Three, Channels::Four][usize::from(shape >> 2 & 3) % 3];
    let longest = [9, 40, 200, 600][usize::from(shape >> 4 & 3)];
    let mut side = || numbers.range(1, longest);
    let (source, full) = (Size { w: side(), h: side() }, Size { w: side(), h: side() });
    // One side may be long, not all.
    let source = Size { h: source.h.min((1 << 14) / source.w).max(1), ..source };
    let full = Size { h: full.h.min((1 << 14) / full.w).max(1), ..full };
    let mut plan = Plan::stretch(source, full, channels, filter);
    if shape & 0x40 != 0 {
        let (x, y) = (numbers.range(0, full.w - 1), numbers.range(0, full.h - 1));
        plan.window = Window { x, y, w: numbers.range(1, full.w - x), h: numbers.range(1, full.h - y) };
    }
    plan
}

/// Buffers of exactly the length that is needed, so that the sanitizer sees what reaches beyond.
pub fn check(input: &[u8]) {
    let mut numbers = Numbers(input);
    let plan = plan(&mut numbers);
    let gap = usize::from(numbers.u8() % 20);
    let rgba = numbers.u8() & 1 == 1 && plan.channels == Channels::Four;
    let channels = plan.channels.count();
    let (src_row, dst_row) = (plan.source.w as usize * channels, plan.window.w as usize * channels);
    let (rows, out_rows) = (plan.source.h as usize, plan.window.h as usize);
    let pattern = if numbers.0.is_empty() { &[0, 255][..] } else { numbers.0 };
    let pixels: Vec<u8> = pattern.iter().copied().cycle().take(src_row * rows).collect();
    let spread = |row: usize, gap: usize, rows: usize| (row + gap) * rows - gap;
    let run = |kernel: Kernel, gap: usize| {
        let mut scratch = Scratch::with_kernel(kernel)?;
        let mut src = vec![0xA5; spread(src_row, gap, rows)];
        src.chunks_mut(src_row + gap)
            .zip(pixels.chunks(src_row))
            .for_each(|(to, from)| to[..src_row].copy_from_slice(from));
        let mut out = vec![0x5A; spread(dst_row, gap, out_rows)];
        let all = if rgba { resize_rgba } else { resize };
        all(&plan, &src, src_row + gap, &mut out, dst_row + gap, &mut scratch).expect("a plan that is right");
        assert!(
            out.chunks(dst_row + gap).all(|row| row[dst_row..].iter().all(|&byte| byte == 0x5A)),
            "wrote into a gap"
        );
        Some(out.chunks(dst_row + gap).flat_map(|row| row[..dst_row].to_vec()).collect::<Vec<_>>())
    };
    let expected = run(Kernel::Scalar, 0).expect("every processor has it");
    for kernel in [Kernel::Scalar, Kernel::Avx2, Kernel::Avx512] {
        for gap in [0, gap] {
            if let Some(found) = run(kernel, gap) {
                assert!(found == expected, "{kernel:?}, {gap} bytes between rows: {plan:?}");
            }
        }
        if let Some(mut scratch) = Scratch::with_kernel(kernel).filter(|_| !rgba) {
            let mut out = vec![0x5A; dst_row * out_rows];
            let mut stream = Stream::new(&plan, &mut out, dst_row, &mut scratch).expect("a plan that is right");
            for part in pixels.chunks(src_row * (1 + usize::from(gap as u8))) {
                stream.push(part).expect("whole rows");
            }
            stream.finish().expect("all rows");
            assert!(out == expected, "{kernel:?}, in rows as they come: {plan:?}");
        }
    }
}
