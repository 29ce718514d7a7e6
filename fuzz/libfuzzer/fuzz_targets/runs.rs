#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("runs").expect("a target").run)(data));
