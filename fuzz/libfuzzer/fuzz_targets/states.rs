#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("states").expect("a target").run)(data));
