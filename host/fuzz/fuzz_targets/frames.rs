#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| openpista_host::fuzzing::frames(data));
