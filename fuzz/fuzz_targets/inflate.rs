//! Our inflate against zlib.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::streams::check_inflate(bytes));
