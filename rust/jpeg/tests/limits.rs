//! Small files that announce much: they are refused without the memory that they ask for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod memory;

use std::iter;

use pixcrawler_jpeg::{Decoder, Jpeg, PixelFormat, Scratch, Wanted};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Tables of scans, which [`Jpeg::working_bytes`] leaves out.
const TABLES: usize = 3 << 20;

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16 + 2).to_be_bytes();
    [&[0xFF, code], length.as_slice(), payload].concat()
}

/// The headers of three components without subsampling, up to the first scan header; tables of two codes of one and two bits.
fn headers(frame: u8, side: u16, restart_interval: u16) -> Vec<u8> {
    let side = side.to_be_bytes();
    let mut table = vec![0; 19];
    (table[1], table[2], table[18]) = (1, 1, 1);
    let mut tables = segment(0xC4, &table);
    table[0] = 0x10;
    tables.extend(segment(0xC4, &table));
    [
        vec![0xFF, 0xD8],
        segment(0xDB, &[&[0], [1; 64].as_slice()].concat()),
        segment(frame, &[&[8], side.as_slice(), &side, &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat()),
        tables,
        segment(0xDD, &restart_interval.to_be_bytes()),
    ]
    .concat()
}

fn scan(components: &[u8], spectral: [u8; 2], approximation: u8) -> Vec<u8> {
    let selectors: Vec<u8> = components.iter().flat_map(|&component| [component, 0]).collect();
    segment(0xDA, &[&[components.len() as u8], &selectors[..], &spectral, &[approximation]].concat())
}

const END: [u8; 2] = [0xFF, 0xD9];

/// The most memory that opening and decoding to bands takes, beyond what the decoder foretells; and whether it delivers.
fn decode(bytes: &[u8], name: &str) -> (usize, bool) {
    let before = memory::start();
    let mut foretold = 0;
    let mut delivers = false;
    if let Ok(mut jpeg) = Jpeg::open_with(bytes, Decoder::Native) {
        assert_eq!(jpeg.decoder(), Decoder::Native, "{name}");
        foretold = jpeg.working_bytes();
        let wanted = Wanted::whole(PixelFormat::Rgb);
        delivers = jpeg.decode_bands(&wanted, &mut |_, _| {}, &mut Scratch::default()) == Ok(true);
    }
    ((memory::peak() - before).saturating_sub(foretold), delivers)
}

/// Every test in one: the allocator counts for the whole program.
#[test]
fn memory_is_bounded_by_the_bytes_and_the_width() {
    let long = 10 << 20;
    let whole = || scan(&[1, 2, 3], [0, 63], 0);
    let fill = || vec![0xFF; long];
    let zeros = || vec![0; long];
    let restarts = || -> Vec<u8> { (0..8).flat_map(|n| [0xFF, 0xD0 + n]).cycle().take(long).collect() };
    let progressive = |side| {
        let mut file = [headers(0xC2, side, 0), scan(&[1, 2, 3], [0, 0], 0)].concat();
        (1..=3).for_each(|component| file.extend(scan(&[component], [1, 63], 0)));
        file
    };
    // All of T.81's scans of a bit of a coefficient: 3 x 63 of them are too many, 3 x 40 are not.
    let scans = |bands: u8| {
        let mut file = [headers(0xC2, 65_500, 0), scan(&[1, 2, 3], [0, 0], 0)].concat();
        for component in 1..=3 {
            (1..bands).for_each(|at| file.extend(scan(&[component], [at, at], 0)));
            file.extend(scan(&[component], [bands, 63], 0));
        }
        file
    };
    let eight_scans = || {
        let mut file = [headers(0xC2, 65_500, 1), scan(&[1, 2, 3], [0, 0], 0)].concat();
        for (first, last) in [(1, 5), (6, 20), (21, 63)] {
            for component in 1..=3 {
                file.extend(scan(&[component], [first, last], 0));
                file.extend(&restarts()[..long / 9]);
            }
        }
        file
    };
    let cases: [(&str, Vec<Vec<u8>>); 11] = [
        ("sides of 65,500", vec![headers(0xC0, 65_500, 0), whole(), END.to_vec()]),
        ("sides of 65,500 and nothing more", vec![headers(0xC0, 65_500, 0), whole()]),
        ("progressive, sides of 65,500", vec![progressive(65_500), END.to_vec()]),
        ("121 scans", vec![scans(40), END.to_vec()]),
        ("restart markers alone", vec![headers(0xC0, 65_500, 1), whole(), restarts(), END.to_vec()]),
        ("restart markers that nobody expects", vec![headers(0xC0, 65_500, 0), whole(), restarts(), END.to_vec()]),
        ("restart markers alone in eight scans", vec![eight_scans(), END.to_vec()]),
        ("fill bytes as data", vec![headers(0xC0, 65_500, 1), whole(), fill(), END.to_vec()]),
        ("zeros as data of a small picture", vec![headers(0xC0, 16, 0), whole(), zeros(), END.to_vec()]),
        ("fill bytes behind the end", vec![headers(0xC0, 16, 0), whole(), vec![0; 3], END.to_vec(), fill()]),
        ("fill bytes before a marker", vec![headers(0xC0, 16, 0), fill(), whole(), vec![0; 3], END.to_vec()]),
    ];
    for (name, parts) in cases {
        let file = parts.concat();
        drop(parts);
        let (beyond, delivers) = decode(&file, name);
        let is_sound = matches!(name, "fill bytes behind the end" | "fill bytes before a marker");
        assert_eq!(delivers, is_sound, "{name}");
        let limit = TABLES + file.len();
        assert!(beyond <= limit, "{name}: {beyond} bytes more than foretold");
    }
}

#[test]
fn what_announces_too_much_is_left_to_libjpeg_turbo() {
    let is_native =
        |bytes: &[u8]| Jpeg::open_with(bytes, Decoder::Native).is_ok_and(|j| j.decoder() == Decoder::Native);
    let headers_of = |frame| headers(frame, 8, 0);
    let whole = scan(&[1, 2, 3], [0, 63], 0);
    assert!(is_native(&[headers_of(0xC0), whole.clone()].concat()));
    // A scan's part again and again.
    let scans: Vec<u8> = iter::repeat_n(scan(&[1], [0, 63], 0), 1000).flatten().collect();
    assert!(!is_native(&[headers_of(0xC0), scans, END.to_vec()].concat()));
    let mut table = vec![0; 19];
    (table[1], table[2]) = (1, 1);
    let tables: Vec<u8> = iter::repeat_n(segment(0xC4, &table), 1000).flatten().collect();
    assert!(!is_native(&[headers_of(0xC0), tables, whole].concat()));
}
