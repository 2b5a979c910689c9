//! The safe face over libwebp: headers, formats, the first frame, refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use pixcrawler_webp::{Error, PixelFormat, decode_into, read_header};

const LOSSLESS: &[u8] = include_bytes!("data/lossless.webp");
const LOSSY: &[u8] = include_bytes!("data/lossy.webp");
const ANIMATED: &[u8] = include_bytes!("data/animated.webp");

/// The picture that lossless.webp and the first frame of animated.webp were made from.
fn gradient(x: usize, y: usize, band: usize) -> u8 {
    ((x * 7 + y * 13 + band * 50) % 256) as u8
}

#[test]
fn headers_are_read() {
    let lossless = read_header(LOSSLESS).unwrap();
    assert_eq!((lossless.width, lossless.height, lossless.has_alpha, lossless.animated), (24, 14, true, false));
    assert!(!read_header(LOSSY).unwrap().has_alpha);
    assert!(read_header(ANIMATED).unwrap().animated);
}

#[test]
fn lossless_pixels_come_back() {
    let mut rgba = [0; 24 * 14 * 4];
    decode_into(LOSSLESS, PixelFormat::Rgba, &mut rgba).unwrap();
    for (index, pixel) in rgba.chunks(4).enumerate().filter(|(_, pixel)| pixel[3] != 0) {
        let expected: Vec<u8> = (0..4).map(|band| gradient(index % 24, index / 24, band)).collect();
        assert_eq!(pixel, expected);
    }
    let mut rgb = [0; 24 * 14 * 3];
    decode_into(LOSSLESS, PixelFormat::Rgb, &mut rgb).unwrap();
    assert!(rgb.chunks(3).zip(rgba.chunks(4)).all(|(rgb, rgba)| rgb == &rgba[..3]));
}

#[test]
fn an_animation_gives_its_first_frame() {
    let mut rgb = [0; 24 * 14 * 3];
    decode_into(ANIMATED, PixelFormat::Rgb, &mut rgb).unwrap();
    let expected: Vec<u8> = (0..24 * 14 * 3).map(|at| gradient(at / 3 % 24, at / 3 / 24, at % 3)).collect();
    assert_eq!(rgb, *expected);
}

#[test]
fn a_buffer_of_another_length_is_refused() {
    let mut small = [0; 24 * 14 * 3 - 1];
    let refused = decode_into(LOSSY, PixelFormat::Rgb, &mut small);
    assert_eq!(refused, Err(Error::Size { expected: 1008, actual: 1007 }));
}

#[test]
fn every_cut_is_refused() {
    let mut rgb = [0; 24 * 14 * 3];
    for bytes in [LOSSY, LOSSLESS] {
        for length in 0..bytes.len() - 1 {
            assert!(decode_into(&bytes[..length], PixelFormat::Rgb, &mut rgb).is_err(), "cut to {length} bytes");
        }
    }
    for length in 0..ANIMATED.len() {
        // The first frame may be there already: it must come back, whatever it says.
        let _ = decode_into(&ANIMATED[..length], PixelFormat::Rgb, &mut rgb);
    }
}
