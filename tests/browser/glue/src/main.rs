//! Makes the JavaScript that loads a module which rustc compiled for wasm32: `browser-glue MODULE.wasm FOLDER`. It is what
//! `wasm-bindgen --target web` does, without a tool that has to be installed in the version that the lock file names.

use std::{env, error::Error};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder] = arguments.as_slice() else {
        return Err("expected: browser-glue MODULE.wasm FOLDER".into());
    };
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(false)
        .generate(folder)?;
    Ok(())
}
