//! Files of a shard as a directory: rows are claims, and each that cannot hold is one file's fault.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{Directory, Place, Surroundings};
use pixcrawler_core::{Code, Error, Limits, crc32c};

const SHARD: &[u8] = b"....first.second, the last";

fn around() -> Surroundings {
    Surroundings { shard_bytes: Some(SHARD.len() as u64), ..Surroundings::default() }
}

fn place(offset: u64, size: u64) -> Place {
    Place { offset, size, crc32c: None }
}

fn faults(places: &[Place], around: &Surroundings) -> Vec<Option<Code>> {
    let files = places.iter().enumerate().map(|(number, &place)| (number.to_string(), Ok(place)));
    let (directory, _) = Directory::in_shard(files, around, &Limits::default()).unwrap();
    directory.entries().iter().map(|entry| entry.fault.as_ref().map(|error| error.code())).collect()
}

#[test]
fn files_are_read_where_they_stand_and_checked() {
    let sum = crc32c::crc32c(b"second", 0);
    let files = [
        ("a/first", Ok(place(4, 5))),
        ("second", Ok(Place { crc32c: Some(sum), ..place(10, 6) })),
        ("empty", Ok(place(3, 0))),
        ("wrong", Ok(Place { crc32c: Some(sum), ..place(17, 4) })),
        ("lost", Err(Error::new(Code::ArchiveRow, "no numbers"))),
    ];
    let (directory, held) = Directory::in_shard(files, &around(), &Limits::default()).unwrap();
    assert_eq!(held, 4..21);
    let table = Directory::from_bytes(&directory.to_bytes()).unwrap();
    let bytes = &SHARD[4..21];
    for directory in [&directory, &table] {
        let read = |index| {
            read_member(directory, index, bytes, 0, &mut Vec::new(), &Limits::default())
                .map(<[u8]>::to_vec)
                .map_err(|error| error.code())
        };
        assert_eq!(read(0).unwrap(), b"first");
        assert_eq!(read(1).unwrap(), b"second");
        assert_eq!(read(2).unwrap(), b"");
        assert_eq!(read(3).unwrap_err(), Code::Crc32c);
        assert_eq!(read(4).unwrap_err(), Code::ArchiveRow);
        assert_eq!(directory.extent(1), 6..12);
        assert!(directory.extent(4).is_empty());
        assert_eq!(directory.find("second"), Some(1));
    }
}

#[test]
fn what_the_shard_does_not_hold_is_a_fault() {
    let end = SHARD.len() as u64;
    let places = [place(0, 4), place(end, 0), place(end, 1), place(0, end + 1), place(u64::MAX, 2)];
    let short = Some(Code::ShardShort);
    assert_eq!(faults(&places, &around()), [None, None, short, short, short]);
    let missing = Surroundings { shard_bytes: None, ..around() };
    assert_eq!(faults(&[place(0, 0), place(1, 2)], &missing), [Some(Code::ShardMissing); 2]);
}

#[test]
fn files_that_share_bytes_are_refused_and_their_neighbours_are_not() {
    let shared = Some(Code::Overlap);
    let places = [place(0, 4), place(3, 2), place(5, 5), place(4, 0), place(10, 9), place(12, 2), place(15, 1)];
    assert_eq!(faults(&places, &around()), [shared, shared, None, None, shared, shared, shared]);
    let before = Surroundings { before: 4, after: Some(12), ..around() };
    assert_eq!(faults(&[place(3, 1), place(4, 8), place(0, 0)], &before), [shared, None, None]);
    assert_eq!(faults(&[place(4, 5), place(9, 4)], &before), [None, shared]);
}

#[test]
fn names_and_limits_are_those_of_a_zip() {
    let files = [("../up", 1), ("", 1), ("twice", 1), ("twice", 1), ("large", 9), ("fine", 2)];
    let mut offset = 0;
    let files = files.map(|(name, size)| {
        offset += size;
        (name, Ok(place(offset - size, size)))
    });
    let limits = Limits { member_bytes: 8, ..Limits::default() };
    let (directory, _) = Directory::in_shard(files, &around(), &limits).unwrap();
    let codes: Vec<_> = directory.entries().iter().map(|entry| entry.fault.as_ref().map(|e| e.code())).collect();
    let twice = Some(Code::Duplicate);
    assert_eq!(codes, [Some(Code::UnsafeName), Some(Code::Name), twice, twice, Some(Code::LimitMember), None]);
}
