//! EXIF blocks in a JPEG, a PNG and a WebP: no failure, and the same turn.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::pictures::check_exif(bytes));
