//! The structure of archives: what is read, what is refused, and with which code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::{Archive, Member, noise, open, open_limited, outcomes, read, refusal};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{Directory, Location, TAIL_BYTES};
use pixcrawler_core::{Code, Limits};

fn two() -> Archive {
    Archive::new(&[Member::stored("a.jpg", &noise(1, 700)), Member::deflated("b/c.png", &[7; 5000])])
}

fn three_stored() -> Archive {
    Archive::new(&["a", "b", "c"].map(|name| Member::stored(name, &noise(u64::from(name.as_bytes()[0]), 100))))
}

#[test]
fn z42_every_road_reads_the_same() {
    let members = [
        Member::stored("a.jpg", &noise(1, 700)),
        Member::deflated("b/c.png", &[7; 5000]),
        Member::stored("empty", b""),
        Member::deflated("nothing", b""),
        Member::stored("folder/", b""),
        Member::deflated("large", &noise(2, 300_000).repeat(3)),
        Member::stored("nested.zip", &two().bytes),
    ];
    for zip64 in [false, true] {
        for comment in [&b""[..], b"a comment", &vec![b'c'; 65_535]] {
            let archive = Archive::with(&members, zip64, comment);
            let directory = open(&archive.bytes).unwrap();
            assert_eq!(directory.len(), members.len());
            for (index, member) in members.iter().enumerate() {
                assert_eq!(read(&directory, index, &archive.bytes).unwrap(), member.data);
                assert_eq!(directory.raw_name(index), member.name);
                assert_eq!(directory.find(str::from_utf8(&member.name).unwrap()), Some(index));
                assert_eq!(directory.is_folder(index), member.name.ends_with(b"/"));
                let mut scratch = Vec::new();
                let whole = read_member(&directory, index, &archive.bytes, 0, &mut scratch, &Limits::default());
                assert_eq!(whole.unwrap(), member.data);
            }
            assert_eq!(directory.find("none"), None);
        }
    }
}

#[test]
fn stored_bytes_are_borrowed_and_scratch_is_reused() {
    let archive = two();
    let directory = open(&archive.bytes).unwrap();
    let mut scratch = Vec::new();
    let stored = read_member(&directory, 0, &archive.bytes, 0, &mut scratch, &Limits::default()).unwrap();
    assert!(archive.bytes.as_ptr_range().contains(&stored.as_ptr()));
    assert!(scratch.is_empty());
    // Bytes of an earlier, longer member never show.
    let mut dirty = vec![0xff; 100_000];
    let inflated = read_member(&directory, 1, &archive.bytes, 0, &mut dirty, &Limits::default()).unwrap();
    assert_eq!(inflated, [7; 5000]);
}

#[test]
fn z42_a_part_of_the_chunk_is_enough_and_less_is_refused() {
    let archive = three_stored();
    let directory = open(&archive.bytes).unwrap();
    let extent = directory.extent(1);
    assert_eq!(extent, archive.locals[1] as u64..archive.locals[2] as u64);
    assert_eq!(directory.extent(2).end, archive.directory as u64);
    let (start, end) = (extent.start as usize, extent.end as usize);
    let mut scratch = Vec::new();
    for from in start - 3..end {
        for to in from..=end {
            let part = &archive.bytes[from..to];
            let result = read_member(&directory, 1, part, from as u64, &mut scratch, &Limits::default());
            if from <= start && to == end {
                assert_eq!(result.unwrap(), noise(98, 100));
            } else {
                assert_eq!(result.unwrap_err().code(), Code::DataBounds);
            }
        }
    }
}

#[test]
fn z01_z03_what_is_no_zip_is_named() {
    let mut tar = vec![b'x'; 2000];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str); 10] = [
        (b"", "0 bytes"),
        (&[1; 21], "21 bytes"),
        (b"<!DOCTYPE html><html>502</html>", "html"),
        (b"\n <HTML>", "html"),
        (b"{\"error\": \"no\"}", "json"),
        (b"<?xml version=\"1.0\"?><Error/>", "xml"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        (b"Rar!\x1a\x07\x01\0", "rar"),
        (&tar, "tar"),
    ];
    for (bytes, word) in cases {
        let error = open(bytes).unwrap_err();
        assert_eq!(error.code(), Code::NotAZip, "{word}");
        assert!(error.detail().contains(word), "{error} should say {word}");
    }
    let mut long = vec![b' '; 100_000];
    long.extend(b"</html>\n");
    assert!(open(&long).unwrap_err().detail().contains("html"));
    assert_eq!(refusal(&vec![3; 100_000]), Some(Code::NotAZip));
}

#[test]
fn z02_a_cut_archive_is_never_read() {
    let mut members = vec![Member::stored("nested.zip", &two().bytes), Member::deflated("x", &noise(3, 900))];
    members.push(Member::stored("last.jpg", &noise(4, 300)).described(true, false));
    for (zip64, comment) in [(false, &b""[..]), (true, b""), (false, b"some comment")] {
        let archive = Archive::with(&members, zip64, comment);
        for length in 0..archive.bytes.len() {
            let code = refusal(&archive.bytes[..length]).unwrap_or_else(|| panic!("read when cut to {length} bytes"));
            let expected: &[Code] = match length {
                0..2 => &[Code::NotAZip],
                _ if length >= archive.end + 22 => &[Code::CommentLength],
                // Where the nested archive is the end of the file, its offsets are those of an archive with a prefix.
                _ => &[Code::TruncatedZip, Code::Prefix],
            };
            assert!(expected.contains(&code), "{code:?} when cut to {length} bytes");
            if length > archive.locals[1] {
                assert_ne!(code, Code::Prefix);
            }
        }
    }
}

#[test]
fn z41_every_bit_flip_is_refused_or_harmless() {
    let members = [
        Member::stored("a.jpg", &noise(1, 60)),
        Member::deflated("b.png", b"some text, some text, some text").described(true, false),
        Member::stored("c", &noise(5, 40)).described(false, true),
    ];
    for zip64 in [false, true] {
        let archive = Archive::with(&members, zip64, b"note");
        for bit in 0..archive.bytes.len() * 8 {
            let mut bytes = archive.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(directory) = open(&bytes) else { continue };
            assert!(directory.len() <= members.len());
            for (index, member) in members[..directory.len()].iter().enumerate() {
                if let Ok(data) = read(&directory, index, &bytes) {
                    assert_eq!(data, member.data, "bit {bit} delivered other bytes");
                }
            }
        }
    }
}

#[test]
fn noise_never_panics() {
    for seed in 0..300 {
        let mut bytes = noise(seed, 400);
        let directory = bytes.len();
        bytes.extend(b"PK\x01\x02");
        bytes.extend(noise(seed + 1000, 42 + (seed as usize % 90)));
        let size = (bytes.len() - directory) as u32;
        bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        bytes.extend(size.to_le_bytes());
        bytes.extend((directory as u32).to_le_bytes());
        bytes.extend([0; 2]);
        if let Ok(directory) = open(&bytes) {
            for index in 0..directory.len() {
                let _ = (read(&directory, index, &bytes), directory.name(index), directory.is_folder(index));
            }
        }
    }
}

#[test]
fn z04_z05_the_number_of_entries_is_the_truth() {
    let archive = two();
    let counted = |here: u16, all: u16| archive.patched16(archive.end + 8, here).patched16(archive.end + 10, all);
    for (here, all) in [(1, 1), (3, 3), (0, 0), (u16::MAX, u16::MAX), (2, 1), (1, 2)] {
        assert_eq!(refusal(&counted(here, all).bytes), Some(Code::EntryCount), "{here} {all}");
    }
    let wide = Archive::with(&[Member::stored("a", b"x")], true, b"");
    let end64 = wide.end64.unwrap();
    for claimed in [2, 1 << 32, 1 << 63, u64::MAX] {
        let bytes = wide.patched64(end64 + 24, claimed).patched64(end64 + 32, claimed).bytes;
        assert_eq!(refusal(&bytes), Some(Code::EntryCount), "{claimed}");
    }
}

#[test]
fn z18_as_many_entries_as_allowed() {
    let member = |index: usize| Member::stored(format!("{index}"), b"");
    let members: Vec<_> = (0..65_536).map(member).collect();
    let full = Archive::new(&members[..65_535]);
    assert_eq!(open(&full.bytes).unwrap().len(), 65_535);
    let wide = Archive::with(&members, true, b"");
    assert_eq!(open(&wide.bytes).unwrap().len(), 65_536);
    let limits = Limits { entries: 65_535, ..Limits::default() };
    assert_eq!(open_limited(&wide.bytes, &limits).unwrap_err().code(), Code::LimitEntries);
    let limits = Limits { directory_bytes: 1000, ..Limits::default() };
    assert_eq!(open_limited(&wide.bytes, &limits).unwrap_err().code(), Code::LimitDirectory);
}

#[test]
fn z06_z07_the_directory_is_where_it_is_said_to_be() {
    let archive = two();
    let size = (archive.end - archive.directory) as u32;
    let offset = archive.directory as u32;
    let placed = |size: u32, offset: u32| {
        refusal(&archive.patched32(archive.end + 12, size).patched32(archive.end + 16, offset).bytes)
    };
    assert_eq!(placed(size, offset), None);
    for (size, offset) in [
        (size, u32::MAX),
        (size, 1 << 20),
        (size, offset + 1),
        (size, 40),
        (u32::MAX, offset),
        (size + 1, offset),
        (size - 1, offset),
        (size + 22, offset),
        // They end at the record, and no entry stands at the offset.
        (size + 10, offset - 10),
        (size - 10, offset + 10),
    ] {
        assert_eq!(placed(size, offset), Some(Code::DirectoryBounds), "size {size}, offset {offset}");
    }
}

#[test]
fn z08_bytes_after_the_last_entry_are_refused() {
    let archive = two();
    let mut bytes = archive.bytes.clone();
    bytes.splice(archive.end..archive.end, *b"left over");
    assert_eq!(refusal(&bytes), Some(Code::DirectoryTrailing));
    // The same, counted as part of the directory.
    let size = (archive.end + 9 - archive.directory) as u32;
    let place = archive.end + 9 + 12;
    bytes[place..place + 4].copy_from_slice(&size.to_le_bytes());
    assert_eq!(refusal(&bytes), Some(Code::DirectoryTrailing));
}

#[test]
fn z09_a_comment_hides_nothing() {
    let inner = Archive::new(&[Member::stored("evil.jpg", b"evil")]);
    let outer = [Member::stored("good.jpg", b"good")];
    // A whole archive in the comment: its offsets are its own.
    let directory = open(&Archive::with(&outer, false, &inner.bytes).bytes).unwrap();
    assert_eq!(directory.name(0), "good.jpg");
    // With offsets made to fit the file it is a second reading.
    let mut comment = inner.bytes.clone();
    let start = (Archive::new(&outer).bytes.len() + inner.directory) as u32;
    comment[inner.end + 16..inner.end + 20].copy_from_slice(&start.to_le_bytes());
    assert_eq!(refusal(&Archive::with(&outer, false, &comment).bytes), Some(Code::Ambiguous));
    comment.push(b'x');
    assert_eq!(refusal(&Archive::with(&outer, false, &comment).bytes), Some(Code::Ambiguous));
    // A bare signature, a zip64 locator, a record that fits the file's end.
    for comment in [&b"PK\x05\x06"[..], b"..PK\x06\x07....................", &[&b"PK\x05\x06"[..], &[0; 18]].concat()] {
        assert_eq!(open(&Archive::with(&outer, true, comment).bytes).unwrap().name(0), "good.jpg");
    }
}

#[test]
fn z10_the_comment_has_its_length() {
    let archive = Archive::with(&[Member::stored("a", b"x")], false, b"comment");
    for length in [0, 3, 6, 8, 500, u16::MAX] {
        let expected = if length == 0 { Code::Trailing } else { Code::CommentLength };
        assert_eq!(refusal(&archive.patched16(archive.end + 20, length).bytes), Some(expected), "{length}");
    }
}

#[test]
fn z13_only_padding_follows() {
    let archive = two();
    let followed = |tail: &[u8]| refusal(&[&archive.bytes, tail].concat());
    for count in 1..=64 {
        assert_eq!(followed(&vec![0; count]), None);
    }
    for tail in [&[0; 65][..], b"x", b"\0x", b"x\0", &vec![0; 70_000]] {
        let code = followed(tail);
        // Beyond the tail nothing is seen.
        let expected = if tail.len() < TAIL_BYTES { Code::Trailing } else { Code::NotAZip };
        assert_eq!(code, Some(expected), "{} bytes", tail.len());
    }
}

#[test]
fn z11_two_archives_in_one_file() {
    let (one, two) = (two(), three_stored());
    let joined = [&one.bytes[..], &two.bytes].concat();
    assert_eq!(refusal(&joined), Some(Code::Ambiguous));
    let mut adjusted = joined;
    let shift = one.bytes.len();
    for at in two.centrals.iter().map(|at| shift + at + 42).chain([shift + two.end + 16]) {
        let offset = u32::from_le_bytes(adjusted[at..at + 4].try_into().unwrap()) + shift as u32;
        adjusted[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    }
    assert_eq!(refusal(&adjusted), Some(Code::Ambiguous));
}

#[test]
fn z12_bytes_in_front_are_refused() {
    for zip64 in [false, true] {
        let archive = Archive::with(&[Member::stored("a", b"x"), Member::stored("b", b"y")], zip64, b"");
        let relative = [b"#!/bin/sh\n", &archive.bytes[..]].concat();
        assert_eq!(refusal(&relative), Some(Code::Prefix));
    }
    let archive = three_stored();
    let mut absolute = [b"#!/bin/sh\n", &archive.bytes[..]].concat();
    for at in archive.centrals.iter().map(|at| 10 + at + 42).chain([10 + archive.end + 16]) {
        let offset = u32::from_le_bytes(absolute[at..at + 4].try_into().unwrap()) + 10;
        absolute[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    }
    assert_eq!(refusal(&absolute), Some(Code::Prefix));
    let empty = [&b"hidden"[..], &Archive::new(&[]).bytes].concat();
    assert_eq!(refusal(&empty), Some(Code::Prefix));
    assert!(open(&Archive::new(&[]).bytes).unwrap().is_empty());
}

#[test]
fn gaps_between_members_are_tolerated() {
    let members = [Member::stored("a", b"x"), Member::stored("b", b"y")];
    let archive = Archive::new(&members);
    let mut bytes = archive.bytes.clone();
    bytes.splice(archive.locals[1]..archive.locals[1], *b"gap");
    for at in [archive.centrals[1] + 3 + 42, archive.end + 3 + 16] {
        let offset = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + 3;
        bytes[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    }
    assert_eq!(outcomes(&bytes), [None, None]);
}

#[test]
fn z19_z20_z21_z22_z37_the_local_header_says_the_same() {
    let archive = three_stored();
    let (local, central) = (archive.locals[1], archive.centrals[1]);
    let cases = [
        (archive.patched(local, b"PK\x03\x05"), Code::LocalHeader, ""),
        (archive.patched(local + 30, b"B"), Code::NameMismatch, ""),
        (archive.patched16(local + 26, 2), Code::NameMismatch, ""),
        (archive.patched16(local + 6, 2), Code::HeaderMismatch, "flags"),
        (archive.patched16(local + 8, 8), Code::HeaderMismatch, "method"),
        (archive.patched32(local + 14, 1), Code::HeaderMismatch, "CRC-32"),
        (archive.patched32(local + 18, 1), Code::HeaderMismatch, "compressed size"),
        (archive.patched32(local + 22, 1), Code::HeaderMismatch, "size"),
        (archive.patched16(local + 28, 1), Code::DataBounds, ""),
        (archive.patched16(local + 28, u16::MAX), Code::DataBounds, ""),
        (archive.patched32(local + 14, 0).patched32(central + 16, 0), Code::Crc, ""),
    ];
    for (archive, code, word) in cases {
        let directory = open(&archive.bytes).unwrap();
        let error = read(&directory, 1, &archive.bytes).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.detail().contains(word), "{error} should name {word}");
        assert_eq!(outcomes(&archive.bytes), [None, Some(code), None]);
    }
    // Versions and times may differ.
    let dated = archive.patched16(local + 4, 63).patched32(local + 10, 12345);
    assert_eq!(outcomes(&dated.bytes), [None; 3]);
}

#[test]
fn z23_data_descriptors() {
    // Bytes whose checksum is the descriptor's signature.
    let data = [&noise(9, 50)[..], &crc_suffix(&noise(9, 50), u32::from_le_bytes(*b"PK\x07\x08"))].concat();
    assert_eq!(crc32fast::hash(&data).to_le_bytes(), *b"PK\x07\x08");
    for plain in [noise(8, 50), data] {
        for (signature, wide) in [(false, false), (true, false), (false, true), (true, true)] {
            for member in [Member::stored("a", &plain), Member::deflated("a", &plain)] {
                let packed = member.packed.len();
                let archive = Archive::new(&[member.described(signature, wide), Member::stored("b", b"x")]);
                assert_eq!(outcomes(&archive.bytes), [None, None]);
                let descriptor = archive.locals[0] + 31 + packed;
                for at in descriptor..archive.locals[1] {
                    let wrong = archive.patched(at, &[archive.bytes[at] ^ 1]);
                    let crc_is_signature = plain.len() == 54;
                    // A broken signature can leave the checksum in its place.
                    if !(crc_is_signature && at < descriptor + 8) {
                        assert_eq!(outcomes(&wrong.bytes), [Some(Code::Descriptor), None], "byte {}", at - descriptor);
                    }
                }
            }
        }
    }
    let cut = Archive::new(&[Member { descriptor: b"PK".to_vec(), flags: 8, ..Member::stored("a", b"12345") }]);
    assert_eq!(outcomes(&cut.bytes), [Some(Code::Descriptor)]);
    // The descriptor is part of the extent: without it the member is not whole.
    let archive = Archive::new(&[Member::stored("a", b"12345").described(true, false), Member::stored("b", b"x")]);
    let directory = open(&archive.bytes).unwrap();
    let mut scratch = Vec::new();
    let part = &archive.bytes[..archive.locals[1] - 1];
    let error = read_member(&directory, 0, part, 0, &mut scratch, &Limits::default()).unwrap_err();
    assert_eq!(error.code(), Code::DataBounds);
}

/// Four bytes that give `prefix` a chosen CRC-32.
fn crc_suffix(prefix: &[u8], wanted: u32) -> [u8; 4] {
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| (0..8).fold(byte, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }))
        .collect();
    let mut indices = [0; 4];
    let mut state = !wanted;
    for index in indices.iter_mut().rev() {
        *index = table.iter().position(|entry| entry >> 24 == state >> 24).unwrap();
        state = (state ^ table[*index]) << 8;
    }
    let mut crc = !crc32fast::hash(prefix);
    indices.map(|index| {
        let byte = index as u8 ^ crc as u8;
        crc = table[index] ^ crc >> 8;
        byte
    })
}

#[test]
fn z25_z27_members_that_share_bytes() {
    let archive = three_stored();
    let overlap = Some(Code::Overlap);
    // Two entries, one local header.
    let same = archive.patched32(archive.centrals[1] + 42, 0);
    assert_eq!(outcomes(&same.bytes), [overlap, overlap, None]);
    // The first covers all.
    let reach = (archive.directory - 31) as u32;
    assert_eq!(outcomes(&archive.declared(0, reach, reach).bytes), [overlap; 3]);
    // The last runs into the directory, or past the end: only it is wrong.
    assert_eq!(outcomes(&archive.declared(2, 101, 101).bytes), [None, None, overlap]);
    let far = archive.declared(1, 1 << 20, 1 << 20);
    assert_eq!(outcomes(&far.bytes), [None, Some(Code::DataBounds), None]);
    // A header inside the directory.
    let inside = archive.patched32(archive.centrals[2] + 42, archive.directory as u32);
    assert_eq!(outcomes(&inside.bytes), [None, None, overlap]);
    let beyond = archive.patched32(archive.centrals[0] + 42, u32::MAX - 1);
    assert_eq!(outcomes(&beyond.bytes), [Some(Code::DataBounds), None, None]);
}

#[test]
fn z26_a_quoted_overlap_bomb() {
    // Fifield 2019: each member's data begins with the quoted header of the next, and all end with one kernel.
    let count = 250;
    let kernel = archive::deflate(&vec![0; 1 << 20]);
    let mut bytes = Vec::new();
    let mut starts = Vec::new();
    for _ in 0..count {
        starts.push(bytes.len());
        bytes.extend([0; 35]);
    }
    bytes.extend(&kernel);
    let directory = bytes.len();
    for (index, &start) in starts.iter().enumerate() {
        let mut entry = vec![0; 46];
        entry[..4].copy_from_slice(b"PK\x01\x02");
        entry[10] = 8;
        entry[20..24].copy_from_slice(&((directory - start - 34) as u32).to_le_bytes());
        entry[24..28].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        entry[28] = 4;
        entry[42..46].copy_from_slice(&(start as u32).to_le_bytes());
        bytes.extend(entry);
        bytes.extend(format!("{index:04}").bytes());
    }
    let location = Location {
        offset: directory as u64,
        size: (bytes.len() - directory) as u64,
        entries: count,
        ..Location::default()
    };
    let parsed = Directory::parse(&bytes[directory..], &location, bytes.len() as u64 + 22, &Limits::default()).unwrap();
    for entry in parsed.entries() {
        assert_eq!(entry.fault.as_ref().unwrap().code(), Code::Overlap);
    }
}

#[test]
fn z28_z29_z30_names() {
    let flagged = |name: &[u8]| Member { flags: 1 << 11, ..Member::stored(name, b"x") };
    let archive = Archive::new(&[
        Member::stored("same", b"1"),
        Member::stored("Same", b"2"),
        Member::stored("same", b"1"),
        Member::stored("", b"x"),
        Member::stored("a\0b", b"x"),
        Member::stored("/etc/passwd", b"x"),
        Member::stored("../up", b"x"),
        flagged(b"\xff\xfe"),
        flagged("\u{e9}t\u{e9}.jpg".as_bytes()),
        Member::stored(b"caf\x82.jpg", b"x"),
        Member::stored("e\u{301}.jpg", b"x"),
        Member::stored("\u{e9}.jpg", b"x"),
        Member::stored("new\nline\u{1b}[0m", b"x"),
        Member::stored(vec![b'n'; 65_535], b"x"),
    ]);
    let duplicate = Some(Code::Duplicate);
    let expected = [
        duplicate,
        None,
        duplicate,
        Some(Code::Name),
        Some(Code::Name),
        Some(Code::UnsafeName),
        Some(Code::UnsafeName),
        Some(Code::Name),
        None,
        None,
        None,
        None,
        None,
        None,
    ];
    assert_eq!(outcomes(&archive.bytes), expected);
    let directory = open(&archive.bytes).unwrap();
    assert_eq!(directory.name(9), "caf\u{e9}.jpg");
    assert_eq!(directory.raw_name(9), b"caf\x82.jpg");
    assert_eq!(directory.find("caf\u{e9}.jpg"), Some(9));
    assert_eq!(directory.find("same"), Some(0));
    // A name in code page 437 and the same text in UTF-8 are one key.
    let twins = Archive::new(&[Member::stored(b"\x82", b"x"), Member::stored("\u{e9}", b"x")]);
    assert_eq!(outcomes(&twins.bytes), [duplicate; 2]);
}

#[test]
fn z31_unicode_paths() {
    let field = |stored: &[u8], path: &[u8]| {
        let length = (path.len() + 5) as u16;
        [b"up", &length.to_le_bytes()[..], &[1], &crc32fast::hash(stored).to_le_bytes(), path].concat()
    };
    let case = |extra: Vec<u8>, flags: u16| {
        let member = Member { central_extra: extra, flags, ..Member::stored("plain", b"x") };
        let archive = Archive::new(&[member]);
        (open(&archive.bytes).unwrap().name(0).into_owned(), outcomes(&archive.bytes)[0])
    };
    assert_eq!(case(field(b"plain", "\u{4e03}".as_bytes()), 0), ("\u{4e03}".to_owned(), None));
    assert_eq!(case(field(b"other", "\u{4e03}".as_bytes()), 0), ("plain".to_owned(), None));
    assert_eq!(case(field(b"plain", "\u{4e03}".as_bytes()), 1 << 11), ("plain".to_owned(), None));
    assert_eq!(case(field(b"plain", b"\xff"), 0), ("plain".to_owned(), None));
    assert_eq!(case(field(b"plain", b"../x"), 0), ("../x".to_owned(), Some(Code::UnsafeName)));
}

#[test]
fn z32_z33_z34_z35_z36_kinds_of_members_that_are_not_read() {
    let base = Member::stored("a", b"12345");
    let cases = [
        (Member { flags: 1, ..base.clone() }, Code::Encrypted),
        (Member { flags: 1 << 6, ..base.clone() }, Code::Encrypted),
        (Member { flags: 1 << 13, ..base.clone() }, Code::Encrypted),
        (Member { method: 99, ..base.clone() }, Code::Encrypted),
        (Member { external_attributes: 0o120_777 << 16, ..base.clone() }, Code::NotRegular),
        (Member { external_attributes: 0o010_644 << 16, ..base.clone() }, Code::NotRegular),
        (Member { external_attributes: 0o020_644 << 16, ..base.clone() }, Code::NotRegular),
        (Member { packed: b"1234".to_vec(), ..base.clone() }, Code::SizeMismatch),
    ];
    for (member, code) in cases {
        assert_eq!(outcomes(&Archive::new(&[member, Member::stored("b", b"x")]).bytes), [Some(code), None]);
    }
    for bit in [4, 5, 7, 8, 9, 10, 12, 14, 15] {
        let member = Member { flags: 1 << bit, ..base.clone() };
        assert_eq!(outcomes(&Archive::new(&[member]).bytes), [Some(Code::UnsupportedFlag)], "bit {bit}");
    }
    for method in [1, 5, 6, 7, 12, 14, 93, 95, 98, 200] {
        let archive = Archive::new(&[Member { method, ..base.clone() }]);
        let directory = open(&archive.bytes).unwrap();
        let error = read(&directory, 0, &archive.bytes).unwrap_err();
        assert_eq!(error.code(), Code::UnsupportedMethod);
        assert!(error.detail().contains(&method.to_string()));
    }
    let folder = Member { external_attributes: 0o040_755 << 16, ..Member::stored("folder", b"") };
    assert!(open(&Archive::new(&[folder]).bytes).unwrap().is_folder(0));
}

#[test]
fn b03_limits_come_before_memory() {
    let archive = two();
    let huge = |packed: u32, size: u32| {
        let archive = archive.declared(1, packed, size);
        open(&archive.bytes).unwrap().entry(1).fault.as_ref().map(|error| error.code())
    };
    let packed = Member::deflated("x", &[7; 5000]).packed.len() as u32;
    assert_eq!(huge(packed, 5000), None);
    assert_eq!(huge(packed, 1 << 30), Some(Code::SizeMismatch));
    assert_eq!(huge(65 << 20, 65 << 20), Some(Code::LimitMember));
    let limited = |limits: Limits| {
        let directory = open(&archive.bytes).unwrap();
        let mut scratch = Vec::new();
        let result = read_member(&directory, 1, &archive.bytes, 0, &mut scratch, &limits).map(<[u8]>::len);
        assert!(result.is_ok() || scratch.is_empty());
        result.map_err(|error| error.code())
    };
    assert_eq!(limited(Limits { inflated_bytes: 5000, ..Limits::default() }), Ok(5000));
    assert_eq!(limited(Limits { inflated_bytes: 4999, ..Limits::default() }), Err(Code::LimitInflated));
    assert_eq!(limited(Limits { member_bytes: 5, ..Limits::default() }), Err(Code::LimitMember));
    let zeros = Archive::new(&[Member::deflated("zeros", &vec![0; 17 << 20])]);
    assert_eq!(outcomes(&zeros.bytes), [Some(Code::LimitRatio)]);
}

#[test]
fn plain_files_end_to_end() {
    let files = [("a.jpg", &b"first"[..]), ("empty", b""), ("b/c.png", b"second one")];
    let chunk = files.map(|(_, data)| data).concat();
    let directory = Directory::bare(files.map(|(name, _)| name), files.map(|(_, data)| data.len() as u64));
    let mut scratch = Vec::new();
    for (index, (name, data)) in files.into_iter().enumerate() {
        assert_eq!(directory.find(name), Some(index));
        assert_eq!(directory.name(index), name);
        let bytes = read_member(&directory, index, &chunk, 0, &mut scratch, &Limits::default()).unwrap();
        assert_eq!(bytes, data);
        let extent = directory.extent(index);
        let part = &chunk[extent.start as usize..extent.end as usize];
        assert_eq!(read_member(&directory, index, part, extent.start, &mut scratch, &Limits::default()).unwrap(), data);
    }
    let cut = read_member(&directory, 2, &chunk[..14], 0, &mut scratch, &Limits::default());
    assert_eq!(cut.unwrap_err().code(), Code::DataBounds);
}
