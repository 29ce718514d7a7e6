#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("config").expect("a target").run)(data));
