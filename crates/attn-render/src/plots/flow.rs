//! Attention between two texts, one above the other (Strobelt et al. 2018, "Seq2Seq-Vis", the attention view): of every
//! decoder step only the strongest edges, as many as its mass needs.

use std::sync::Arc;

use attn_core::HeadId;

use super::{
    kit::{LegendEntry, Page},
    sentence::SentenceToken,
};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    attention::{Link, check_weights},
    geometry::Rect,
    scene::{Block, Curve, Label, Layer, Motion, Panel, Path, Region, Shape},
    text::{shorten, text_width},
};

/// Attention of a decoder over an encoder's tokens, in one head or averaged.
#[derive(Debug, Clone)]
pub struct CrossFlow {
    /// Which head; `None` for an average, whose title the host gives.
    pub head: Option<HeadId>,
    /// In bold above everything; the head's name by default.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the flow. The default says what is seen.
    pub caption: String,
    /// Encoder tokens, above.
    pub source: Arc<[SentenceToken]>,
    /// Decoder tokens, below.
    pub target: Arc<[SentenceToken]>,
    /// `[target, source]`, row by row.
    pub attention: Arc<[f32]>,
    /// The share of each decoder step's mass that its edges cover, 0 to 1. By default 0.75, as in the original.
    pub share: f32,
}

/// The fewest of a row's weights, largest first, that cover `share` of its sum; of equal weights the first.
///
/// # Errors
/// [`Error::Shape`] if `weights` is not `[queries, keys]`, [`Error::NotFinite`] if a weight is NaN or infinite.
///
/// ```
/// let links = attn_render::plots::covering(&[0.1, 0.6, 0.3, 1.0, 0.0, 0.0], 2, 3, 0.75)?;
/// let found: Vec<_> = links.iter().map(|link| (link.query, link.key)).collect();
/// assert_eq!(found, [(0, 1), (0, 2), (1, 0)]);
/// # Ok::<(), attn_render::Error>(())
/// ```
pub fn covering(weights: &[f32], queries: usize, keys: usize, share: f32) -> Result<Vec<Link>> {
    check_weights(weights, queries, keys)?;
    let mut links = Vec::new();
    for query in 0..queries {
        let row = &weights[query * keys..(query + 1) * keys];
        let mut order: Vec<usize> = (0..keys).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        let enough = share.clamp(0.0, 1.0) * row.iter().sum::<f32>() - 1e-6;
        let mut covered = 0.0;
        for key in order {
            if covered >= enough || row[key] <= 0.0 {
                break;
            }
            covered += row[key];
            links.push(Link {
                query,
                key,
                weight: row[key],
            });
        }
    }
    Ok(links)
}

/// Font size of tokens, and the gap between them.
const WORD: f32 = 11.0;
const GAP: f32 = 10.0;

impl CrossFlow {
    /// A flow with the default words.
    pub fn new(
        source: impl Into<Arc<[SentenceToken]>>,
        target: impl Into<Arc<[SentenceToken]>>,
        attention: impl Into<Arc<[f32]>>,
    ) -> Self {
        Self {
            head: None,
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            source: source.into(),
            target: target.into(),
            attention: attention.into(),
            share: 0.75,
        }
    }
}

impl Plot for CrossFlow {
    /// The scene, laid out in `size` layout units. Ids count the target's tokens, which ask, then the source's; the one in
    /// [`ViewState::selection`] is isolated.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        let (queries, keys) = (self.target.len(), self.source.len());
        if queries == 0 || keys == 0 {
            return Err(Error::Empty { what: "the flow" });
        }
        let mut links = covering(&self.attention, queries, keys, self.share)?;
        let colors = state.colors();
        let name = self.head.map_or_else(
            || "Attention over the source".to_owned(),
            |head| format!("Attention of head {head}"),
        );
        let caption = format!(
            "Edges join each token below to the fewest tokens above that hold {:.0} % of its attention. \
             The wider, the larger the weight.",
            100.0 * self.share
        );
        let page = Page {
            title: if self.title.is_empty() { &name } else { &self.title },
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Square, colors.key, "source (above)".into()),
                LegendEntry::Mark(Shape::Square, colors.query, "target (below)".into()),
            ],
            caption: if self.caption.is_empty() {
                &caption
            } else {
                &self.caption
            },
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            head: self.head,
            title: name.clone(),
            ..Panel::page(content, Motion::Inside)
        });
        let isolated = state
            .selection
            .map(|pick| pick.id as usize)
            .filter(|id| *id < queries + keys);
        let height = (2.0 * WORD).min(0.25 * content.height());
        let above = row(&self.source, content, content.min[1], height);
        let below = row(&self.target, content, content.max[1] - height, height);
        let mut layer = Layer::default();
        links.sort_by(|a, b| a.weight.total_cmp(&b.weight));
        let mut related = vec![isolated.is_none(); queries + keys];
        for link in links {
            let ends = [link.query, queries + link.key];
            let touched = isolated.is_none_or(|id| ends.contains(&id));
            if touched {
                for end in ends {
                    related[end] = true;
                }
            }
            let from = [below[link.query].center()[0], below[link.query].min[1] - 1.0];
            let to = [above[link.key].center()[0], above[link.key].max[1] + 1.0];
            let bend = 0.5 * (to[1] - from[1]);
            let strength = if touched {
                (0.25 + 0.6 * link.weight).min(1.0)
            } else {
                0.05
            };
            layer.curves.push(Curve {
                panel,
                path: Path::Cubic([from, [from[0], from[1] + bend], [to[0], to[1] - bend], to]),
                color: colors.query.mix(colors.text, 0.35).alpha(strength),
                width: 0.8 + 6.0 * link.weight.clamp(0.0, 1.0),
            });
        }
        let tokens = self.target.iter().zip(&below).chain(self.source.iter().zip(&above));
        for (id, (token, rect)) in tokens.enumerate() {
            let color = if id < queries { colors.query } else { colors.key };
            let strength = if related[id] || isolated == Some(id) { 1.0 } else { 0.35 };
            let ground = colors.background.mix(color, 0.22 * strength);
            let frame = if isolated == Some(id) {
                colors.accent
            } else {
                color.alpha(0.6 * strength)
            };
            layer
                .blocks
                .push(Block::filled(panel, *rect, ground).stroked(frame, 0.8).rounded(3.0));
            let word = (0.5 * height).min(WORD);
            let text = shorten(&token.text, word, false, rect.width() - 3.0);
            let ink = if token.special { colors.muted } else { colors.text };
            let mut label = Label::new(panel, rect.center(), text, word, ink.alpha(strength)).aligned(0.5, 0.5);
            label.grows = 3.0;
            if rect.width() > 0.9 * word {
                layer.labels.push(label);
            }
            layer.regions.push(Region::item(panel, *rect, id));
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The edges that are drawn, a row each: target and source token with their texts, and the weight.
    fn table(&self, _: &ViewState) -> Result<Table> {
        if self.target.is_empty() || self.source.is_empty() {
            return Err(Error::Empty { what: "the flow" });
        }
        let links = covering(&self.attention, self.target.len(), self.source.len(), self.share)?;
        let mut table = Table::new(links.len());
        table
            .numbers("target", |row| links[row].query)
            .texts("target_text", |row| &*self.target[links[row].query].text)
            .numbers("source", |row| links[row].key)
            .texts("source_text", |row| &*self.source[links[row].key].text)
            .numbers("weight", |row| links[row].weight);
        Ok(table)
    }

    /// A size at which every token is written in full.
    fn natural_size(&self) -> [f32; 2] {
        let width = |tokens: &[SentenceToken]| {
            tokens
                .iter()
                .map(|token| text_width(&token.text, WORD, false) + 2.0 * GAP)
                .sum::<f32>()
        };
        [
            (width(&self.source).max(width(&self.target)) + 60.0).clamp(420.0, 6_000.0),
            330.0,
        ]
    }
}

/// A box per token from left to right, as wide as its text if there is room for all, else narrower by one factor; centered.
fn row(tokens: &[SentenceToken], content: Rect, top: f32, height: f32) -> Vec<Rect> {
    let widths: Vec<f32> = tokens
        .iter()
        .map(|token| text_width(&token.text, WORD, false).max(4.0) + 2.0 * GAP)
        .collect();
    let sum: f32 = widths.iter().sum();
    let factor = (content.width() / sum).min(1.0);
    let mut left = content.center()[0] - 0.5 * factor * sum;
    let place = |width: &f32| {
        let rect = Rect::new(left + 0.06 * factor * width, top, 0.88 * factor * width, height);
        left += factor * width;
        rect
    };
    widths.iter().map(place).collect()
}
