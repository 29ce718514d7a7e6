//! Host 1 of 4: no window. One device draws as many pictures as one likes: the matrix, then each head of the first layer.
//!
//! ```sh
//! cargo run --release --example embed_headless   # out/embed-matrix.png, out/embed-head-0-0.png, ...
//! ```

mod embed;

use std::{error::Error, fs};

use attn_sdk::render::Exporter;
use clap::Parser;

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let study = embed::study()?;
    let mut view = options.open(options.view())?;
    fs::create_dir_all("out")?;

    let mut exporter = Exporter::default();
    exporter.write(&study.matrix(&view)?, &view, "out/embed-matrix.png")?;
    for head in study.heads().map(|head| head.head).filter(|head| head.layer == 0) {
        view.open_head(head);
        let path = format!("out/embed-head-{}-{}.png", head.layer, head.head);
        exporter.write(&study.plot(&view)?, &view, path)?;
    }
    view.close_head();
    options.save(&view)
}
