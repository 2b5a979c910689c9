//! Archives of other projects' test suites: each reads right, or is refused with the code named here.
//!
//! The files are read from `$PIXCRAWLER_TEST_DATA`, or from `../shared/data` beside the workspace.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking, and says that it is skipped")]

mod archive;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use archive::{open, read};
use pixcrawler_core::Code;

/// Archives that are refused as a whole. Those of `rc-zip` and `rawzip` with a prefix or junk behind are readable by
/// intent there; here bytes that no member claims are refused.
const REFUSED: [(&str, Code); 25] = [
    ("rawzip/omni-mini.ja", Code::Ambiguous),
    ("rawzip/readme.notzip", Code::TruncatedZip),
    ("rawzip/readme.zip", Code::CommentLength),
    ("rawzip/test-badbase.zip", Code::DirectoryBounds),
    ("rawzip/test-baddirsz.zip", Code::DirectoryBounds),
    ("rawzip/test-prefix.zip", Code::Prefix),
    ("rawzip/test-trailing-junk.zip", Code::CommentLength),
    ("rc-zip/archive-oob.zip", Code::Zip64Inconsistent),
    ("rc-zip/readme.notzip", Code::NotAZip),
    ("rc-zip/readme.trailingzip", Code::Prefix),
    ("rc-zip/readme.zip", Code::CommentLength),
    ("rc-zip/test-trailing-junk.zip", Code::CommentLength),
    ("yauzl/failure/End of central directory record signature not found", Code::TruncatedZip),
    ("yauzl/failure/invalid central directory file header signature", Code::DirectoryBounds),
    ("yauzl/failure/invalid zip64 end of central directory record signature", Code::Zip64Inconsistent),
    ("yauzl/failure/multi-disk zip files are not supported", Code::MultiDisk),
    ("yauzl/zip64/zip64.zip_fragment", Code::Zip64Inconsistent),
    ("zip2/comment_garbage.zip", Code::CommentLength),
    ("zip2/deflate64_issue_25.zip", Code::TruncatedZip),
    ("zip2/invalid_cde_number_of_files_allocation_greater_offset.zip", Code::Zip64Inconsistent),
    ("zip2/invalid_cde_number_of_files_allocation_smaller_offset.zip", Code::Zip64Inconsistent),
    ("zip2/invalid_offset.zip", Code::DirectoryBounds),
    ("zip2/invalid_offset2.zip", Code::MultiDisk),
    ("zip2/misaligned_comment.zip", Code::CommentLength),
    ("zip2/zip64_demo.zip", Code::Prefix),
];

/// Archives with members that are refused: how many, and the code.
const FAULTY: [(&str, usize, Code); 44] = [
    ("rawzip/aes128.zip", 1, Code::Encrypted),
    ("rawzip/aes192.zip", 1, Code::Encrypted),
    ("rawzip/aes256-ae1.zip", 1, Code::Encrypted),
    ("rawzip/aes256.zip", 1, Code::Encrypted),
    ("rawzip/filename_mismatch_test.zip", 1, Code::NameMismatch),
    ("rawzip/symlink.zip", 1, Code::NotRegular),
    ("rawzip/zipcrypto", 1, Code::Encrypted),
    ("rc-zip/found-me-bzip2.zip", 1, Code::UnsupportedMethod),
    ("rc-zip/found-me-lzma.zip", 1, Code::UnsupportedMethod),
    ("rc-zip/found-me-zstd.zip", 1, Code::UnsupportedMethod),
    ("rc-zip/zipslip.zip", 1, Code::NotRegular),
    ("yauzl/failure/absolute path", 1, Code::UnsafeName),
    ("yauzl/failure/compressed uncompressed size mismatch", 1, Code::SizeMismatch),
    ("yauzl/failure/extra field length exceeds", 1, Code::Zip64Extra),
    ("yauzl/failure/file data overflows file bounds", 1, Code::LimitMember),
    ("yauzl/failure/invalid characters in fileName", 1, Code::UnsafeName),
    ("yauzl/failure/invalid code lengths set", 1, Code::Inflate),
    ("yauzl/failure/invalid local file header signature", 1, Code::LocalHeader),
    ("yauzl/failure/invalid relative path", 1, Code::UnsafeName),
    ("yauzl/failure/not enough bytes in the stream", 1, Code::SizeMismatch),
    ("yauzl/failure/strong encryption", 1, Code::Encrypted),
    ("yauzl/failure/too many bytes in the stream", 1, Code::HeaderMismatch),
    ("yauzl/failure/too many length or distance symbols", 1, Code::Inflate),
    ("yauzl/failure/unexpected EOF", 1, Code::Zip64Extra),
    ("yauzl/failure/unsupported compression method 1", 1, Code::UnsupportedMethod),
    ("yauzl/failure/zip64 extended information extra field", 1, Code::Zip64Extra),
    ("yauzl/success/bogus-compression-method.zip", 1, Code::UnsupportedMethod),
    ("yauzl/success/sloppy-filenames.zip", 1, Code::UnsafeName),
    ("yauzl/success/traditional-encryption", 1, Code::Encrypted),
    // The name is flagged as UTF-8, so its NUL counts and the Unicode path field does not.
    ("yauzl/success/unicode-path-extra-field.zip", 1, Code::Name),
    ("yauzl/wrong-entry-sizes/wrong-entry-sizes.zip", 2, Code::Descriptor),
    ("zip2/aes_archive.zip", 4, Code::Encrypted),
    ("zip2/extended_timestamp_bad.zip", 1, Code::Zip64Extra),
    ("zip2/ignore_encryption_flag.zip", 1, Code::Encrypted),
    ("zip2/legacy/", 1, Code::UnsupportedMethod),
    ("zip2/ppmd.zip", 1, Code::UnsupportedMethod),
    ("zip2/raw_deflate64_index_out_of_bounds.zip", 1, Code::Name),
    ("zip2/symlink.zip", 1, Code::NotRegular),
    ("zip2/xz.zip", 1, Code::UnsupportedMethod),
    ("zip2/zip64_magic_in_filename_1.zip", 1, Code::Name),
    ("zip2/zip64_magic_in_filename_2.zip", 1, Code::Name),
    ("zip2/zip64_magic_in_filename_3.zip", 2, Code::Name),
    ("zip2/zip64_magic_in_filename_4.zip", 2, Code::Name),
    ("zip2/zip64_magic_in_filename_5.zip", 5, Code::Name),
];

fn corpus(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("PIXCRAWLER_TEST_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join("corpus").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no {}", folder.display());
    None
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn each_archive_reads_or_is_refused_as_listed() {
    let Some(folder) = corpus("zip") else { return };
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let (mut read_whole, mut used) = (0, BTreeMap::new());
    for path in paths {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        // All else in the folders is licences, tables and pictures, no archive at all.
        let archive =
            [".zip", ".jar", ".ja", "notzip", "trailingzip", "_fragment"].iter().any(|end| name.ends_with(end));
        let opened = open(&bytes);
        if !archive || bytes.is_empty() {
            assert_eq!(opened.unwrap_err().code(), Code::NotAZip, "{name}");
            continue;
        }
        if let Some((start, code)) = REFUSED.iter().find(|(start, _)| name.starts_with(start)) {
            assert_eq!(opened.unwrap_err().code(), *code, "{name}");
            *used.entry(*start).or_insert(0) += 1;
            continue;
        }
        let directory = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        let refused: Vec<_> = (0..directory.len())
            .filter_map(|index| read(&directory, index, &bytes).err())
            .map(|error| error.code())
            .collect();
        if let Some((start, count, code)) = FAULTY.iter().find(|(start, ..)| name.starts_with(start)) {
            let of_code = refused.iter().filter(|refused| *refused == code).count();
            assert_eq!(of_code, *count, "{name}: {refused:?}");
            *used.entry(*start).or_insert(0) += 1;
        } else {
            assert_eq!(refused, [], "{name}");
            read_whole += 1;
        }
    }
    assert_eq!(used.len(), REFUSED.len() + FAULTY.len(), "some lines of the tables name no file");
    assert!(read_whole >= 60, "{read_whole}");
}

#[test]
fn known_contents() {
    let Some(folder) = corpus("zip") else { return };
    let bytes = |name: &str| std::fs::read(folder.join(name)).unwrap();
    for (archive, member, expected) in [
        ("rc-zip/found-me-deflate64.zip", "found-me.txt", "rc-zip/found-me.txt"),
        ("rc-zip/test.zip", "gophercolor16x16.png", "rc-zip/gophercolor16x16.png"),
        ("yauzl/success/zip64.zip", "test1.txt", "yauzl/success/zip64/test1.txt"),
        ("yauzl/success/zip64.zip", "test2.txt", "yauzl/success/zip64/test2.txt"),
    ] {
        let data = bytes(archive);
        let directory = open(&data).unwrap();
        let index = directory.find(member).unwrap_or_else(|| panic!("{archive} has no {member}"));
        assert_eq!(read(&directory, index, &data).unwrap(), bytes(expected), "{archive}");
    }
    let data = bytes("rc-zip/cp-437.zip");
    assert_eq!(open(&data).unwrap().name(0), "français");
    for name in ["utf8-7zip.zip", "utf8-infozip.zip", "utf8-osx.zip", "utf8-winrar.zip", "utf8-winzip.zip"] {
        assert_eq!(open(&bytes(&format!("rc-zip/{name}"))).unwrap().name(0), "世界", "{name}");
    }
}
