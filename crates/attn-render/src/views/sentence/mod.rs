//! One sequence's attention as lines between its queries on the left and its keys on the right
//! (after Vig 2019, "A multiscale visualization of attention"; AttentionViz, Yeh et al. 2023, the sentence view).
//!
//! Up to about forty tokens every one has its word at full size; with more the rows draw closer, and beyond what
//! can be read only every second, third, ... word is written (all can be hovered, and zoomed into). Of long texts the part
//! that fits at full size is shown, with the rest summed up.

mod columns;
mod whole;
mod window;

use std::ops::Range;

use attn_core::HeadId;

pub(super) use self::columns::line_color;
use super::{legend::Entry, page::Page};
use crate::{Cells, Colors, Error, Motion, Panel, Scene, Shape, Table, View};

/// One token of a [`Sentence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceToken<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether the model's format added it; drawn in grey.
    pub special: bool,
}

/// One sequence's attention in one head: all of it, or of a long text the part from [`View::first_token`] on.
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{View, views::{Sentence, SentenceToken}};
///
/// let tokens = vec![SentenceToken { text: "word", special: false }; 2_000];
/// let attention = vec![1.0 / 2_000.0; 2_000 * 2_000];
/// let sentence = Sentence::new(HeadId::new(Attention::EncoderSelf, 0, 0), &tokens, &tokens, &attention);
/// let view = View { first_token: 1_200, ..View::default() };
/// let seen = sentence.tokens_in_sight(&view, [560.0, 800.0])?;
/// assert!(seen.start == 1_200 && seen.len() > 30 && seen.len() < 60);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sentence<'a> {
    /// Which head.
    pub head: HeadId,
    /// In bold above everything; the head's name by default.
    pub title: &'a str,
    /// Under the title, in small print.
    pub subtitle: &'a str,
    /// Under the lines. The default says what is seen.
    pub caption: &'a str,
    /// Tokens that ask.
    pub queries: &'a [SentenceToken<'a>],
    /// Tokens that are attended to.
    pub keys: &'a [SentenceToken<'a>],
    /// `[query, key]`, row by row; of each row that is not all 0 the sum is 1.
    pub attention: &'a [f32],
    /// The least weight that has a line. By default 0.01: fainter lines cannot be seen.
    pub least: f32,
    /// Up to so many tokens are drawn at once, of longer texts a part. By default 200: then a row is still a few pixels high.
    pub whole_up_to: usize,
}

impl<'a> Sentence<'a> {
    /// The lines of one head.
    pub fn new(
        head: HeadId,
        queries: &'a [SentenceToken<'a>],
        keys: &'a [SentenceToken<'a>],
        attention: &'a [f32],
    ) -> Self {
        Self {
            head,
            title: "",
            subtitle: "",
            caption: "",
            queries,
            keys,
            attention,
            least: 0.01,
            whole_up_to: 200,
        }
    }

    /// A size at which every word is written, up to about a hundred tokens; that of a page for a part of a long text.
    pub fn natural_size(&self) -> [f32; 2] {
        if self.is_long() {
            return [640.0, 900.0];
        }
        [560.0, (self.tokens() as f32 * whole::ROW).clamp(100.0, 1500.0) + 190.0]
    }

    /// The tokens that a layout of `size` shows, the same of queries and keys.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn tokens_in_sight(&self, view: &View, size: [f32; 2]) -> Result<Range<usize>, Error> {
        if !self.is_long() {
            return Ok(0..self.tokens());
        }
        // As in the scene: what is above and below decides how many rows are left.
        let (name, colors) = (self.name(), view.colors());
        let (_, content) = self.page(&name, &colors).start(size, &colors)?;
        Ok(self.in_sight(view, content))
    }

    /// The scene, laid out in `size` layout units. Tokens in [`View::hidden`] are switched off and the rest of the
    /// attention renormalised; the token in [`View::hover`], or else in [`View::selection`], is isolated. Ids count
    /// the queries, then the keys.
    ///
    /// Of a long text, beside each token in sight lie its lines to others in sight; its attention to all tokens above and to all
    /// below is summed up in a line to the box above and to the one below, and from these boxes come the lines of the mean
    /// attention of all queries out of sight. The boxes and the strip at the left scroll when they are clicked.
    ///
    /// # Errors
    /// [`Error::Empty`] without tokens, [`Error::Shape`] and [`Error::NotFinite`] (as far as weights are read) for what does not
    /// fit together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        if self.queries.is_empty() || self.keys.is_empty() {
            return Err(Error::Empty { what: "the sentence" });
        }
        let (name, colors) = (self.name(), view.colors());
        let (mut scene, content) = self.page(&name, &colors).start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            ..Panel::page(content, Motion::Inside)
        });
        if self.is_long() {
            self.window(&mut scene, content, panel, view)?;
        } else {
            self.whole(&mut scene, content, panel, view)?;
        }
        Ok(scene)
    }

    /// The weights behind the lines of the same scene, a row per pair of tokens in sight: query and key with their places in the
    /// sequence. Hidden tokens are left out and the rest is renormalised, as in the picture.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, view: &View, size: [f32; 2]) -> Result<Table, Error> {
        let pairs = if self.is_long() {
            self.window_pairs(view, self.tokens_in_sight(view, size)?)?
        } else {
            self.whole_pairs(view)?
        };
        let text = |of: &dyn Fn(&(usize, usize, f32)) -> &'a str| {
            Cells::Texts(pairs.iter().map(|pair| of(pair).to_owned()).collect())
        };
        let mut table = Table::default();
        table.push("query", Cells::numbers(pairs.iter().map(|pair| pair.0)))?;
        table.push("query_text", text(&|pair| self.queries[pair.0].text))?;
        table.push("key", Cells::numbers(pairs.iter().map(|pair| pair.1)))?;
        table.push("key_text", text(&|pair| self.keys[pair.1].text))?;
        table.push("weight", Cells::Numbers(pairs.iter().map(|pair| pair.2).collect()))?;
        Ok(table)
    }

    fn tokens(&self) -> usize {
        self.queries.len().max(self.keys.len())
    }

    fn is_long(&self) -> bool {
        self.tokens() > self.whole_up_to
    }

    /// The token that is isolated.
    fn isolated(&self, view: &View) -> Option<usize> {
        let picks = [view.hover, view.selection].into_iter().flatten();
        let mut ids = picks.map(|pick| pick.id as usize);
        ids.find(|id| *id < self.queries.len() + self.keys.len())
    }

    fn name(&self) -> String {
        format!("Attention of head {}", self.head)
    }

    fn page<'n>(&'n self, name: &'n str, colors: &Colors) -> Page<'n> {
        let caption = match (self.caption, self.is_long()) {
            ("", false) => "Each line joins a query to a key it attends to; the more opaque, the larger the weight.",
            ("", true) => {
                "A part of a long text. Each line joins a query to a key it attends to; lines to the boxes sum up all tokens \
                 before and after, lines from them are the mean over those tokens."
            }
            (caption, _) => caption,
        };
        Page {
            title: if self.title.is_empty() { name } else { self.title },
            subtitle: self.subtitle,
            legend: vec![
                Entry::Mark(Shape::Disc, colors.query, "queries (left)".into()),
                Entry::Mark(Shape::Diamond, colors.key, "keys (right)".into()),
                Entry::Fade(line_color(colors), "attention weight".into()),
            ],
            caption,
        }
    }
}
