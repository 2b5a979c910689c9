//! Zip64: records and extra fields that agree are read, all others are refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::{Archive, Member, noise, outcomes, refusal};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{Directory, Location, locate};
use pixcrawler_core::{Code, Limits};

#[test]
fn z14_z15_zip64_records_agree_or_are_refused() {
    let archive = Archive::with(&[Member::stored("a", &noise(1, 90))], true, b"");
    let (end64, end) = (archive.end64.unwrap(), archive.end);
    let locator = end64 + 56;
    assert_eq!(refusal(&archive.bytes), None);
    // The small record may tell the truth in any of its fields.
    let (size, offset) = ((end64 - archive.directory) as u32, archive.directory as u32);
    let told = archive.patched16(end + 10, 1).patched16(end + 8, 1).patched32(end + 12, size);
    assert_eq!(refusal(&told.bytes), None);
    assert_eq!(refusal(&told.patched32(end + 16, offset).bytes), None);
    let inconsistent = [
        archive.patched32(end + 12, size + 1),
        archive.patched32(end + 16, offset - 1),
        archive.patched16(end + 10, 2),
        archive.patched64(locator + 8, end64 as u64 + 1),
        archive.patched64(locator + 8, u64::MAX),
        archive.patched64(end64 + 4, 43),
        archive.patched64(end64 + 4, 64),
        archive.patched64(end64 + 4, u64::MAX),
        archive.patched(end64, b"PK\x06\x05"),
    ];
    for (index, archive) in inconsistent.iter().enumerate() {
        assert_eq!(refusal(&archive.bytes), Some(Code::Zip64Inconsistent), "case {index}");
    }
    for (at, value) in [(end64 + 40, u64::MAX), (end64 + 48, u64::MAX), (end64 + 48, offset.into())] {
        let expected = if value == u64::from(offset) { None } else { Some(Code::DirectoryBounds) };
        assert_eq!(refusal(&archive.patched64(at, value).bytes), expected, "{value} at {at}");
    }
}

#[test]
fn z38_disks_other_than_the_first() {
    let archive = Archive::with(&[Member::stored("a", b"x")], true, b"");
    let (end64, end) = (archive.end64.unwrap(), archive.end);
    for at in [end64 + 16, end64 + 20] {
        let archive = archive.patched16(end + 4, u16::MAX).patched16(end + 6, u16::MAX).patched32(at, 1);
        assert_eq!(refusal(&archive.bytes), Some(Code::MultiDisk));
    }
    assert_eq!(refusal(&archive.patched32(end64 + 56 + 4, 1).bytes), Some(Code::MultiDisk));
    assert_eq!(refusal(&archive.patched32(end64 + 56 + 16, 2).bytes), Some(Code::MultiDisk));
    let plain = Archive::new(&["a", "b", "c"].map(|name| Member::stored(name, b"x")));
    for at in [plain.end + 4, plain.end + 6, plain.centrals[1] + 34] {
        assert_eq!(refusal(&plain.patched16(at, 1).bytes), Some(Code::MultiDisk));
    }
}

/// A member whose directory entry has a zip64 extra field of these values.
fn with_zip64_extra(values: &[u64]) -> Archive {
    let mut extra = 1_u16.to_le_bytes().to_vec();
    extra.extend(((values.len() * 8) as u16).to_le_bytes());
    extra.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    let member = Member { central_extra: extra, ..Member::stored("a", b"12345") };
    Archive::new(&[member, Member::stored("b", b"x")])
}

#[test]
fn z16_zip64_extra_fields() {
    const ALL: u32 = u32::MAX;
    let case = |sizes: Option<(u32, u32)>, offset: u32, values: &[u64]| {
        let mut archive = with_zip64_extra(values);
        let at = archive.centrals[0];
        if let Some((packed, size)) = sizes {
            archive = archive.patched32(at + 20, packed).patched32(at + 24, size);
        }
        outcomes(&archive.patched32(at + 42, offset).bytes)
    };
    let good = [None, None];
    assert_eq!(case(Some((ALL, ALL)), ALL, &[5, 5, 0]), good);
    assert_eq!(case(Some((ALL, ALL)), 0, &[5, 5]), good);
    assert_eq!(case(Some((5, ALL)), 0, &[5]), good);
    assert_eq!(case(None, ALL, &[0]), good);
    // All three are there though not all are referred to, as Node's archiver writes it; nothing contradicts.
    assert_eq!(case(Some((ALL, ALL)), 0, &[5, 5, 0]), good);
    let bad = [Some(Code::Zip64Extra), None];
    assert_eq!(case(Some((ALL, ALL)), ALL, &[5, 5]), bad);
    assert_eq!(case(Some((ALL, ALL)), 0, &[]), bad);
    assert_eq!(case(None, 0, &[5]), bad);
    assert_eq!(case(None, 0, &[5, 5]), bad);
    assert_eq!(case(Some((ALL, ALL)), 0, &[5, 5, 1]), bad);
    assert_eq!(case(Some((5, ALL)), 0, &[5, 6, 0]), bad);
    assert_eq!(case(Some((ALL, ALL)), 0, &[5, 5, 0, 0]), bad);
    assert_eq!(case(Some((5, 5)), 0, &[]), good);
    let twice = Member { central_extra: b"\x01\0\0\0\x01\0\0\0".to_vec(), ..Member::stored("a", b"1") };
    assert_eq!(outcomes(&Archive::new(&[twice]).bytes), [Some(Code::Zip64Extra)]);
    // Unknown fields and padding are nobody's business; a field that overruns is.
    let unknown = Member { central_extra: b"\xfe\xca\x01\0x\0\0\0".to_vec(), ..Member::stored("a", b"1") };
    assert_eq!(outcomes(&Archive::new(&[unknown]).bytes), [None]);
    let overrun = Member { central_extra: b"\xfe\xca\x09\0x".to_vec(), ..Member::stored("a", b"1") };
    assert_eq!(outcomes(&Archive::new(&[overrun]).bytes), [Some(Code::Zip64Extra)]);
}

#[test]
fn z16_zip64_sizes_in_the_local_header() {
    let extra = |values: [u64; 2]| [&b"\x01\0\x10\0"[..], &values[0].to_le_bytes(), &values[1].to_le_bytes()].concat();
    let case = |extra: Vec<u8>| {
        let archive = Archive::new(&[Member { local_extra: extra, ..Member::stored("a", b"12345") }]);
        let local = archive.locals[0];
        outcomes(&archive.patched32(local + 18, u32::MAX).patched32(local + 22, u32::MAX).bytes)[0]
    };
    assert_eq!(case(extra([5, 5])), None);
    assert_eq!(case(extra([5, 6])), Some(Code::HeaderMismatch));
    assert_eq!(case(extra([6, 5])), Some(Code::HeaderMismatch));
    assert_eq!(case(Vec::new()), Some(Code::HeaderMismatch));
    assert_eq!(case(b"\x01\0\x08\0\x05\0\0\0\0\0\0\0".to_vec()), Some(Code::Zip64Extra));
}

#[test]
fn z17_beyond_four_gibibytes() {
    // The archive stands behind a hole of 5 GiB that belongs to the first member, which is stored and too large.
    let hole = 5_u64 << 30;
    let small = Archive::new(&[Member::stored("small.jpg", b"small")]);
    let mut data = Vec::new();
    let mut extra = |size: u64, offset: u64, name: &[u8]| {
        let mut entry = small.bytes[small.centrals[0]..small.centrals[0] + 46].to_vec();
        entry[20..28].fill(0xff);
        entry[42..46].fill(0xff);
        entry[28] = name.len() as u8;
        entry[30] = 28;
        data.extend(entry);
        data.extend(name);
        data.extend(b"\x01\0\x18\0");
        for value in [size, size, offset] {
            data.extend(value.to_le_bytes());
        }
    };
    extra(hole, 0, b"huge");
    let at = 30 + 4 + hole;
    extra(5, at, b"small.jpg");
    let offset = at + small.directory as u64;
    let location = Location { offset, size: data.len() as u64, entries: 2, ..Location::default() };
    let file_size = offset + location.size + 98;
    let directory = Directory::parse(&data, &location, file_size, &Limits::default()).unwrap();
    assert_eq!(directory.entry(0).fault.as_ref().unwrap().code(), Code::LimitMember);
    assert_eq!(directory.extent(1), at..offset);
    let mut scratch = Vec::new();
    let local = &small.bytes[..small.directory];
    let bytes = read_member(&directory, 1, local, at, &mut scratch, &Limits::default()).unwrap();
    assert_eq!(bytes, b"small");
    let elsewhere = read_member(&directory, 1, local, at - 1, &mut scratch, &Limits::default());
    assert!(elsewhere.is_err());

    let mut tail = data;
    let end64 = file_size - 98;
    tail.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    for value in [2, 2, location.size, offset] {
        tail.extend(value.to_le_bytes());
    }
    tail.extend(b"PK\x06\x07\0\0\0\0");
    tail.extend(end64.to_le_bytes());
    tail.extend(b"\x01\0\0\0PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    assert_eq!(locate(&tail, file_size, &Limits::default()), Ok(location));
}
