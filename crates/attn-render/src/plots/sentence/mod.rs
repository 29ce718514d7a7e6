//! One sequence's attention as lines between its queries on the left and its keys on the right
//! (after Vig 2019, "A multiscale visualization of attention"; AttentionViz, Yeh et al. 2023, the sentence view).
//!
//! Up to about forty tokens every one has its word at full size; with more the rows draw closer, and beyond what
//! can be read only every second, third, ... word is written (all can be hovered, and zoomed into). Of long texts the part
//! that fits at full size is shown, with the rest summed up.

use std::sync::Arc;

mod columns;
mod whole;
mod window;

use std::ops::Range;

use attn_core::HeadId;

pub(super) use self::columns::line_color;
use super::{
    kit::{LegendEntry, Page},
    tables::{TokenOrigin, push_pair_origins},
};
use crate::{
    Error, Plot, Result, Scene, Table, Target, ViewState,
    color::Colors,
    plot::Tooltip,
    scene::{Motion, Panel, Shape},
};

/// Weights that a tooltip names.
const TOLD: usize = 6;

/// One token of a [`Sentence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceToken {
    /// Its text.
    pub text: Arc<str>,
    /// Whether the model's format added it; drawn in grey.
    pub special: bool,
}

impl SentenceToken {
    /// A token.
    pub fn new(text: impl Into<Arc<str>>, special: bool) -> Self {
        Self {
            text: text.into(),
            special,
        }
    }
}

/// One sequence's attention in one head: all of it, or of a long text the part from [`ViewState::first_token`] on.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{ViewState, plots::{Sentence, SentenceToken}};
///
/// let tokens = vec![SentenceToken::new("word", false); 2_000];
/// let attention = vec![1.0 / 2_000.0; 2_000 * 2_000];
/// let sentence = Sentence::new(HeadId::new(Attention::EncoderSelf, 0, 0), tokens.clone(), tokens, attention);
/// let view = ViewState { first_token: 1_200, ..ViewState::default() };
/// let seen = sentence.tokens_in_sight(&view, [560.0, 800.0])?;
/// assert!(seen.start == 1_200 && seen.len() > 30 && seen.len() < 60);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sentence {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: String,
    /// Under the title, in small print.
    pub subtitle: String,
    /// Under the lines. The default says what is seen.
    pub caption: String,
    /// Tokens that ask.
    pub queries: Arc<[SentenceToken]>,
    /// Tokens that are attended to.
    pub keys: Arc<[SentenceToken]>,
    /// Which tokens the queries and the keys are, for tables; empty, the default, for unknown.
    pub origins: [Arc<[TokenOrigin]>; 2],
    /// `[query, key]`, row by row; of each row that is not all 0 the sum is 1.
    pub attention: Arc<[f32]>,
    /// The least weight that has a line. By default 0.01: fainter lines cannot be seen.
    pub least: f32,
    /// Up to so many tokens are drawn at once, of longer texts a part. By default 200: then a row is still a few pixels high.
    pub whole_up_to: usize,
}

impl Sentence {
    /// The lines of one head.
    pub fn new(
        head: HeadId,
        queries: impl Into<Arc<[SentenceToken]>>,
        keys: impl Into<Arc<[SentenceToken]>>,
        attention: impl Into<Arc<[f32]>>,
    ) -> Self {
        Self {
            head,
            title: String::new(),
            subtitle: String::new(),
            caption: String::new(),
            queries: queries.into(),
            keys: keys.into(),
            origins: Default::default(),
            attention: attention.into(),
            least: 0.01,
            whole_up_to: 200,
        }
    }

    /// The tokens that a layout of `size` shows, the same of queries and keys.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn tokens_in_sight(&self, state: &ViewState, size: [f32; 2]) -> Result<Range<usize>> {
        if !self.is_long() {
            return Ok(0..self.tokens());
        }
        // As in the scene: what is above and below decides how many rows are left.
        let (name, colors) = (self.name(), state.colors());
        let (_, content) = self.page(&name, &colors).start(size, &colors)?;
        Ok(self.in_sight(state, content))
    }

    /// The weights behind the lines of a scene of `size`, a row per pair of visible tokens: query and key with their places in
    /// the sequence. Hidden tokens are left out and the rest is renormalized, as in the scene.
    ///
    /// # Errors
    /// As [`scene`](Plot::scene).
    pub fn table_in(&self, state: &ViewState, size: [f32; 2]) -> Result<Table> {
        let pairs = if self.is_long() {
            self.window_pairs(state, self.tokens_in_sight(state, size)?)?
        } else {
            self.whole_pairs(state)?
        };
        let mut table = Table::new(pairs.len());
        table
            .numbers("query", |row| pairs[row].0)
            .texts("query_text", |row| &*self.queries[pairs[row].0].text)
            .numbers("key", |row| pairs[row].1)
            .texts("key_text", |row| &*self.keys[pairs[row].1].text)
            .numbers("weight", |row| pairs[row].2);
        push_pair_origins(&mut table, &self.origins, |row| (pairs[row].0, pairs[row].1));
        Ok(table)
    }

    fn tokens(&self) -> usize {
        self.queries.len().max(self.keys.len())
    }

    fn is_long(&self) -> bool {
        self.tokens() > self.whole_up_to
    }

    /// The token that is isolated.
    fn isolated(&self, state: &ViewState) -> Option<usize> {
        let id = state.selection?.id as usize;
        (id < self.queries.len() + self.keys.len()).then_some(id)
    }

    fn name(&self) -> String {
        format!("Attention of head {}", self.head)
    }

    fn page<'n>(&'n self, name: &'n str, colors: &Colors) -> Page<'n> {
        let caption = match (self.caption.as_str(), self.is_long()) {
            ("", false) => "Each line joins a query to a key it attends to; the more opaque, the larger the weight.",
            ("", true) => {
                "Part of a long text. Each line joins a query to a key it attends to. Lines to a box are the sum over the tokens \
                 before or after; lines from a box are their mean."
            }
            (caption, _) => caption,
        };
        Page {
            title: if self.title.is_empty() { name } else { &self.title },
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Disc, colors.query, "queries (left)".into()),
                LegendEntry::Mark(Shape::Diamond, colors.key, "keys (right)".into()),
                LegendEntry::Fade(line_color(colors), "attention weight".into()),
            ],
            caption,
        }
    }
}

impl Plot for Sentence {
    /// The scene, laid out in `size` layout units. Tokens in [`ViewState::hidden`] are switched off and the rest of the
    /// attention renormalised; the token in [`ViewState::selection`] is isolated. Ids count
    /// the queries, then the keys.
    ///
    /// Of a long text, beside each token in sight lie its lines to others in sight; its attention to all tokens above and to all
    /// below is summed up in a line to the box above and to the one below, and from these boxes come the lines of the mean
    /// attention of all queries out of sight. The boxes and the strip at the left scroll when they are clicked.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        if self.queries.is_empty() || self.keys.is_empty() {
            return Err(Error::Empty { what: "the sentence" });
        }
        let (name, colors) = (self.name(), state.colors());
        let (mut scene, content) = self.page(&name, &colors).start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            ..Panel::page(content, Motion::Inside)
        });
        if self.is_long() {
            self.window(&mut scene, content, panel, state)?;
        } else {
            self.whole(&mut scene, content, panel, state)?;
        }
        Ok(scene)
    }

    /// As [`table_in`](Self::table_in), at the natural size.
    fn table(&self, state: &ViewState) -> Result<Table> {
        self.table_in(state, self.natural_size())
    }

    /// A size at which every word is written, up to about a hundred tokens; that of a page for a part of a long text.
    fn natural_size(&self) -> [f32; 2] {
        if self.is_long() {
            return [640.0, 900.0];
        }
        [560.0, (self.tokens() as f32 * whole::ROW).clamp(100.0, 1500.0) + 190.0]
    }

    /// A token's largest weights: of a query those to keys, of a key those from queries.
    fn tooltip(&self, target: Target) -> Option<Tooltip> {
        let (id, queries, keys) = (target.id()? as usize, self.queries.len(), self.keys.len());
        let weight = |query: usize, key: usize| self.attention.get(query * keys + key).copied();
        let (token, others, of_query) = match id.checked_sub(queries) {
            None => (self.queries.get(id)?, &self.keys, true),
            Some(key) => (self.keys.get(key)?, &self.queries, false),
        };
        let mut weights: Vec<(usize, f32)> = (0..others.len())
            .filter_map(|other| {
                let found = if of_query {
                    weight(id, other)
                } else {
                    weight(other, id - queries)
                };
                Some((other, found.filter(|weight| *weight >= self.least)?))
            })
            .collect();
        weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut tooltip = Tooltip::new(&*token.text).line(match of_query {
            true => format!("query {id}, attends to"),
            false => format!("key {}, attended to by", id - queries),
        });
        for (other, weight) in weights.iter().take(TOLD) {
            tooltip = tooltip.line(format!("{weight:.2}  {}", others[*other].text));
        }
        if weights.len() > TOLD {
            tooltip = tooltip.line(format!("and {} more of at least {}", weights.len() - TOLD, self.least));
        }
        Some(tooltip)
    }
}
