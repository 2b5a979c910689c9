//! The bytes of Pillow 13.0.0: `golden.py`, run with it, wrote the CRCs in `golden.txt`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use pixcrawler_resize::{Channels, Filter, Kernel, Plan, Scratch, Size, resize, resize_rgba};

/// The sources of `golden.py`.
fn pixels(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| match (i.wrapping_mul(2_654_435_761) >> 24) as u8 {
            value if i % 5 != 0 => value,
            0..128 => 0,
            _ => 255,
        })
        .collect()
}

/// The CRC-32 of zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1))))
}

#[test]
fn pillows_bytes() {
    for kernel in [Kernel::Scalar, Kernel::Avx2, Kernel::Avx512] {
        let Some(mut scratch) = Scratch::with_kernel(kernel) else {
            eprintln!("skipped: this processor has no {}", kernel.name());
            continue;
        };
        let mut cases = 0;
        for line in include_str!("golden.txt").lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [w, h, out_w, out_h] = [0, 1, 2, 3].map(|at| fields[at].parse().unwrap());
            let filter = match fields[5] {
                "nearest" => Filter::Nearest,
                "bilinear" => Filter::Bilinear,
                "bicubic" => Filter::Bicubic,
                _ => Filter::Lanczos,
            };
            let channels = Channels::from_count(fields[4].parse().unwrap()).unwrap();
            let plan = Plan::stretch(Size { w, h }, Size { w: out_w, h: out_h }, channels, filter);
            let (src_len, dst_len) = (w as usize * channels.count(), out_w as usize * channels.count());
            let src = pixels(src_len * h as usize);
            let mut dst = vec![0; dst_len * out_h as usize];
            // Pillow's four channels here are RGBA.
            let function = if channels == Channels::Four { resize_rgba } else { resize };
            function(&plan, &src, src_len, &mut dst, dst_len, &mut scratch).unwrap();
            assert_eq!(format!("{:08x}", crc32(&dst)), fields[6], "{kernel:?} {line}");
            cases += 1;
        }
        assert_eq!(cases, 27 * 3 * 4);
    }
}
