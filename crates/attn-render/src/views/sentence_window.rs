//! A part of a long sequence's attention: the tokens that fit at full size, and what they have to do with all others summed
//! up above and below. Reads only the rows and columns in sight, so that 4,000 tokens scroll as fast as forty.

use attn_core::HeadId;

use super::{
    page::{Entry, Page},
    sentence::{Columns, SentenceToken, TokenState, line_color},
};
use crate::{
    Block, Cells, Colors, Curve, Error, Label, Layer, Motion, Panel, Rect, Region, Scene, Shape, Table, View,
    error::{check_finite, check_len},
    text_width,
};

/// One long sequence's attention in one head, scrolled to [`View::first_token`].
///
/// ```
/// use attn_core::{Attention, HeadId};
/// use attn_render::{View, views::{SentenceToken, SentenceWindow}};
///
/// let tokens = vec![SentenceToken { text: "word", special: false }; 2_000];
/// let attention = vec![1.0 / 2_000.0; 2_000 * 2_000];
/// let window = SentenceWindow::new(HeadId::new(Attention::EncoderSelf, 0, 0), &tokens, &tokens, &attention);
/// let view = View { first_token: 1_200, ..View::default() };
/// let seen = window.tokens_in_sight(&view, [560.0, 800.0])?;
/// assert!(seen.start == 1_200 && seen.len() > 30);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SentenceWindow<'a> {
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
}

/// Height of a row, and the size of its word, in layout units.
const ROW: f32 = 17.0;
const WORD: f32 = 11.0;
/// Width of the strip that stands for the whole sequence, and the parts of it that can be clicked.
const STRIP: f32 = 12.0;
const PARTS: usize = 64;

impl<'a> SentenceWindow<'a> {
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
        }
    }

    /// The tokens that a layout of `size` shows, the same of queries and keys.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn tokens_in_sight(&self, view: &View, size: [f32; 2]) -> Result<std::ops::Range<usize>, Error> {
        // As in the scene: what is above and below decides how many rows are left.
        let name = format!("Attention of head {}", self.head);
        let (_, content) = self.page(&name, &view.colors()).start(size, &view.colors())?;
        Ok(self.window(view, content))
    }

    /// The scene, laid out in `size` layout units. Beside each token in sight lie its lines to others in sight; its attention
    /// to all tokens above and to all below is summed up in a line to the box above and to the one below, and from these boxes
    /// come the lines of the mean attention of all queries out of sight. The boxes and the strip at the left scroll when they
    /// are clicked. Hidden tokens, hovering and ids are as in [`Sentence`](super::Sentence).
    ///
    /// # Errors
    /// [`Error::Empty`] without tokens, [`Error::Shape`] and [`Error::NotFinite`] (as far as weights are read) for what does not
    /// fit together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        let colors = view.colors();
        let name = format!("Attention of head {}", self.head);
        let page = self.page(&name, &colors);
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let range = self.window(view, content);
        let sums = self.read(view, range.clone())?;
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            ..Panel::page(content, Motion::Inside)
        });
        let columns = self.columns(content, &range);
        let isolated = [view.hover, view.selection]
            .into_iter()
            .flatten()
            .map(|pick| pick.id as usize);
        let isolated = isolated
            .into_iter()
            .find(|id| *id < self.queries.len() + self.keys.len());
        let mut layer = Layer::default();
        let last = range.len() + 1;
        let mut related = [vec![0.0_f32; last + 1], vec![0.0_f32; last + 1]];
        let mut curves: Vec<(f32, Curve)> = Vec::new();
        // Rows 0 and last are the boxes above and below.
        for (query, row) in sums.chunks(last + 1).enumerate() {
            for (key, &weight) in row.iter().enumerate() {
                let touched = isolated.is_none_or(|id| {
                    let at = |place: usize| (1..last).contains(&place).then(|| range.start + place - 1);
                    at(query) == Some(id) || at(key).map(|key| self.queries.len() + key) == Some(id)
                });
                if isolated.is_some() && touched {
                    related[0][query] = related[0][query].max(weight);
                    related[1][key] = related[1][key].max(weight);
                }
                let opacity = if touched { weight } else { 0.06 * weight };
                if weight >= self.least && opacity >= 0.004 {
                    let color = line_color(&colors).alpha(opacity);
                    curves.push((opacity, columns.curve(panel, query, key, weight, color)));
                }
            }
        }
        curves.sort_by(|a, b| a.0.total_cmp(&b.0));
        layer.curves.extend(curves.into_iter().map(|(_, curve)| curve));
        let sides = [(false, self.queries, 0), (true, self.keys, self.queries.len())];
        for (key_side, tokens, before) in sides {
            for token in range.start..range.end.min(tokens.len()) {
                let (row, id) = (token - range.start + 1, before + token);
                let state = TokenState {
                    hidden: u32::try_from(id).is_ok_and(|id| view.hidden.contains(&id)),
                    isolated: isolated == Some(id),
                    related: related[usize::from(key_side)][row],
                };
                columns.token(&mut layer, panel, id, &tokens[token], key_side, row, state, &colors);
            }
            let beyond = [(0, range.start), (last, tokens.len().saturating_sub(range.end))];
            for (row, count) in beyond.into_iter().filter(|(_, count)| *count > 0) {
                let rect = columns.place(key_side, row);
                let arrow = if row == 0 { '↑' } else { '↓' };
                layer.blocks.push(
                    Block::filled(panel, rect.shrink(1.0), colors.panel)
                        .stroked(colors.frame, 0.8)
                        .rounded(3.0),
                );
                let text = format!("{arrow} {count} more");
                layer
                    .labels
                    .push(Label::new(panel, rect.center(), text, 9.5, colors.muted).aligned(0.5, 0.5));
                let to = if row == 0 {
                    range.start.saturating_sub(range.len())
                } else {
                    range.end
                };
                layer.regions.push(scroll(panel, rect, to));
            }
        }
        self.strip(&mut layer, panel, content, &range, &colors);
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The weights behind the lines, a row per pair of tokens in sight; hidden tokens are left out and the rest is
    /// renormalised, as in the picture.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, view: &View, size: [f32; 2]) -> Result<Table, Error> {
        let range = self.tokens_in_sight(view, size)?;
        let sums = self.read(view, range.clone())?;
        let width = range.len() + 2;
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| view.hidden.contains(&id));
        let pairs: Vec<(usize, usize)> = (range.start..range.end.min(self.queries.len()))
            .filter(|query| !hidden(*query))
            .flat_map(|query| (range.start..range.end.min(self.keys.len())).map(move |key| (query, key)))
            .filter(|(_, key)| !hidden(self.queries.len() + key))
            .collect();
        let text = |tokens: &[SentenceToken<'_>], at: usize| tokens[at].text.to_owned();
        let weight = |(query, key): &(usize, usize)| sums[(query - range.start + 1) * width + key - range.start + 1];
        let mut table = Table::default();
        table.push("query", Cells::numbers(pairs.iter().map(|(query, _)| *query)))?;
        table.push(
            "query_text",
            Cells::Texts(pairs.iter().map(|(query, _)| text(self.queries, *query)).collect()),
        )?;
        table.push("key", Cells::numbers(pairs.iter().map(|(_, key)| *key)))?;
        table.push(
            "key_text",
            Cells::Texts(pairs.iter().map(|(_, key)| text(self.keys, *key)).collect()),
        )?;
        table.push("weight", Cells::Numbers(pairs.iter().map(weight).collect()))?;
        Ok(table)
    }

    fn page<'n>(&'n self, name: &'n str, colors: &Colors) -> Page<'n> {
        Page {
            title: if self.title.is_empty() { name } else { self.title },
            subtitle: self.subtitle,
            legend: vec![
                Entry::Mark(Shape::Disc, colors.query, "queries (left)".into()),
                Entry::Mark(Shape::Diamond, colors.key, "keys (right)".into()),
                Entry::Fade(line_color(colors), "attention weight".into()),
            ],
            caption: if self.caption.is_empty() {
                "A part of a long text. Each line joins a query to a key it attends to; lines to the boxes sum up all tokens \
                 before and after, lines from them are the mean over those tokens."
            } else {
                self.caption
            },
        }
    }

    /// The tokens in sight of a content rectangle: as many as there are rows between the two boxes.
    fn window(&self, view: &View, content: Rect) -> std::ops::Range<usize> {
        let tokens = self.queries.len().max(self.keys.len());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let rows = ((content.height() / ROW) as usize)
            .saturating_sub(2)
            .clamp(1, tokens.max(1));
        let first = (view.first_token as usize).min(tokens.saturating_sub(rows));
        first..(first + rows).min(tokens)
    }

    /// `[query, key]` over the box above, the tokens in sight and the box below: from tokens their weights and sums of
    /// weights, from boxes the means of the tokens they stand for, 0 from box to box.
    fn read(&self, view: &View, range: std::ops::Range<usize>) -> Result<Vec<f32>, Error> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        if queries == 0 || keys == 0 {
            return Err(Error::Empty { what: "the sentence" });
        }
        check_len(
            "attention weights [queries, keys]",
            queries.saturating_mul(keys),
            self.attention.len(),
        )?;
        check_finite("least weight of a line", &[self.least])?;
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| view.hidden.contains(&id));
        let hidden_keys: Vec<usize> = (0..keys).filter(|key| hidden(queries + key)).collect();
        let width = range.len() + 2;
        let last = width - 1;
        let columns = range.start.min(keys)..range.end.min(keys);
        let mut sums = vec![0.0; width * width];
        let mut outside = [0_usize; 2];
        for query in (0..queries).filter(|query| !hidden(*query)) {
            let row = &self.attention[query * keys..(query + 1) * keys];
            // What hidden keys had goes to the others.
            let gone: f32 = hidden_keys.iter().map(|key| row[*key]).sum();
            let share = if gone < 1.0 - 1e-6 { 1.0 / (1.0 - gone) } else { 0.0 };
            let left = |key: usize| if hidden(queries + key) { 0.0 } else { row[key] * share };
            if range.contains(&query) {
                check_finite("attention weights", row)?;
                let into = &mut sums[(query - range.start + 1) * width..][..width];
                into[0] = (0..columns.start).map(left).sum();
                into[last] = (columns.end..keys).map(left).sum();
                for key in columns.clone() {
                    into[key - range.start + 1] = left(key);
                }
            } else {
                check_finite("attention weights", &row[columns.clone()])?;
                let below = usize::from(query >= range.end);
                outside[below] += 1;
                let into = &mut sums[below * last * width..][..width];
                for key in columns.clone() {
                    into[key - range.start + 1] += left(key);
                }
            }
        }
        for (row, count) in [(0, outside[0]), (last, outside[1])] {
            let mean = 1.0 / count.max(1) as f32;
            sums[row * width..(row + 1) * width]
                .iter_mut()
                .for_each(|sum| *sum *= mean);
        }
        Ok(sums)
    }

    fn columns(&self, content: Rect, range: &std::ops::Range<usize>) -> Columns {
        let widest = |tokens: &[SentenceToken<'_>]| {
            let seen = tokens.get(range.start.min(tokens.len())..range.end.min(tokens.len()));
            let widths = seen
                .unwrap_or_default()
                .iter()
                .map(|token| text_width(token.text, WORD, false));
            widths.fold(0.0, f32::max)
        };
        let room = content.width() - STRIP - 18.0;
        // Wide enough for the boxes, and steady while scrolling.
        let [left, right] = [self.queries, self.keys].map(|tokens| widest(tokens).max(90.0).min(0.3 * room));
        let start = content.min[0] + STRIP + 18.0;
        let lines = (room - left - right).clamp(0.3 * room, 330.0);
        let start = start + 0.5 * (room - left - right - lines).max(0.0);
        Columns {
            query_end: start + left,
            key_start: start + left + lines,
            width: [left, right],
            top: content.min[1],
            row: ROW,
            word: WORD,
            every: 1.0,
        }
    }

    /// The whole sequence, small: where the window is, and places to go to.
    fn strip(&self, layer: &mut Layer, panel: u16, content: Rect, range: &std::ops::Range<usize>, colors: &Colors) {
        let tokens = self.queries.len().max(self.keys.len());
        let rows = range.len() as f32 + 2.0;
        let strip = Rect::new(
            content.min[0],
            content.min[1],
            STRIP,
            (ROW * rows).min(content.height()),
        );
        let at = |token: usize| strip.min[1] + token as f32 / tokens as f32 * strip.height();
        layer.blocks.push(
            Block::filled(panel, strip, colors.panel)
                .stroked(colors.frame, 0.8)
                .rounded(3.0),
        );
        let top = at(range.start).min(strip.max[1] - 3.0);
        let seen = Rect::new(strip.min[0], top, STRIP, (at(range.end) - top).max(3.0));
        layer
            .blocks
            .push(Block::filled(panel, seen, colors.accent.alpha(0.75)).rounded(1.5));
        let parts = PARTS.min(tokens);
        layer.regions.extend((0..parts).map(|part| {
            let token = part * tokens / parts;
            let height = strip.height() / parts as f32;
            let rect = Rect::new(strip.min[0], strip.min[1] + part as f32 * height, STRIP, height);
            scroll(panel, rect, token.saturating_sub(range.len() / 2))
        }));
    }
}

/// A place whose click scrolls to a token.
fn scroll(panel: u16, rect: Rect, token: usize) -> Region {
    let token = u32::try_from(token).unwrap_or(0).min(u32::MAX - 1 - View::SCROLL_IDS);
    Region {
        panel,
        rect,
        id: View::SCROLL_IDS + token,
    }
}

#[cfg(test)]
mod tests;
