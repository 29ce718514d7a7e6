//! attn-render alone: points of a host's own as a plot with classes, labels, hover and files.
//!
//! ```sh
//! cargo run --release -p attn-render --example render_alone   # out/models.png, .svg, .csv, out/hover.svg
//! ```

#![allow(clippy::print_stdout, reason = "a command-line program")]

use attn_render::{
    Interaction, Plot, SvgOptions, ViewState,
    pick::Picker,
    plots::{ColorBy, Coordinates, Scatter, overlay},
    projection::Projection,
    write_plot, write_svg,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Parameters in millions and loss of five models; their classes are indices into the names.
    let points = [4.0, 3.1, 29.0, 2.4, 110.0, 1.9, 7.0, 2.9, 124.0, 2.1];
    let plot = Scatter {
        title: "Models".into(),
        axes: Some(["parameters (millions)".into(), "loss".into()]),
        labels: ["tiny", "small", "base", "nano", "large"].into(),
        values: Some([0.0, 0.0, 0.0, 1.0, 1.0].into()),
        color_by: Some(ColorBy::classes("kind", ["encoder", "decoder"])),
        ..Scatter::new(Coordinates::new(points, 2)?)
    };
    let state = ViewState::default();
    std::fs::create_dir_all("out")?;
    for file in ["out/models.png", "out/models.svg", "out/models.csv"] {
        write_plot(&plot, &state, file)?;
    }

    // Hover: the nearest point within 200 pixels of the pointer, which is in the middle of the plot.
    let size = plot.natural_size();
    let mut scene = plot.scene(&state, size)?;
    let position = size.map(|side| 0.5 * side);
    let hit = Picker::default().hit(&scene, &Projection::new(&scene, &state, size), position, 200.0);
    if let Some(tooltip) = hit.and_then(|hit| plot.tooltip(hit.target?)) {
        println!("under the pointer: {}", tooltip.text());
    }
    let pointer = overlay::Pointer { size, position, hit };
    overlay::point_out(&mut scene, &plot, &state, &Interaction::default(), Some(&pointer));
    write_svg("out/hover.svg", &scene, &state, &SvgOptions::default())?;
    Ok(())
}
