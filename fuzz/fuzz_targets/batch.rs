//! Good and bad members in one batch: neighbours keep their pixels, and threads change nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::pictures::check_batch(bytes));
