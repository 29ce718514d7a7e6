#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("adapter").expect("a target").run)(data));
