#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("pieces").expect("a target").run)(data));
