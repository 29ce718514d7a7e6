//! The words beside points.

use super::{super::kit::PointColors, BROUGHT_OUT, Head};
use crate::{
    color::Colors,
    scene::{Label, Layer, Placement},
};

impl Head {
    /// Names of places, before all other labels.
    pub(super) fn place_names(&self, layer: &mut Layer, panel: u16, colors: &Colors) {
        for (index, place) in self.places.iter().enumerate() {
            layer.labels.push(Label {
                position: place.at,
                align: [0.5, 0.5],
                halo: Some(colors.panel),
                bold: true,
                placement: Placement::Floating {
                    // The first names matter most.
                    priority: 1e6 - index as f32,
                    margin: 2.0,
                    clear: 0.0,
                },
                ..Label::new(panel, [0.0; 2], place.name.as_str(), 11.5, colors.text)
            });
        }
    }

    pub(super) fn token_labels(
        &self,
        layer: &mut Layer,
        panel: u16,
        radius: f32,
        shows_patches: bool,
        point_colors: &PointColors<'_>,
        marked: &[bool],
        kept: Option<&[bool]>,
        colors: &Colors,
    ) {
        for (i, label) in self.labels.iter().enumerate() {
            let shown = marked.get(i).copied();
            let drawn = kept.is_none_or(|kept| kept[i]);
            // Patches show themselves; only highlighted ones have labels.
            let says_itself = shows_patches && shown != Some(true);
            if shown == Some(false) || says_itself || !drawn || self.is_hidden(i, point_colors) {
                continue;
            }
            let kind = if i < self.queries { colors.query } else { colors.key };
            let brought_out = shown == Some(true);
            layer.labels.push(Label {
                panel,
                position: self.coordinates.get(i),
                offset: [radius * if brought_out { BROUGHT_OUT } else { 1.0 } + 3.5, 0.0],
                align: [0.0; 2],
                text: label.clone(),
                size: if brought_out { 10.5 } else { 9.0 },
                bold: false,
                color: kind.mix(colors.text, 0.62),
                halo: Some(colors.panel),
                grows: 1.0,
                placement: Placement::Floating {
                    priority: scattered(i) + if brought_out { 1.0 } else { 0.0 },
                    margin: if brought_out { 1.5 } else { 11.0 },
                    clear: if brought_out { 1.05 * radius * BROUGHT_OUT } else { 0.0 },
                },
                visible_from: 0.0,
            });
        }
    }
}

/// A fixed number in 0 to 1 for every index, so that the labels that are drawn are spread over the data.
fn scattered(index: usize) -> f32 {
    // The golden ratio's multiples are spread evenly at every scale (Weyl).
    (index as f64 * 0.618_033_988_749_895).fract() as f32
}
