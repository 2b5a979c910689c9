//! PNG; three of four changes with the checksums repaired.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pixcrawler_fuzz::{mutate, pictures};

fuzz_target!(|bytes: &[u8]| pictures::check(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(data, size, max_size);
    if !seed.is_multiple_of(4) {
        mutate::repair_png(&mut data[..size]);
    }
    size
});
