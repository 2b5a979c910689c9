//! A chunk's directory and members, whole and in parts; every other change is one of a field.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pixcrawler_fuzz::{archives, mutate};

fuzz_target!(|bytes: &[u8]| archives::check(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        return fuzzer_mutate(data, size, max_size);
    }
    mutate::set_zip_field(&mut data[..size], seed / 2);
    size
});
