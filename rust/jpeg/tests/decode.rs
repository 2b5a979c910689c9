//! The face of both decoders: sizes, formats, refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use pixcrawler_jpeg::{Color, Decoder, Error, ErrorKind, Jpeg, PixelFormat, Region, Scale, Scratch, Wanted};

const GREY: &[u8] = include_bytes!("data/grey-8x8.jpg");

#[test]
fn the_header_is_read() {
    let jpeg = Jpeg::open(GREY).unwrap();
    let header = jpeg.header();
    assert_eq!((header.width, header.height, header.color, header.progressive), (8, 8, Color::Grey, false));
}

fn decode(bytes: &[u8], decoder: Decoder, wanted: &Wanted, out: &mut [u8]) -> Result<Decoder, Error> {
    Jpeg::open_with(bytes, decoder)?.decode_into(wanted, out, &mut Scratch::default())
}

const BOTH: [Decoder; 2] = [Decoder::Native, Decoder::Turbo];

#[test]
fn a_grey_image_can_be_had_in_three_formats() {
    for decoder in BOTH {
        let mut grey = [0; 64];
        assert_eq!(decode(GREY, decoder, &Wanted::whole(PixelFormat::Grey), &mut grey), Ok(decoder));
        let mut rgba = [0; 256];
        assert_eq!(decode(GREY, decoder, &Wanted::whole(PixelFormat::Rgba), &mut rgba), Ok(decoder));
        for (grey, rgba) in grey.iter().zip(rgba.chunks(4)) {
            assert_eq!(rgba, [*grey, *grey, *grey, 255]);
        }
        let refused = decode(GREY, decoder, &Wanted::whole(PixelFormat::Cmyk), &mut rgba);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Parameter);
    }
}

#[test]
fn a_buffer_of_another_length_is_refused() {
    for decoder in BOTH {
        for length in [0, 63, 65] {
            let mut out = vec![7; length];
            let refused = decode(GREY, decoder, &Wanted::whole(PixelFormat::Grey), &mut out);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Parameter);
            assert!(out.iter().all(|&byte| byte == 7), "nothing is written");
        }
    }
}

#[test]
fn scaled_sides_are_rounded_up() {
    for (scale, side) in [(Scale::Half, 4), (Scale::Quarter, 2), (Scale::Eighth, 1)] {
        assert_eq!((scale.apply(8), scale.apply(7)), (side, side));
        for decoder in BOTH {
            let mut out = vec![0; side * side];
            let wanted = Wanted { scale, ..Wanted::whole(PixelFormat::Grey) };
            assert_eq!(decode(GREY, decoder, &wanted, &mut out), Ok(decoder));
        }
    }
}

#[test]
fn a_region_is_a_part_of_the_whole() {
    let mut whole = [0; 64];
    decode(GREY, Decoder::Turbo, &Wanted::whole(PixelFormat::Grey), &mut whole).unwrap();
    let region = |x, y, width, height| Wanted {
        region: Some(Region { x, y, width, height }),
        ..Wanted::whole(PixelFormat::Grey)
    };
    for decoder in BOTH {
        let mut part = [0; 15];
        assert_eq!(decode(GREY, decoder, &region(5, 3, 3, 5), &mut part), Ok(decoder));
        for (row, part) in part.chunks(3).enumerate() {
            assert_eq!(part, &whole[(row + 3) * 8 + 5..][..3]);
        }
        let outside = [region(6, 0, 3, 5), region(0, 8, 3, 5), region(0, 0, 0, 5), region(usize::MAX, 0, 3, 5)];
        let scaled = Wanted { scale: Scale::Half, ..region(0, 0, 3, 5) };
        for wanted in outside.iter().chain([&scaled]) {
            let refused = decode(GREY, decoder, wanted, &mut part);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Parameter, "{wanted:?}");
        }
    }
}

#[test]
fn every_cut_is_refused_or_kept_on_request() {
    let wanted = Wanted::whole(PixelFormat::Grey);
    let kept = Wanted { keep_damaged: true, ..wanted };
    let mut out = [0; 64];
    for decoder in BOTH {
        for length in 0..GREY.len() - 2 {
            let cut = &GREY[..length];
            let refused = decode(cut, decoder, &wanted, &mut out);
            assert!(refused.is_err(), "cut to {length} bytes");
            if Jpeg::open_with(cut, decoder).is_ok() {
                // What libjpeg-turbo makes of it is its own affair; it must come back.
                assert_ne!(decode(cut, decoder, &kept, &mut out), Ok(Decoder::Native), "damage is for libjpeg-turbo");
            }
        }
    }
}

#[test]
fn a_missing_end_marker_is_told_by_libjpeg_turbo_alone() {
    let (mut whole, mut out) = ([0; 64], [0; 64]);
    let wanted = Wanted::whole(PixelFormat::Grey);
    decode(GREY, Decoder::Turbo, &wanted, &mut whole).unwrap();
    for length in [GREY.len() - 2, GREY.len() - 1] {
        let cut = &GREY[..length];
        assert_eq!(decode(cut, Decoder::Turbo, &wanted, &mut out).unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(decode(cut, Decoder::Native, &wanted, &mut out), Ok(Decoder::Native));
        assert_eq!(out, whole);
    }
}

#[test]
fn errors_say_where_they_are() {
    let wanted = Wanted::whole(PixelFormat::Grey);
    // The last byte of the data goes, the end marker stays.
    let mut cut = GREY.to_vec();
    cut.remove(GREY.len() - 3);
    let refused = decode(&cut, Decoder::Native, &wanted, &mut [0; 64]).unwrap_err();
    assert_eq!((refused.kind(), refused.offset()), (ErrorKind::Truncated, Some(cut.len() - 2)), "{refused}");
}

#[test]
fn a_scratch_is_as_new_after_any_image() {
    let wanted = Wanted::whole(PixelFormat::Grey);
    let (mut expected, mut scratch) = ([0; 64], Scratch::default());
    decode(GREY, Decoder::Turbo, &wanted, &mut expected).unwrap();
    for length in 0..=GREY.len() {
        let mut out = [0; 64];
        for bytes in [&GREY[..length], GREY] {
            if let Ok(mut jpeg) = Jpeg::open_with(bytes, Decoder::Native) {
                let _ = jpeg.decode_into(&wanted, &mut out, &mut scratch);
            }
        }
        assert_eq!(out, expected, "behind one cut to {length} bytes");
    }
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
