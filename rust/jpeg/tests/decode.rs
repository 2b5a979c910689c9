//! The safe face over libjpeg-turbo: sizes, formats, refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use pixcrawler_jpeg::{Color, ErrorKind, Jpeg, PixelFormat, Scale};

const GREY: &[u8] = include_bytes!("data/grey-8x8.jpg");

#[test]
fn the_header_is_read() {
    let jpeg = Jpeg::open(GREY).unwrap();
    let header = jpeg.header();
    assert_eq!((header.width, header.height, header.color, header.progressive), (8, 8, Color::Grey, false));
}

#[test]
fn a_grey_image_can_be_had_in_three_formats() {
    let mut grey = [0; 64];
    Jpeg::open(GREY).unwrap().decode_into(PixelFormat::Grey, Scale::Full, false, &mut grey).unwrap();
    let mut rgba = [0; 256];
    Jpeg::open(GREY).unwrap().decode_into(PixelFormat::Rgba, Scale::Full, false, &mut rgba).unwrap();
    for (grey, rgba) in grey.iter().zip(rgba.chunks(4)) {
        assert_eq!(rgba, [*grey, *grey, *grey, 255]);
    }
    let refused = Jpeg::open(GREY).unwrap().decode_into(PixelFormat::Cmyk, Scale::Full, false, &mut rgba);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Parameter);
}

#[test]
fn a_buffer_of_another_length_is_refused() {
    for length in [0, 63, 65] {
        let mut out = vec![7; length];
        let refused = Jpeg::open(GREY).unwrap().decode_into(PixelFormat::Grey, Scale::Full, false, &mut out);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Parameter);
        assert!(out.iter().all(|&byte| byte == 7), "nothing is written");
    }
}

#[test]
fn scaled_sides_are_rounded_up() {
    for (scale, side) in [(Scale::Half, 4), (Scale::Quarter, 2), (Scale::Eighth, 1)] {
        assert_eq!((scale.apply(8), scale.apply(7)), (side, side));
        let mut out = vec![0; side * side];
        Jpeg::open(GREY).unwrap().decode_into(PixelFormat::Grey, scale, false, &mut out).unwrap();
    }
}

#[test]
fn every_cut_is_refused_or_kept_on_request() {
    let mut out = [0; 64];
    for length in 0..GREY.len() {
        let Ok(mut jpeg) = Jpeg::open(&GREY[..length]) else { continue };
        let refused = jpeg.decode_into(PixelFormat::Grey, Scale::Full, false, &mut out);
        assert!(refused.is_err(), "cut to {length} bytes");
        if let Ok(mut jpeg) = Jpeg::open(&GREY[..length]) {
            // What libjpeg-turbo makes of it is its own affair; it must come back.
            let _ = jpeg.decode_into(PixelFormat::Grey, Scale::Full, true, &mut out);
        }
    }
    let cut = &GREY[..GREY.len() - 2];
    let refused = Jpeg::open(cut).unwrap().decode_into(PixelFormat::Grey, Scale::Full, false, &mut out);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Truncated);
}

#[test]
fn what_is_not_decoded_is_said() {
    let header_of = |sof: u8, bits: u8, components: u8| {
        let mut bytes = vec![0xFF, 0xD8, 0xFF, sof, 0, 8 + 3 * components, bits, 0, 8, 0, 8, components];
        (1..=components).for_each(|id| bytes.extend([id, 0x11, 0]));
        bytes.extend([0xFF, 0xDA, 0, 6 + 2 * components, components]);
        (1..=components).for_each(|id| bytes.extend([id, 0]));
        bytes.extend([0, 63, 0, 0xFF, 0xD9]);
        bytes
    };
    let kind = |bytes: &[u8]| Jpeg::open(bytes).err().map(|error| error.kind());
    assert_eq!(kind(&header_of(0xC1, 12, 1)), Some(ErrorKind::Unsupported), "12 bits");
    assert_eq!(kind(&header_of(0xC3, 8, 3)), Some(ErrorKind::Unsupported), "lossless");
    assert_eq!(kind(&header_of(0xC5, 8, 3)), Some(ErrorKind::Unsupported), "hierarchical");
    assert_eq!(kind(&header_of(0xC0, 8, 2)), Some(ErrorKind::Unsupported), "two components");
    assert_eq!(kind(&header_of(0xC0, 8, 1)), None, "a header alone is enough to open");
    assert_eq!(kind(b"\xFF\xD8\xFF\xD9"), Some(ErrorKind::Corrupt), "no image");
    assert_eq!(kind(b""), Some(ErrorKind::Corrupt));
}

#[test]
fn the_library_has_its_simd_code() {
    assert!(pixcrawler_jpeg::library_has_simd());
    assert!(pixcrawler_jpeg::LIBRARY_VERSION.starts_with("3."), "{}", pixcrawler_jpeg::LIBRARY_VERSION);
}
