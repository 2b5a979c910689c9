//! Every resize kernel against the scalar one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pixcrawler_fuzz::resizing::check(bytes));
