//! The program of the page: runs everything and sends the answers to the server that the page came from.

use std::panic;

use browser_tests::run;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

/// Functions of `index.html`.
#[wasm_bindgen]
extern "C" {
    /// Sends an answer; done when the server has it.
    async fn send(path: &str, body: Vec<u8>);
    /// Sends the reason why there will be no more answers.
    fn give_up(reason: &str);
}

fn main() {
    panic::set_hook(Box::new(|panic| give_up(&panic.to_string())));
    spawn_local(async {
        if let Err(error) = answer().await {
            give_up(&error.to_string());
        }
    });
}

async fn answer() -> Result<(), Box<dyn std::error::Error>> {
    let (findings, images) = run().await?;
    for (name, image) in images {
        send(&format!("/image/{name}"), image.png_bytes()?).await;
    }
    // The last answer: the server waits for it.
    send("/findings", serde_json::to_vec(&findings)?).await;
    Ok(())
}
