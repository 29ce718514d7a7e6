#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (fuzz::find("parquet").expect("a target").run)(data));
