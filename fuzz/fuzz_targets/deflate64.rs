//! Our deflate64 against a decoder that reads bit by bit.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::streams::check_deflate64(bytes));
