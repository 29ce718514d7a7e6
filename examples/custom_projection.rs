//! A projection method of one's own: onto random directions, through the atlas, into a picture.
//!
//! ```sh
//! cargo run --release --example custom_projection
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::{error::Error, path::Path};

use attn_sdk::{
    Study,
    core::Progress,
    embedded::{self, sentences},
    models::Capturer,
    project::{
        AtlasParams, Dims, Embedding, FittedProjection, Method, ProjectionMethod, Projector, Result,
        method::{FitInput, Methods},
        ndarray::Array2,
        place::{NewPoint, Placement},
        serde_json::{Value, json},
    },
    render::{ViewState, write_plot},
};

/// Random directions (Johnson and Lindenstrauss 1984): no fit at all, and distances are nearly kept where there are many.
#[derive(Debug)]
struct RandomDirections {
    /// Length of the directions.
    length: f32,
}

impl ProjectionMethod for RandomDirections {
    // These two are enough.
    fn name(&self) -> &str {
        "random directions"
    }

    fn fit(&self, input: &FitInput<'_>, _: &dyn Progress) -> Result<Embedding> {
        let directions = self.directions(input);
        let spread = directions.iter().map(|&x| f64::from(x * x)).sum::<f64>();
        Ok(Embedding::new(input.points.dot(&directions)).report("spread", [spread]))
    }

    // The key and the parameters go into files, and into the names of cached heads.
    fn key(&self) -> &str {
        "random"
    }

    fn params(&self) -> Value {
        json!({ "length": self.length })
    }

    // New points can be placed, because the method is linear.
    fn placement(&self, input: &FitInput<'_>, _: &Embedding, _: &dyn Progress) -> Result<Option<Box<dyn Placement>>> {
        Ok(Some(Box::new(Linear(self.directions(input)))))
    }
}

impl RandomDirections {
    /// `[dimension, 2 or 3]`, the same for the same seed.
    fn directions(&self, input: &FitInput<'_>) -> Array2<f32> {
        Array2::from_shape_fn((input.points.ncols(), input.dims.count()), |(row, column)| {
            let number = (row * 3 + column) as u64 + 1;
            let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ input.seed;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            self.length * ((bits >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        })
    }
}

#[derive(Debug)]
struct Linear(Array2<f32>);

impl Placement for Linear {
    fn place(&self, point: &NewPoint<'_>, out: &mut [f32]) -> Result<()> {
        for (axis, out) in out.iter_mut().enumerate() {
            *out = self.0.column(axis).iter().zip(point.row).map(|(a, b)| a * b).sum();
        }
        Ok(())
    }
}

/// Projects every head of the embedded text encoder and draws them; returns how many heads there are.
pub(crate) fn run(picture: &Path) -> Result<usize, Box<dyn Error>> {
    let method = Method::from(RandomDirections { length: 1.0 });

    // On any points.
    let points = Array2::from_shape_fn((40, 12), |(i, j)| ((i * (j + 2)) as f32).sin());
    let projector = Projector::new(&method).dims(Dims::Three);
    let fitted = FittedProjection::fit(points.view(), &projector, &())?;
    let placed = fitted.transform(points.view(), &())?;
    assert!((placed - &fitted.embedding().points).iter().all(|x| x.abs() < 1e-4));

    // Chosen by its key, beside the built-in ones, and read back from a file.
    let methods = Methods::builtin().with(&method);
    let kept = attn_sdk::project::serde_json::to_value(&method)?;
    assert_eq!(methods.read(&kept)?, method);

    // On every head of a capture; captions carry its name.
    let capturer = Capturer::load(&embedded::TEXT_ENCODER.checkpoint()?)?;
    let capture = capturer.capture_lines(sentences().take(20))?;
    let params = AtlasParams {
        method,
        ..AtlasParams::default()
    };
    let study = Study::project(capture, &params)?;
    let state = ViewState::default();
    write_plot(&study.matrix(&state)?, &state, picture)?;
    Ok(study.heads().count())
}

#[allow(dead_code, reason = "a test runs the example without it")]
fn main() -> Result<(), Box<dyn Error>> {
    let heads = run(Path::new("custom_projection.png"))?;
    println!("custom_projection.png: {heads} heads by random directions");
    Ok(())
}
