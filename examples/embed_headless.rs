//! Host 1 of 4: no window. One device draws as many pictures as one likes: the matrix, then each head of the first layer.
//!
//! ```sh
//! cargo run --release --example embed_headless   # out/embed-matrix.png, out/embed-head-0-0.png, ...
//! ```

mod embed;

use std::{error::Error, fs};

use attn_sdk::render::Headless;
use clap::Parser;

fn main() -> Result<(), Box<dyn Error>> {
    let options = embed::Options::parse();
    let study = embed::study()?;
    let mut view = options.open(options.view())?;
    fs::create_dir_all("out")?;

    let mut headless = Headless::new()?;
    let scene = study.matrix(&view, None)?;
    headless.render(&scene, &view, 2.0)?.write_png("out/embed-matrix.png")?;
    for head in study.heads().map(|head| head.head).filter(|head| head.layer == 0) {
        view.open_head(head);
        let scene = study.scene(&view, [900.0, 820.0])?;
        let path = format!("out/embed-head-{}-{}.png", head.layer, head.head);
        headless.render(&scene, &view, 2.0)?.write_png(path)?;
    }
    view.close_head();
    options.save(&view)
}
