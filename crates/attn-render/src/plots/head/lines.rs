//! The lines of a head: attention of a sequence, contours of density, and the box around a cloud in three dimensions.

use super::{
    super::kit::{PointColors, class_of},
    Head,
};
use crate::{
    Color, Result, ViewState,
    attention::strongest,
    color::Colors,
    contour::density_contours,
    geometry::Bounds,
    scene::{Curve, Edge, Layer, Path},
};

/// Lines per query, and the least weight that has one.
const LINES: (usize, f32) = (2, 0.05);

impl Head {
    /// Contours of the queries and of the keys, or of every class that is drawn.
    pub(super) fn contour_lines(
        &self,
        layer: &mut Layer,
        panel: u16,
        state: &ViewState,
        point_colors: &PointColors<'_>,
        colors: &Colors,
    ) -> Result<()> {
        let mut groups: std::collections::BTreeMap<usize, (Color, Vec<f32>)> = std::collections::BTreeMap::new();
        let classes = self.values.as_ref().filter(|_| point_colors.by_class());
        for i in (0..self.coordinates.len()).filter(|i| self.hidden.get(*i) != Some(&true)) {
            let (group, color) = match classes {
                Some(classes) if classes[i].is_nan() => continue,
                Some(classes) => {
                    let class = class_of(classes[i]);
                    if u32::try_from(class).is_ok_and(|class| state.shared.hidden_classes.contains(&class)) {
                        continue;
                    }
                    (class, colors.class(class))
                }
                None if i < self.queries => (0, colors.query),
                None => (1, colors.key),
            };
            let [x, y, _] = self.coordinates.get(i);
            groups.entry(group).or_insert((color, Vec::new())).1.extend([x, y]);
        }
        for (color, points) in groups.into_values() {
            let contours = density_contours(&points, &self.contours)?;
            layer.curves.extend(contours.into_iter().map(|contour| Curve {
                panel,
                path: Path::Line(contour.line),
                color: color.mix(colors.text, 0.3),
                // The less a line encloses, the stronger it is.
                width: 1.0 + 0.9 * (1.0 - contour.share.clamp(0.0, 1.0)),
            }));
        }
        Ok(())
    }

    /// From each query of the sequence to the keys it attends to most.
    pub(super) fn attention_lines(&self, layer: &mut Layer, panel: u16, colors: &Colors) -> Result<()> {
        let Some(sequence) = &self.sequence else { return Ok(()) };
        let (most, least) = LINES;
        let mut links = strongest(
            &sequence.attention,
            sequence.queries.len(),
            sequence.keys.len(),
            most,
            least,
        )?;
        // The strongest line lies in front.
        links.sort_by(|a, b| a.weight.total_cmp(&b.weight));
        layer.edges.extend(links.iter().map(|link| Edge {
            from: self.coordinates.get(sequence.queries[link.query] as usize),
            to: self.coordinates.get(sequence.keys[link.key] as usize),
            color: colors.text.alpha(link.weight),
            panel: panel.into(),
            width: [1.3; 2],
            gap: [0.0; 2],
        }));
        Ok(())
    }
}

/// The twelve edges of a box.
pub(super) fn box_edges(bounds: Bounds, panel: u16, color: Color) -> impl Iterator<Item = Edge> {
    let corner = move |bits: usize| {
        [0, 1, 2].map(|axis| {
            if bits >> axis & 1 == 1 {
                bounds.max[axis]
            } else {
                bounds.min[axis]
            }
        })
    };
    (0..8_usize).flat_map(move |bits| {
        (0..3).filter(move |axis| bits >> axis & 1 == 0).map(move |axis| Edge {
            from: corner(bits),
            to: corner(bits | 1 << axis),
            color,
            panel: panel.into(),
            width: [0.8; 2],
            gap: [0.0; 2],
        })
    })
}
