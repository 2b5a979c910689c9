//! Real photographs and other projects' hostile files, where they are at hand.
//!
//! The files are read from `$PIXCRAWLER_TEST_DATA`, or from `../shared/data` beside the workspace.
#![allow(clippy::print_stderr, reason = "a test says that it is skipped")]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Whether the tests are to take everything instead of samples.
pub(crate) fn takes_all() -> bool {
    env::var_os("PIXCRAWLER_JPEG_ALL").is_some()
}

fn find(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = env::var_os("PIXCRAWLER_TEST_DATA").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no {}", path.display());
    None
}

/// The stored members of an archive of photographs, with their names; `None` if it is not at hand.
pub(crate) fn photographs(archive: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let zip = fs::read(find(archive)?).unwrap();
    let number = |at: usize, bytes: usize| zip[at..at + bytes].iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    // APPNOTE.TXT 4.3.16, 4.3.12 and 4.3.7; these archives have no comment and no member beyond 4 GB.
    let end = zip.len() - 22;
    let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
    let mut members = Vec::new();
    for _ in 0..count {
        let (size, name, local) = (number(at + 20, 4), number(at + 28, 2), number(at + 42, 4));
        assert_eq!(number(at + 10, 2), 0, "members are stored");
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let path = String::from_utf8(zip[at + 46..at + 46 + name].to_vec()).unwrap();
        members.push((path, zip[start..start + size].to_vec()));
        at += 46 + name + number(at + 30, 2) + number(at + 32, 2);
    }
    members.retain(|(_, bytes)| bytes.starts_with(&[0xFF, 0xD8]));
    Some(members)
}

/// All files of a folder of the corpus and of its folders, with their paths; `None` if it is not at hand.
pub(crate) fn corpus(folder: &str) -> Option<Vec<(String, Vec<u8>)>> {
    Some(files(find("corpus")?.join(folder)))
}

/// The package's photographs: always at hand.
pub(crate) fn demo_photographs() -> Vec<(String, Vec<u8>)> {
    let mut files = files(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/pixcrawler/demo/photos"));
    files.retain(|(_, bytes)| bytes.starts_with(&[0xFF, 0xD8]));
    files
}

fn files(folder: PathBuf) -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![folder];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
