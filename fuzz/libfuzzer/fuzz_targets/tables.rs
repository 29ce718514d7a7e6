#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("tables").expect("a target").run)(data));
