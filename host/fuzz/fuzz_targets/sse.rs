#![no_main]

#[path = "../sse.rs"]
mod reading;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reading::sse(data));
