//! The most likely tokens of every step of a generation (Strobelt et al. 2018, "Seq2Seq-Vis", the prediction view): a column per
//! step, the chosen token on top with its probability and the entropy, the alternatives below.

use std::sync::Arc;

use super::{
    kit::{LegendEntry, Page},
    tables::yes,
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    error::check_finite,
    geometry::Rect,
    plot::Tooltip,
    scene::{Block, Label, Layer, Motion, Panel, Region, Shape},
    text::shorten,
};

/// A token and its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Its text.
    pub token: Arc<str>,
    /// Its probability, 0 to 1.
    pub probability: f32,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictedStep {
    /// The token that was chosen.
    pub chosen: Predicted,
    /// Whether the chosen token is one of the format, drawn in gray.
    pub special: bool,
    /// Entropy of the prediction, in nats.
    pub entropy: f32,
    /// The most likely tokens, best first; the chosen one may be among them.
    pub top: Vec<Predicted>,
}

/// The steps of a generation.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{Predicted, PredictedStep, Predictions}};
/// let token = |token: &str, probability| Predicted { token: token.into(), probability };
/// let step = PredictedStep {
///     chosen: token("cat", 0.7),
///     special: false,
///     entropy: 0.8,
///     top: vec![token("cat", 0.7), token("dog", 0.2)],
/// };
/// let plot = Predictions::new([step.clone(), step]);
/// let scene = plot.scene(&ViewState::default(), plot.natural_size())?;
/// assert_eq!(scene.layers[1].regions.len(), 4);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Predictions {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the columns. The default says what is seen.
    pub caption: String,
    /// The steps.
    pub steps: Arc<[PredictedStep]>,
}

/// Usual and least width of a column, height of a row, and of the gaps between lines of columns, in layout units.
const COLUMN: f32 = 86.0;
const NARROWEST: f32 = 52.0;
const ROW: f32 = 18.0;
const GAP: f32 = 16.0;
/// Font size.
const SIZE: f32 = 9.5;

impl Predictions {
    /// Columns with the default words.
    pub fn new(steps: impl Into<Arc<[PredictedStep]>>) -> Self {
        Self {
            title: "Predictions".into(),
            subtitle: String::new(),
            caption: "Each column is a step: the chosen token, then the most likely tokens. The wider the bar, the higher the \
                      probability. Framed: the chosen token among them."
                .into(),
            steps: steps.into(),
        }
    }

    /// The most alternatives of a step: ids count the steps, each with so many places.
    pub fn places(&self) -> usize {
        self.steps.iter().map(|step| step.top.len()).max().unwrap_or(0).max(1)
    }

    /// The width at which all steps stand in one line, in layout units.
    pub fn line_width(&self) -> f32 {
        (NARROWEST * self.steps.len() as f32 + 64.0).max(220.0)
    }

    fn check(&self) -> Result<()> {
        if self.steps.is_empty() {
            return Err(Error::Empty {
                what: "the predictions",
            });
        }
        for step in self.steps.iter() {
            check_finite("entropies of predictions", &[step.entropy, step.chosen.probability])?;
            let probabilities: Vec<f32> = step.top.iter().map(|token| token.probability).collect();
            check_finite("probabilities of predictions", &probabilities)?;
        }
        Ok(())
    }
}

/// A probability in percent, in few letters.
fn percent(probability: f32) -> String {
    match 100.0 * probability {
        share if share >= 99.95 => "100 %".into(),
        share if share >= 10.0 => format!("{share:.0} %"),
        share if share >= 0.1 => format!("{share:.1} %"),
        _ => "<0.1 %".into(),
    }
}

impl Plot for Predictions {
    /// The scene, laid out in `size` layout units. Ids count the alternatives: step times [`places`](Self::places) plus the place.
    /// The one in [`ViewState::selection`] is framed.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Square, colors.key, "chosen".into()),
                LegendEntry::Mark(Shape::Square, colors.query.alpha(0.5), "alternatives".into()),
                LegendEntry::Text("H: entropy in nats".into()),
            ],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            ..Panel::page(content, Motion::Inside)
        });
        let places = self.places();
        // One line of narrow columns rather than two.
        let narrow = content.width() >= NARROWEST * self.steps.len() as f32;
        let column = if narrow { NARROWEST } else { COLUMN };
        let columns = ((content.width() / column) as usize).clamp(1, self.steps.len());
        let lines = self.steps.len().div_ceil(columns);
        let rows = places as f32 + 2.2;
        let row = ((content.height() + GAP) / lines as f32 - GAP).min(rows * ROW) / rows;
        let width = (content.width() / columns as f32).min(1.3 * COLUMN);
        let text = (0.55 * row).clamp(2.0, SIZE);
        let picked = state.selection.map(|pick| pick.id as usize);
        let (mut layer, mut regions) = (Layer::default(), Vec::new());
        for (at, step) in self.steps.iter().enumerate() {
            let left = content.min[0] + (at % columns) as f32 * width;
            let top = content.min[1] + (at / columns) as f32 * (rows * row + GAP);
            let mut cell = |place: f32, height: f32, token: &Predicted, color, bold: bool, frame: Option<f32>, ink| {
                let rect = Rect::new(left, top + place * row, 0.92 * width, height * row);
                let ground = colors.background.mix(color, 0.10);
                layer.blocks.push(Block::filled(panel, rect, ground).rounded(2.0));
                let bar = Rect::new(
                    rect.min[0],
                    rect.min[1],
                    rect.width() * token.probability.clamp(0.0, 1.0),
                    rect.height(),
                );
                layer
                    .blocks
                    .push(Block::filled(panel, bar, colors.background.mix(color, 0.38)).rounded(2.0));
                if let Some(stroke) = frame {
                    let edge = Block::filled(panel, rect, color.alpha(0.0));
                    layer.blocks.push(edge.stroked(colors.text, stroke).rounded(2.0));
                }
                let share = percent(token.probability);
                let taken = crate::text::text_width(&share, 0.85 * text, false) + 10.0;
                // The bar says it too.
                let (room, written) = match rect.width() - taken {
                    room if room > 2.0 * text => (room, true),
                    _ => (rect.width() - 8.0, false),
                };
                let middle = rect.center()[1];
                let mut write = |x: f32, align: f32, words: String, size: f32, color, bold: bool| {
                    let mut label = Label::new(panel, [x, middle], words, size, color).aligned(align, 0.5);
                    label.grows = 3.0;
                    label.bold = bold;
                    layer.labels.push(label);
                };
                write(
                    rect.min[0] + 4.0,
                    0.0,
                    shorten(&token.token, text, bold, room),
                    text,
                    ink,
                    bold,
                );
                if written {
                    write(rect.max[0] - 3.0, 1.0, share, 0.85 * text, colors.muted, false);
                }
                rect
            };
            let ink = if step.special { colors.muted } else { colors.text };
            cell(0.0, 1.1, &step.chosen, colors.key, true, None, ink);
            for (place, token) in step.top.iter().enumerate() {
                let id = at * places + place;
                let frame = match (picked == Some(id), token.token == step.chosen.token) {
                    (true, _) => Some(2.0),
                    (false, true) => Some(0.9),
                    (false, false) => None,
                };
                let rect = cell(2.2 + place as f32, 0.92, token, colors.query, false, frame, colors.text);
                regions.push(Region::item(panel, rect, id));
            }
            let words = format!("H {:.2}", step.entropy);
            let place = [left + 4.0, top + 1.65 * row];
            let mut entropy = Label::new(panel, place, words, 0.85 * text, colors.muted).aligned(0.0, 0.5);
            entropy.grows = 3.0;
            layer.labels.push(entropy);
        }
        layer.regions = regions;
        scene.layers.push(layer);
        Ok(scene)
    }

    /// A row per step and alternative: both counted from 0, the token with its probability, whether it was chosen, the entropy.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let rows: Vec<(usize, usize)> = self
            .steps
            .iter()
            .enumerate()
            .flat_map(|(at, step)| (0..step.top.len()).map(move |place| (at, place)))
            .collect();
        let step = |row: usize| &self.steps[rows[row].0];
        let token = |row: usize| &step(row).top[rows[row].1];
        let mut table = Table::new(rows.len());
        table
            .numbers("step", |row| rows[row].0)
            .texts("chosen", |row| &*step(row).chosen.token)
            .numbers("chosen_probability", |row| step(row).chosen.probability)
            .numbers("entropy", |row| step(row).entropy)
            .numbers("place", |row| rows[row].1)
            .texts("token", |row| &*token(row).token)
            .numbers("probability", |row| token(row).probability)
            .texts("is_chosen", |row| yes(token(row).token == step(row).chosen.token));
        Ok(table)
    }

    /// A size at which every token is written.
    fn natural_size(&self) -> [f32; 2] {
        let columns = self.steps.len().clamp(3, 12);
        let lines = self.steps.len().div_ceil(columns) as f32;
        let rows = self.places() as f32 + 2.2;
        [
            columns as f32 * COLUMN + 56.0,
            (lines * (rows * ROW + GAP) + 150.0).clamp(220.0, 8_000.0),
        ]
    }

    /// The token with its probability.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let id = target.id()? as usize;
        let token = self.steps.get(id / self.places())?.top.get(id % self.places())?;
        let tip = Tooltip::new(&*token.token);
        Some(tip.line(format!(
            "step {}: {}",
            id / self.places() + 1,
            percent(token.probability)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_many_steps_never_overlap() {
        let token = |token: &str, probability| Predicted {
            token: token.into(),
            probability,
        };
        let step = PredictedStep {
            chosen: token("a long token of a text", 0.9),
            special: false,
            entropy: 0.5,
            top: vec![token("a long token of a text", 0.9), token("b", 0.05), token("c", 0.0)],
        };
        let plot = Predictions::new(vec![step; 40]);
        let scene = plot.scene(&ViewState::default(), plot.natural_size()).unwrap();
        let regions = &scene.layers[1].regions;
        assert_eq!(regions.len(), 120);
        for (i, a) in regions.iter().enumerate() {
            assert!(regions[..i].iter().all(|b| !a.rect.overlaps(&b.rect)), "{i}");
        }
        assert!(
            Predictions::new(Vec::new())
                .scene(&ViewState::default(), [300.0; 2])
                .is_err()
        );
    }
}
