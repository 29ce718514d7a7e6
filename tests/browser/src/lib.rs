//! What the libraries find and draw: one function, called on this machine and in a browser, whose answers are compared.

mod drawn;
mod found;
#[allow(dead_code, reason = "shared with the gallery, which draws all of them")]
#[path = "../../../crates/attn-render/examples/gallery/samples.rs"]
mod samples;

use std::{collections::BTreeMap, error::Error};

use attn_render::Image;
use serde::{Deserialize, Serialize};

/// The answers of one machine, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The same everywhere, to the last character.
    pub exact: BTreeMap<String, String>,
    /// The same but for rounding: libraries of mathematics and vector instructions differ in the last bits.
    pub rounded: BTreeMap<String, Vec<f32>>,
    /// As good as elsewhere: where a rounding error grows, layouts differ, their quality does not. In 0..=1.
    pub quality: BTreeMap<String, f32>,
    /// The graphics adapters.
    pub adapters: Vec<String>,
    /// Threads that work is spread over.
    pub threads: usize,
}

/// Everything that is compared: the findings, and images by their names.
///
/// # Errors
/// Whatever the libraries refuse.
pub async fn run() -> Result<(Findings, Vec<(String, Image)>), Box<dyn Error>> {
    let mut findings = Findings {
        threads: rayon::current_num_threads(),
        ..Findings::default()
    };
    let study = found::models(&mut findings)?;
    found::projections(&mut findings)?;
    found::on_gpu(&mut findings).await?;
    let images = drawn::images(&study, &mut findings).await?;
    Ok((findings, images))
}
