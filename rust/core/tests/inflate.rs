//! Deflate and deflate64 streams as members: sound ones give their bytes, all others a typed error.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says that it is skipped")]

mod archive;

use std::path::{Path, PathBuf};

use archive::{Archive, Member, deflate, noise, open, outcomes, read};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{Directory, Location};
use pixcrawler_core::{Code, Limits};

/// Bits in the order in which deflate reads them (RFC 1951 3.1.1).
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    /// A number, lowest bit first.
    fn number(mut self, value: u64, bits: usize) -> Self {
        for bit in 0..bits {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.count % 8);
            self.count += 1;
        }
        self
    }

    /// A Huffman code, highest bit first.
    fn code(mut self, value: u64, bits: usize) -> Self {
        for bit in (0..bits).rev() {
            self = self.number(value >> bit & 1, 1);
        }
        self
    }

    /// A literal or length symbol of the fixed code (RFC 1951 3.2.6).
    fn fixed(self, symbol: u64) -> Self {
        match symbol {
            0..144 => self.code(0x30 + symbol, 8),
            144..256 => self.code(0x190 + symbol - 144, 9),
            256..280 => self.code(symbol - 256, 7),
            _ => self.code(0xc0 + symbol - 280, 8),
        }
    }

    fn stored_block(mut self, last: bool, data: &[u8]) -> Self {
        self = self.number(u64::from(last), 3);
        let padding = (8 - self.count % 8) % 8;
        self = self.number(0, padding);
        self = self.number(data.len() as u64, 16).number(!(data.len() as u64) & 0xffff, 16);
        data.iter().fold(self, |bits, &byte| bits.number(byte.into(), 8))
    }

    fn fixed_block(self, last: bool) -> Self {
        self.number(u64::from(last) | 2, 3)
    }
}

fn member(method: u16, packed: &[u8], data: &[u8]) -> Archive {
    let member = Member { method, packed: packed.to_vec(), ..Member::stored("a", data) };
    Archive::new(&[member, Member::stored("next", &[0; 64])])
}

fn outcome(method: u16, packed: &[u8], data: &[u8]) -> Option<Code> {
    let outcomes = outcomes(&member(method, packed, data).bytes);
    assert_eq!(outcomes[1], None);
    outcomes[0]
}

#[test]
fn i01_every_kind_of_block() {
    let history = noise(1, 40_000);
    let empty = Bits::default().stored_block(false, b"").fixed_block(false).fixed(256).stored_block(true, b"");
    let stored = Bits::default().stored_block(false, &history[..32_768]).stored_block(true, &history[32_768..]);
    // 258 bytes from 32,768 back, in the block before: length symbol 285, distance symbol 29 with 13 extra bits.
    let far = Bits::default().stored_block(false, &history[..32_768]).fixed_block(true);
    let far = far.fixed(285).code(29, 5).number(8191, 13).fixed(256);
    let far_data = [&history[..32_768], &history[..258]].concat();
    let run = Bits::default().fixed_block(true).fixed(255).fixed(285).code(0, 5).fixed(256);
    for (bits, data) in [(empty, vec![]), (stored, history), (far, far_data), (run, vec![255; 259])] {
        assert_eq!(outcome(8, &bits.bytes, &data), None);
        // Deflate64 is the same but for symbol 285 and the longest distances.
        if data.len() != 259 && data.len() != 32_768 + 258 {
            assert_eq!(outcome(9, &bits.bytes, &data), None);
        }
    }
    for data in [noise(2, 200_000), vec![5; 3_000_000], noise(3, 70_000).repeat(4)] {
        assert_eq!(outcome(8, &deflate(&data), &data), None);
    }
}

#[test]
fn i05_i07_deflate64_reaches_further() {
    let history = noise(4, 65_535).into_iter().chain([1, 2, 3]).collect::<Vec<_>>();
    // Symbol 285 with 16 extra bits: 3 + 65,535 bytes. Distance symbol 31 with 14 extra bits: 49,153 + 16,383 back.
    let bits = Bits::default().stored_block(false, &history[..65_535]).stored_block(false, &history[65_535..]);
    let bits = bits.fixed_block(true).fixed(285).number(65_535, 16).code(31, 5).number(16_383, 14).fixed(256);
    let mut data = history;
    for _ in 0..65_538 {
        data.push(data[data.len() - 65_536]);
    }
    assert_eq!(outcome(9, &bits.bytes, &data), None);
    assert!(matches!(outcome(8, &bits.bytes, &data), Some(Code::Inflate | Code::SizeMismatch | Code::Crc)));
    let near = Bits::default().fixed_block(true).fixed(7).fixed(285).number(10, 16).code(0, 5).fixed(256);
    assert_eq!(outcome(9, &near.bytes, &[7; 14]), None);
    let deflated = deflate(&noise(9, 3000).repeat(3));
    assert_ne!(outcome(9, &deflated, b"1234567"), None);
}

#[test]
fn i02_broken_streams_are_placed() {
    let start = Bits::default().fixed_block(true);
    let cases: [(&str, Vec<u8>, Code); 7] = [
        ("block type 3", vec![7], Code::Inflate),
        (
            "distance beyond the start",
            start.fixed(1).fixed(257).code(5, 5).number(0, 1).fixed(256).bytes,
            Code::Inflate,
        ),
        ("stored lengths", vec![1, 5, 0, 0, 0, 1, 2, 3, 4, 5], Code::Inflate),
        (
            "too many length symbols",
            Bits::default().number(5, 3).number(31, 5).number(0, 9).number(0, 64).bytes,
            Code::Inflate,
        ),
        (
            "over-subscribed tree",
            Bits::default().number(5, 3).number(0, 10).number(15, 4).number(0x49_2492, 57).bytes,
            Code::Inflate,
        ),
        ("no end mark", Bits::default().fixed_block(true).fixed(1).bytes, Code::InflateTruncated),
        ("no last block", Bits::default().stored_block(false, b"x").bytes, Code::InflateTruncated),
    ];
    for (what, packed, expected) in cases {
        for method in [8, 9] {
            let archive = member(method, &packed, &[1; 1000][..if packed.len() > 4 { 1000 } else { 100 }]);
            let directory = open(&archive.bytes).unwrap();
            let error = read(&directory, 0, &archive.bytes).unwrap_err();
            let accepted = match (method, what) {
                // That decoder takes missing history for zeros; the size and the checksum find it.
                (9, "distance beyond the start") => error.code() == Code::SizeMismatch,
                (9, _) => [Code::Inflate, Code::InflateTruncated].contains(&error.code()),
                _ => error.code() == expected,
            };
            assert!(accepted, "{what}, method {method}: {error}");
            let data = 31..=31 + packed.len() as u64;
            assert!(data.contains(&error.offset().unwrap()), "{what}: {error}");
        }
    }
}

#[test]
fn i03_i04_the_stream_and_the_member_end_together() {
    for (method, data) in [(8, noise(5, 5000)), (9, noise(5, 5000)), (8, vec![0; 100_000])] {
        let packed = if method == 8 {
            deflate(&data)
        } else {
            Bits::default().stored_block(false, &data[..4000]).stored_block(true, &data[4000..]).bytes
        };
        assert_eq!(outcome(method, &packed, &data), None);
        for surplus in 1..12 {
            let longer = [&packed[..], &vec![0; surplus]].concat();
            assert_eq!(outcome(method, &longer, &data), Some(Code::SizeMismatch), "{surplus} bytes too many");
        }
        for length in packed.len().saturating_sub(300)..packed.len() {
            // So few bytes cannot become so many, and are not tried.
            let hopeless = method == 8 && length * 1032 < data.len();
            let expected = if hopeless { Code::SizeMismatch } else { Code::InflateTruncated };
            assert_eq!(outcome(method, &packed[..length], &data), Some(expected), "cut to {length}");
        }
    }
}

#[test]
fn b02_the_declared_size_is_the_truth() {
    for data in [noise(6, 300_000), vec![1; 300_000]] {
        let member = Member::deflated("a", &data);
        let packed = member.packed.len() as u32;
        let archive = Archive::new(&[member]);
        for size in [0, 1, 299_999, 300_001] {
            let wrong = archive.declared(0, packed, size);
            assert_eq!(outcomes(&wrong.bytes), [Some(Code::SizeMismatch)], "{size}");
        }
    }
}

#[test]
fn b01_b02_b03_memory_follows_what_is_produced() {
    // 10 GB declared in one member of 10 MB, and 2^40 in one of 100 bytes.
    let entry = |packed: u64, size: u64| {
        let mut data = b"PK\x01\x02".to_vec();
        data.extend([0; 42]);
        data[10] = 8;
        data[20..28].fill(0xff);
        data[28] = 1;
        data[30] = 20;
        data.extend(b"a\x01\0\x10\0");
        data.extend(size.to_le_bytes());
        data.extend(packed.to_le_bytes());
        let location = Location { offset: 1 << 30, size: data.len() as u64, entries: 1, ..Location::default() };
        let directory = Directory::parse(&data, &location, 2 << 30, &Limits::default()).unwrap();
        directory.entry(0).fault.as_ref().unwrap().code()
    };
    assert_eq!(entry(10_000_000, 10_000_000_000), Code::LimitInflated);
    assert_eq!(entry(100, 1 << 40), Code::SizeMismatch);

    // A stream that stops early has not cost what it declared, nor one that goes on more than one byte beyond.
    let data = vec![0; 15 << 20];
    let member = Member::deflated("a", &data);
    let packed = member.packed.len() as u32;
    let archive = Archive::new(&[member]);
    let bytes = archive.declared(0, packed, 200_000).bytes;
    let mut scratch = Vec::new();
    let limits = Limits::default();
    let error = read_member(&open(&bytes).unwrap(), 0, &bytes, 0, &mut scratch, &limits).unwrap_err();
    assert_eq!(error.code(), Code::SizeMismatch);
    assert_eq!(scratch.len(), 200_001);
    let short = Member { packed: [&deflate(b"short")[..], &noise(7, 20_000)].concat(), ..Member::deflated("a", &data) };
    let bytes = Archive::new(&[short]).bytes;
    let mut scratch = Vec::new();
    let error = read_member(&open(&bytes).unwrap(), 0, &bytes, 0, &mut scratch, &limits).unwrap_err();
    assert_eq!(error.code(), Code::SizeMismatch);
    assert!(scratch.len() < 200_000, "{}", scratch.len());
}

#[test]
fn i08_mutated_streams_never_deliver_other_bytes() {
    let data = [&noise(8, 600)[..], &[3; 3000], &noise(8, 300)].concat();
    let packed = deflate(&data);
    for method in [8, 9] {
        for bit in 0..packed.len() * 8 {
            let mut wrong = packed.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            if outcome(method, &wrong, &data).is_none() {
                let archive = member(method, &wrong, &data);
                assert_eq!(read(&open(&archive.bytes).unwrap(), 0, &archive.bytes).unwrap(), data, "bit {bit}");
            }
        }
    }
}

#[test]
fn i08_fuzz_corpus() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("PIXCRAWLER_TEST_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join("corpus/inflate/fuzz");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {}", folder.display());
        return;
    }
    let mut refused = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for (method, packed) in [(8, &bytes[..]), (9, &bytes[..]), (8, bytes.get(2..).unwrap_or_default())] {
            for size in [0, 100, 20_000] {
                refused += usize::from(outcome(method, packed, &vec![0; size]).is_some());
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}
