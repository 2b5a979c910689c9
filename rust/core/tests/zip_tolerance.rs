//! What an archive may have beside its members, and what it may not: bytes in front, gaps, folders, too many bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::{Archive, Member, noise, open, open_limited, outcomes, read};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::identify;
use pixcrawler_core::{Code, Limits};

fn pair() -> [Member; 2] {
    [Member::stored("a.jpg", &noise(1, 300)), Member::deflated("b.jpg", &[5; 4000])]
}

/// The archive with bytes inserted at a position, and all offsets behind it moved along.
fn with_gap(archive: &Archive, at: usize, gap: &[u8]) -> Vec<u8> {
    let mut bytes = archive.bytes.clone();
    bytes.splice(at..at, gap.iter().copied());
    for place in archive.centrals.iter().map(|central| central + 42).chain([archive.end + 16]) {
        let offset = u32::from_le_bytes(archive.bytes[place..place + 4].try_into().unwrap());
        if offset as usize >= at {
            let place = place + gap.len();
            bytes[place..place + 4].copy_from_slice(&(offset + gap.len() as u32).to_le_bytes());
        }
    }
    bytes
}

#[test]
fn z12_bytes_in_front_are_read_over_where_they_are_allowed() {
    let front = [b"MZ", &noise(3, 998)[..]].concat();
    let allowing = |prefix_bytes| Limits { prefix_bytes, ..Limits::default() };
    for zip64 in [false, true] {
        let archive = Archive::with(&pair(), zip64, b"note");
        let relative = [&front[..], &archive.bytes].concat();
        let mut files = vec![relative];
        if !zip64 {
            files.push(with_gap(&archive, 0, &front));
        }
        for bytes in files {
            assert_eq!(open(&bytes).unwrap_err().code(), Code::Prefix);
            let error = open_limited(&bytes, &allowing(999)).unwrap_err();
            assert_eq!(error.code(), Code::Prefix);
            assert!(error.detail().contains("1000") && error.detail().contains("999"), "{error}");
            let directory = open_limited(&bytes, &allowing(1000)).unwrap();
            for (index, member) in pair().iter().enumerate() {
                assert_eq!(read(&directory, index, &bytes).unwrap(), member.data);
            }
            assert!(directory.tolerated()[0].starts_with("1000 bytes before"), "{:?}", directory.tolerated());
        }
    }
    // Without bytes in front nothing changes, an archive inside or in the comment included.
    let inner = Archive::new(&pair()).bytes;
    let outer = Archive::with(&[Member::stored("inner.zip", &inner)], false, &inner);
    let directory = open_limited(&outer.bytes, &allowing(1 << 30)).unwrap();
    assert_eq!(directory.name(0), "inner.zip");
    assert_eq!(read(&directory, 0, &outer.bytes).unwrap(), inner);
    // A locator and a directory that are moved by different numbers are two archives' records.
    let archive = Archive::with(&pair(), true, b"");
    let shifted = [&[0; 10][..], &archive.bytes].concat();
    let mut bytes = shifted.clone();
    let offset = (archive.directory as u64 + 10).to_le_bytes();
    bytes[archive.end64.unwrap() + 10 + 48..][..8].copy_from_slice(&offset);
    assert_eq!(open_limited(&shifted, &allowing(10)).unwrap().len(), 2);
    assert_eq!(open_limited(&bytes, &allowing(10)).unwrap_err().code(), Code::Zip64Inconsistent);
}

#[test]
fn z24_a_member_that_the_directory_hides() {
    let hidden = Archive::new(&[Member::stored("evil.exe", b"evil")]);
    let hidden = &hidden.bytes[..hidden.directory];
    for first in [
        Member::stored("a.jpg", &noise(1, 300)),
        Member::stored("a.jpg", &noise(1, 300)).described(true, false),
        Member::deflated("a.jpg", &[1; 3000]).described(false, true),
    ] {
        let archive = Archive::new(&[first, Member::stored("b.jpg", b"12345")]);
        let found = Some(Code::HiddenEntry);
        assert_eq!(outcomes(&with_gap(&archive, archive.locals[1], hidden)), [found, None]);
        assert_eq!(outcomes(&with_gap(&archive, archive.directory, hidden)), [None, found]);
        let padded = [&[0; 700][..], hidden].concat();
        assert_eq!(outcomes(&with_gap(&archive, archive.locals[1], &padded)), [found, None]);
        // Gaps that hold no header are tolerated, a bare signature at their end included.
        for gap in [&[0; 3][..], &noise(4, 500), &[&[0; 50][..], b"PK\x03\x04"].concat(), &vec![0; 200_000]] {
            let bytes = with_gap(&archive, archive.locals[1], gap);
            assert_eq!(outcomes(&bytes), [None, None]);
            assert!(open(&bytes).unwrap().tolerated()[0].contains("bytes between members"));
        }
    }
    let archive = Archive::new(&pair());
    let bytes = with_gap(&archive, archive.locals[1], hidden);
    let error = read(&open(&bytes).unwrap(), 0, &bytes).unwrap_err();
    assert_eq!(error.offset(), Some(archive.locals[1] as u64));
    // The same from bytes that hold the whole chunk.
    let mut scratch = Vec::new();
    let whole = read_member(&open(&bytes).unwrap(), 0, &bytes, 0, &mut scratch, &Limits::default());
    assert_eq!(whole.unwrap_err(), error);
    // Where an entry gives a wrong place, the header in the gap is its own, and its neighbour is not to blame.
    let lost = archive.patched32(archive.centrals[1] + 42, archive.directory as u32);
    assert_eq!(outcomes(&lost.bytes), [None, Some(Code::Overlap)]);
}

#[test]
fn what_is_tolerated_is_told() {
    let plain = Archive::new(&[Member::stored("a.jpg", b"x")]);
    assert_eq!(open(&plain.bytes).unwrap().tolerated(), Vec::<String>::new());
    let stamped = Member { central_extra: b"UT\x01\0x".to_vec(), ..Member::stored("b.jpg", b"x") };
    let described = Member::stored("c.jpg", b"x").described(true, false);
    let archive = Archive::with(&[Member::stored("folder/", b""), stamped, described], false, b"note");
    let bytes = [&archive.bytes[..], &[0; 9]].concat();
    let expected = [
        "16 bytes between members (local extra fields, data descriptors, gaps)",
        "4 bytes of archive comment",
        "9 NULs after the end",
        "1 folders",
        "1 entries with unknown extra fields",
    ];
    assert_eq!(open(&bytes).unwrap().tolerated(), expected);
}

#[test]
fn z29_a_folder_with_bytes_is_a_member() {
    let folder = |name: &str, attributes: u32| Member { external_attributes: attributes, ..Member::stored(name, b"x") };
    let archive =
        Archive::new(&[folder("a/", 0), folder("/", 0), folder("b.jpg", 0o040_755 << 16), Member::stored("c/", b"")]);
    let directory = open(&archive.bytes).unwrap();
    let folders: Vec<_> = (0..4).map(|index| directory.is_folder(index)).collect();
    assert_eq!(folders, [false, false, false, true]);
    let expected = [Some(Code::Name), Some(Code::UnsafeName), Some(Code::NotRegular), None];
    assert_eq!(outcomes(&archive.bytes), expected);
}

#[test]
fn b05_members_are_read_until_their_sizes_reach_the_limit() {
    let members = ["a", "b", "c", "d", "e"].map(|name| Member::deflated(name, &[name.as_bytes()[0]; 1000]));
    let mut archive = Archive::new(&members);
    // The second is refused for what it is, and so does not count.
    archive = archive.patched16(archive.locals[1] + 6, 1).patched16(archive.centrals[1] + 8, 1);
    let codes = |chunk_inflated_bytes| {
        let limits = Limits { chunk_inflated_bytes, ..Limits::default() };
        let directory = open_limited(&archive.bytes, &limits).unwrap();
        directory.entries().iter().map(|entry| entry.fault.as_ref().map(|error| error.code())).collect::<Vec<_>>()
    };
    let (encrypted, over) = (Some(Code::Encrypted), Some(Code::LimitChunkInflated));
    assert_eq!(codes(4000), [None, encrypted, None, None, None]);
    assert_eq!(codes(3999), [None, encrypted, None, None, over]);
    assert_eq!(codes(2000), [None, encrypted, None, over, over]);
    assert_eq!(codes(0), [over, encrypted, over, over, over]);
}

#[test]
fn z03_a_file_is_known_by_its_beginning() {
    let cases: [(&[u8], Code, &str); 4] = [
        (b"7z\xbc\xaf\x27\x1c\0\x04", Code::NotAZip, "7z"),
        (b"<html>", Code::NotAZip, "html"),
        (b"\x01\x02\x03\x04", Code::NotAZip, "unknown"),
        (b"PK\x03\x04\x14\0", Code::TruncatedZip, "1000000 bytes"),
    ];
    for (head, code, word) in cases {
        let error = identify(head, 1_000_000);
        assert_eq!(error.code(), code);
        assert!(error.detail().contains(word) && error.detail().contains("1000000"), "{error}");
    }
}
