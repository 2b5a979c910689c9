//! A directory as bytes for another process: the same when read, and nothing but refused when damaged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::{Archive, Member, noise, open};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::Directory;
use pixcrawler_core::{Limits, Result};

/// Directories of every kind: sound, with faults that carry texts and places, CP437 names, folders, gaps, plain files.
fn directories() -> Vec<(Directory, Vec<u8>)> {
    let small = Member::stored("cat/1.jpg", &noise(1, 70));
    let packed = Member::deflated("dog/2.png", &b"a cat and a dog ".repeat(9)).described(true, false);
    let folder = Member { external_attributes: 0o040_000 << 16, ..Member::stored("cat/", b"") };
    let encrypted = Member { flags: 1, ..Member::stored("secret", b"x") };
    let unsafe_name = Member::stored("../up", b"y");
    let cp437 = Member::stored(b"caf\x82.jpg", b"coffee");
    let twice = [small.clone(), Member::stored("cat/1.jpg", b"again")];
    let archives = [
        Archive::with(&[], false, b""),
        Archive::with(std::slice::from_ref(&small), false, b"a comment"),
        Archive::with(&[small, folder, packed, encrypted, unsafe_name, cp437], true, b""),
        Archive::with(&twice, false, b""),
    ];
    let mut directories: Vec<_> =
        archives.into_iter().map(|archive| (open(&archive.bytes).unwrap(), archive.bytes)).collect();
    let names = ["a.jpg", "", "z/ä.jpg"];
    directories.push((Directory::bare(names, [3, 0, 1 << 40]), Vec::new()));
    directories
}

fn assert_same(one: &Directory, other: &Directory) {
    assert_eq!(one.entries(), other.entries());
    assert_eq!(one.is_bare(), other.is_bare());
    assert_eq!(one.tolerated(), other.tolerated());
    for index in 0..one.len() {
        assert_eq!(one.name(index), other.name(index));
        assert_eq!(one.raw_name(index), other.raw_name(index));
        assert_eq!(one.extent(index), other.extent(index));
        assert_eq!(one.find(&one.name(index)), other.find(&one.name(index)));
    }
}

/// A member from the whole chunk, as far as there is one.
fn read(directory: &Directory, index: usize, bytes: &[u8]) -> Result<Vec<u8>> {
    read_member(directory, index, bytes, 0, &mut Vec::new(), &Limits::default()).map(<[u8]>::to_vec)
}

/// Everything that takes an index, and the members' bytes; what it says does not matter.
fn use_all(directory: &Directory, bytes: &[u8]) {
    let _ = directory.tolerated();
    for index in 0..directory.len() {
        let extent = directory.extent(index);
        assert!(extent.start <= extent.end);
        let name = directory.name(index).into_owned();
        assert!(directory.find(&name).is_some());
        let _ = (directory.raw_name(index), directory.is_folder(index));
        let _ = read(directory, index, bytes);
    }
}

#[test]
fn what_is_written_is_read() {
    for (directory, bytes) in directories() {
        let table = directory.to_bytes();
        let read_back = Directory::from_bytes(&table).unwrap();
        assert_same(&directory, &read_back);
        assert_eq!(read_back.to_bytes(), table);
        for index in 0..directory.len() {
            assert_eq!(read(&directory, index, &bytes), read(&read_back, index, &bytes));
        }
    }
}

#[test]
fn it_is_compact() {
    let members: Vec<_> =
        (0..500).map(|number| Member::stored(format!("cat/{number:06}.jpg"), &noise(number, 900))).collect();
    let directory = open(&Archive::with(&members, false, b"").bytes).unwrap();
    assert!(directory.to_bytes().len() < 500 * (20 + 14));
}

#[test]
fn every_cut_is_refused() {
    for (directory, _) in directories() {
        let mut table = directory.to_bytes();
        for length in 0..table.len() {
            assert!(Directory::from_bytes(&table[..length]).is_none(), "{length}");
        }
        table.push(0);
        assert!(Directory::from_bytes(&table).is_none());
    }
}

#[test]
fn every_changed_byte_is_refused_or_harmless() {
    for (directory, bytes) in directories() {
        let table = directory.to_bytes();
        for at in 0..table.len() {
            for change in 1..=255 {
                let mut changed = table.clone();
                changed[at] ^= change;
                if let Some(directory) = Directory::from_bytes(&changed) {
                    use_all(&directory, &bytes);
                }
            }
        }
    }
}

#[test]
fn a_number_of_entries_takes_no_memory() {
    // 2^63 entries, and 2^31 with too few bytes for them.
    for count in [&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1][..], &[0x80, 0x80, 0x80, 0x80, 8]] {
        let mut table = vec![1, 0, 0, 0, 0, 0, 0, 0];
        table.extend(count);
        table.extend([0; 1000]);
        assert!(Directory::from_bytes(&table).is_none());
    }
}
