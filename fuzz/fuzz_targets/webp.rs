//! WebP, through libwebp.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::pictures::check(bytes));
