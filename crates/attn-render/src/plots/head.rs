//! One head in two or three dimensions: points, labels that never overlap, and the attention lines of one sequence
//! (AttentionViz, Yeh et al. 2023, the single view).

use std::sync::Arc;

mod labels;
mod lines;

use attn_core::HeadId;

use super::{
    kit::{
        ColorBy, Coordinates, Crowd, LegendEntry, Page, PointColors, Roles, Texts, add_points, check_points,
        drawing_order, highlighted, highlights, thinned, thinning_note,
    },
    tables::{TokenOrigin, push_coordinates, push_origins, push_values, role, value_line},
};
use crate::{
    Error, Matches, Plot, Result, Scene, Table, Target, ViewState,
    error::{check_finite, check_len},
    plot::Tooltip,
    scene::{Axes, Blending, Block, Layer, Motion, Panel, Patches, Point, Shape},
};

/// The highlighted sequence.
#[derive(Debug, Clone)]
pub struct HeadSequence {
    /// The point of each of its queries.
    pub queries: Arc<[u32]>,
    /// The point of each of its keys.
    pub keys: Arc<[u32]>,
    /// Its attention, `[query, key]`.
    pub attention: Arc<[f32]>,
}

/// A scatter plot of one head.
#[derive(Debug, Clone)]
pub struct Head {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: String,
    /// Under the title, in small print: correlations, norms.
    pub subtitle: String,
    /// Under the plot. The default says what is seen.
    pub caption: String,
    /// What to keep in mind with this picture, a sentence each; they follow the caption.
    pub remarks: Vec<String>,
    /// All queries, then all keys.
    pub coordinates: Coordinates,
    /// How many points are queries.
    pub queries: usize,
    /// A label per point; empty for none.
    pub labels: Texts,
    /// What [`Shared::search`](crate::state::Shared::search) looks in, a text per point; empty, the default, for the labels.
    pub searched: Texts,
    /// Which points are not drawn, a flag per point; empty, the default, for none.
    pub hidden: Arc<[bool]>,
    /// Which token each point is, for tables; empty, the default, for unknown.
    pub origins: Arc<[TokenOrigin]>,
    /// A value per point. It is drawn unless the state asks for [roles](crate::state::ColorChoice::Role); NaN, where there is none,
    /// is grey.
    pub values: Option<Arc<[f32]>>,
    /// What the values are; `None` draws them from little to much.
    pub color_by: Option<ColorBy>,
    /// Patches of pictures in the place of points, by their ids, drawn where [`Shared::patches`](crate::state::Shared::patches) says so and in its style; `None`, the
    /// default, where tokens are words.
    pub patches: Option<Patches>,
    /// A length per point, such as the norm of its vector, that becomes its size.
    pub sizes: Option<Arc<[f32]>>,
    /// What the sizes are, for the legend. Default: `norm`.
    pub size_by: String,
    /// The highlighted sequence, others being dimmed: the two strongest keys of each query from weight 0.05
    /// are joined by lines.
    pub sequence: Option<HeadSequence>,
    /// Shares of the points, such as 0.5 and 0.9, that lines of equal density enclose: of queries and of keys, or of each
    /// class where points are colored by class. In two dimensions only; empty, the default, for none.
    pub contours: Arc<[f32]>,
    /// Names of places, such as what most points of a dense region have in common; empty, the default, for none.
    pub places: Arc<[NamedPlace]>,
}

/// A name for a place in a [`Head`].
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPlace {
    /// Where its middle is, in the coordinates of the points.
    pub at: [f32; 3],
    /// What to say there: a few words.
    pub name: String,
}

/// How much larger patches are than points would be.
const PATCH: f32 = 1.8;

/// Size factor of highlighted points.
const BROUGHT_OUT: f32 = 1.7;

impl Head {
    /// A plot with nothing but its points.
    pub fn new(head: HeadId, coordinates: Coordinates, queries: usize) -> Self {
        Self {
            head,
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            remarks: Vec::new(),
            coordinates,
            queries,
            labels: Texts::default(),
            searched: Texts::default(),
            hidden: Arc::default(),
            origins: Arc::default(),
            values: None,
            color_by: None,
            patches: None,
            sizes: None,
            size_by: "norm".into(),
            sequence: None,
            contours: Arc::default(),
            places: Arc::default(),
        }
    }

    fn check(&self) -> Result<()> {
        let points = self.coordinates.len();
        check_points(&self.coordinates, self.queries, self.values.as_deref())?;
        if !self.labels.is_empty() {
            check_len("labels of points", points, self.labels.len())?;
        }
        if !self.searched.is_empty() {
            check_len("searched texts of points", points, self.searched.len())?;
        }
        if !self.hidden.is_empty() {
            check_len("hidden points", points, self.hidden.len())?;
        }
        if let Some(sizes) = &self.sizes {
            check_len("sizes of points", points, sizes.len())?;
            check_finite("sizes of points", sizes)?;
        }
        for place in self.places.iter() {
            check_finite("named places", &place.at)?;
        }
        if let Some(sequence) = &self.sequence {
            for &point in sequence.queries.iter().chain(sequence.keys.iter()) {
                if point as usize >= points {
                    let expected = format!("below {points} (the number of points)");
                    return Err(Error::Shape {
                        what: "points of the sequence",
                        expected,
                        found: point.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    fn default_caption(&self) -> &'static str {
        match self.sequence {
            Some(_) => {
                "Queries and keys of one head in a joint projection. One sequence is highlighted: lines join each of its \
                 queries to the two keys with the largest weights (at least 0.05)."
            }
            None => "Queries and keys of one head in a joint projection. Labels that would overlap are hidden.",
        }
    }

    /// Which points are highlighted; empty if none is. And the search matches.
    fn marked(&self, state: &ViewState) -> (Vec<bool>, Matches) {
        let searched = if self.searched.is_empty() {
            &self.labels
        } else {
            &self.searched
        };
        let (mut marked, matches) = highlighted(state, Some(self.head), searched, self.coordinates.len(), self.queries);
        if let Some(sequence) = &self.sequence {
            marked.resize(self.coordinates.len(), false);
            for &point in sequence.queries.iter().chain(sequence.keys.iter()) {
                marked[point as usize] = true;
            }
        }
        (marked, matches)
    }

    /// The points in the order in which they are drawn: highlighted ones last.
    fn points(
        &self,
        panel: u16,
        state: &ViewState,
        colors: &PointColors<'_>,
        blending: Blending,
        marked: &[bool],
        kept: Option<&[bool]>,
    ) -> [Vec<Point>; 2] {
        let range = self.sizes.as_ref().map(|sizes| {
            sizes
                .iter()
                .fold([f32::MAX, f32::MIN], |[a, b], v| [a.min(*v), b.max(*v)])
        });
        let order = drawing_order(&self.coordinates, self.queries, self.values.as_deref(), blending)
            .filter(|i| kept.is_none_or(|kept| kept[*i]));
        let mut points = [Vec::with_capacity(self.coordinates.len()), Vec::new()];
        let mut add = |i: usize| {
            let query = i < self.queries;
            let id = u32::try_from(i).unwrap_or(Point::UNPICKABLE);
            let value = self.values.as_ref().map(|values| values[i]);
            let mut size = 1.0;
            if let (Some(sizes), Some([low, high])) = (&self.sizes, range) {
                size = 0.6 + 1.4 * (sizes[i] - low) / (high - low).max(f32::MIN_POSITIVE);
            }
            let shown = marked.get(i).copied();
            if shown == Some(true) {
                size *= BROUGHT_OUT;
            }
            let shape = if query { Shape::Disc } else { Shape::Diamond };
            let point = Point::new(panel, self.coordinates.get(i), colors.color(query, value), id)
                .shaped(shape)
                .sized(size)
                .dimmed(shown == Some(false))
                .hidden(self.is_hidden(i, colors))
                .as_patch(
                    state.shared.patches.is_some()
                        && self.patches.as_ref().is_some_and(|patches| patches.part(id).is_some()),
                );
            points[usize::from(shown == Some(true))].push(point);
        };
        if self.coordinates.dims() == 3 && blending == Blending::InOrder {
            self.far_first(order, state).for_each(&mut add);
        } else {
            order.for_each(&mut add);
        }
        points
    }

    /// Far points first, as seen now; ties stay in order.
    fn far_first(&self, order: impl Iterator<Item = usize>, state: &ViewState) -> impl Iterator<Item = usize> {
        let toward = state.orbit.rotation()[2];
        let near = |i: usize| {
            let p = self.coordinates.get(i);
            toward[0] * p[0] + toward[1] * p[1] + toward[2] * p[2]
        };
        let mut by_depth: Vec<(u32, u32, usize)> = (order.zip(0..))
            .map(|(i, rank)| (ascending(near(i)), rank, i))
            .collect();
        by_depth.sort_unstable();
        by_depth.into_iter().map(|(.., i)| i)
    }

    /// Whether a point is left out, or its class is switched off.
    fn is_hidden(&self, point: usize, colors: &PointColors<'_>) -> bool {
        self.hidden.get(point) == Some(&true) || colors.is_hidden(self.values.as_ref().map(|values| values[point]))
    }
}

impl Plot for Head {
    /// The scene, laid out in `size` layout units. Tokens that [`search`](crate::search)
    /// finds for [`Shared::search`](crate::state::Shared::search), and those in [`Shared::selected`](crate::state::Shared::selected), are highlighted.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let point_colors = PointColors::new(state, self.color_by.as_ref(), self.values.as_deref().into_iter())?
            .with_roles(Roles {
                queries: self.queries > 0,
                keys: self.queries < self.coordinates.len(),
            });
        let mut legend = point_colors.legend();
        if self.sequence.is_some() {
            legend.push(LegendEntry::Fade(colors.text, "attention (opacity = weight)".into()));
        }
        if self.sizes.is_some() {
            legend.push(LegendEntry::Text(format!("size = {}", self.size_by)));
        }
        if !self.contours.is_empty() && self.coordinates.dims() == 2 {
            let shares: Vec<String> = self
                .contours
                .iter()
                .map(|share| format!("{:.0}", 100.0 * share))
                .collect();
            legend.push(LegendEntry::Text(format!(
                "lines enclose {} % of the points",
                shares.join(", ")
            )));
        }
        let (marked, matches) = self.marked(state);
        legend.extend(highlights(state, &matches));
        // The plot fills most of the layout; what a caption takes of it does not matter here.
        let part = thinned(&self.coordinates, self.queries, size[0] * size[1], &marked)?;
        let mut caption = match self.caption.as_str() {
            "" => self.default_caption().to_owned(),
            caption => caption.to_owned(),
        };
        for remark in &self.remarks {
            caption.push(' ');
            caption.push_str(remark);
        }
        if let Some((_, drawn)) = &part {
            caption.push_str(&thinning_note(*drawn, self.coordinates.len()));
        }
        let kept = part.map(|(kept, _)| kept);
        let name = format!("Head {}", self.head);
        let page = Page {
            title: if self.title.is_empty() { &name } else { &self.title },
            subtitle: &self.subtitle,
            legend,
            caption: &caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        scene.layers[0].blocks.push(
            Block::filled(0, content, colors.panel)
                .stroked(colors.frame, 0.7)
                .rounded(2.0),
        );

        let space = self.coordinates.dims() == 3;
        let plot = content.shrink(1.0);
        let side = plot.width().min(plot.height());
        let crowd = Crowd::new(&self.coordinates, side * side);
        let patches = self
            .patches
            .as_ref()
            .zip(state.shared.patches)
            .map(|(patches, style)| Patches {
                style,
                ..patches.clone()
            });
        // Patches say more than their place and may cover each other a little.
        let point_radius = crowd.radius * if patches.is_some() { PATCH } else { 1.0 };
        let point_opacity = if patches.is_some() { 1.0 } else { crowd.opacity };
        let bounds = self.coordinates.bounds().pad(if space { 0.02 } else { 0.06 });
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            title: self.head.to_string(),
            rect: plot,
            bounds,
            axes: if space { Axes::Space } else { Axes::Plane },
            motion: Motion::Inside,
            point_radius,
            point_opacity,
            rows: None,
        });
        let mut layer = Layer::default();
        if space {
            layer.edges.extend(lines::box_edges(bounds, panel, colors.frame));
        }
        self.attention_lines(&mut layer, panel, &colors)?;
        let blending = if patches.is_some() {
            Blending::InOrder
        } else {
            crowd.blending
        };
        let [others, brought_out] = self.points(panel, state, &point_colors, blending, &marked, kept.as_deref());
        add_points(&mut scene, &mut layer, blending, others, brought_out);
        let shows_patches = patches.is_some();
        layer.patches = patches;
        if !self.contours.is_empty() && !space {
            // In front of the points, behind the labels.
            scene.layers.push(std::mem::take(&mut layer));
            self.contour_lines(&mut layer, panel, state, &point_colors, &colors)?;
            scene.layers.push(std::mem::take(&mut layer));
        }
        self.place_names(&mut layer, panel, &colors);
        self.token_labels(
            &mut layer,
            panel,
            point_radius,
            shows_patches,
            &point_colors,
            &marked,
            kept.as_deref(),
            &colors,
        );
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The points that are not hidden, a row each: id, role, coordinates, and place, token, value and size if there are any.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let shown: Vec<usize> = (0..self.coordinates.len())
            .filter(|&point| self.hidden.get(point) != Some(&true))
            .collect();
        let mut table = Table::new(shown.len());
        table.numbers("id", |row| shown[row]);
        table.texts("kind", |row| role(shown[row], self.queries));
        push_coordinates(&mut table, self.coordinates.dims(), |row| {
            (&self.coordinates, shown[row])
        });
        push_origins(&mut table, |row| self.origins.get(shown[row]));
        if !self.labels.is_empty() {
            table.texts("token", |row| &*self.labels[shown[row]]);
        }
        if let Some(values) = &self.values {
            push_values(&mut table, self.color_by.as_ref(), |row| Some(values[shown[row]]));
        }
        if let Some(sizes) = &self.sizes {
            table.numbers(format!("size: {}", self.size_by), |row| sizes.get(shown[row]).copied());
        }
        Ok(table)
    }

    fn natural_size(&self) -> [f32; 2] {
        [900.0, 820.0]
    }

    /// Label, role and value of a point.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let point = target.id()? as usize;
        if point >= self.coordinates.len() {
            return None;
        }
        let label = self.labels.get(point).map_or("", |label| &**label);
        let mut tooltip = Tooltip::new(label).line(role(point, self.queries));
        if let Some(value) = self.values.as_ref().and_then(|values| values.get(point)) {
            tooltip = tooltip.line(value_line(self.color_by.as_ref(), *value));
        }
        Some(tooltip)
    }
}

/// Bits that are ordered as the numbers are: whole numbers sort faster.
fn ascending(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests;
