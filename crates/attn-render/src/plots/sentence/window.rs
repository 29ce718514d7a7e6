//! A part of a long sequence: the tokens that fit at full size, and what they have to do with all others summed up above
//! and below. Reads only the rows and columns in sight, so that 4,000 tokens scroll as fast as forty.

use std::ops::Range;

use super::{
    Sentence, SentenceToken,
    columns::{Columns, TokenState, line_color, widest},
};
use crate::{
    Result, Scene, Target, ViewState,
    color::Colors,
    error::{check_finite, check_len},
    geometry::Rect,
    scene::{Block, Curve, Label, Layer, Region, Rows},
};

/// Height of a row, and the size of its word, in layout units.
const ROW: f32 = 17.0;
const WORD: f32 = 11.0;
/// Width of the strip that stands for the whole sequence, and the parts of it that can be clicked.
const STRIP: f32 = 12.0;
const PARTS: usize = 64;

impl Sentence {
    /// Draws what is in sight into a page whose content is `content`.
    pub(super) fn window(&self, scene: &mut Scene, content: Rect, panel: u16, state: &ViewState) -> Result<()> {
        let colors = state.colors();
        let range = self.in_sight(state, content);
        let tokens = self.queries.len().max(self.keys.len());
        scene.panels[usize::from(panel)].rows = Some(Rows {
            height: ROW,
            last: u32::try_from(tokens.saturating_sub(range.len())).unwrap_or(u32::MAX),
        });
        let sums = self.read(state, range.clone())?;
        let columns = self.window_columns(content, &range);
        let isolated = self.isolated(state);
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
        let sides = [(false, &self.queries, 0), (true, &self.keys, self.queries.len())];
        for (key_side, tokens, before) in sides {
            for token in range.start..range.end.min(tokens.len()) {
                let (row, id) = (token - range.start + 1, before + token);
                let state = TokenState {
                    hidden: u32::try_from(id).is_ok_and(|id| state.hidden.contains(&id)),
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
        Ok(())
    }

    /// Every pair of tokens in sight that is not switched off, and its weight.
    pub(super) fn window_pairs(&self, state: &ViewState, range: Range<usize>) -> Result<Vec<(usize, usize, f32)>> {
        let sums = self.read(state, range.clone())?;
        let width = range.len() + 2;
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| state.hidden.contains(&id));
        let weight = |query: usize, key: usize| sums[(query - range.start + 1) * width + key - range.start + 1];
        let queries = range.start..range.end.min(self.queries.len());
        let keys = range.start..range.end.min(self.keys.len());
        Ok(queries
            .filter(|query| !hidden(*query))
            .flat_map(|query| keys.clone().map(move |key| (query, key)))
            .filter(|(_, key)| !hidden(self.queries.len() + key))
            .map(|(query, key)| (query, key, weight(query, key)))
            .collect())
    }

    /// The tokens in sight of a content rectangle: as many as there are rows between the two boxes.
    pub(super) fn in_sight(&self, state: &ViewState, content: Rect) -> Range<usize> {
        let tokens = self.queries.len().max(self.keys.len());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let rows = ((content.height() / ROW) as usize)
            .saturating_sub(2)
            .clamp(1, tokens.max(1));
        let first = (state.first_token as usize).min(tokens.saturating_sub(rows));
        first..(first + rows).min(tokens)
    }

    /// `[query, key]` over the box above, the tokens in sight and the box below: from tokens their weights and sums of
    /// weights, from boxes the means of the tokens they stand for, 0 from box to box.
    fn read(&self, state: &ViewState, range: Range<usize>) -> Result<Vec<f32>> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        check_len(
            "attention weights [queries, keys]",
            queries.saturating_mul(keys),
            self.attention.len(),
        )?;
        check_finite("least weight of a line", &[self.least])?;
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| state.hidden.contains(&id));
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

    fn window_columns(&self, content: Rect, range: &Range<usize>) -> Columns {
        let seen = |tokens: &[SentenceToken]| {
            let seen = tokens.get(range.start.min(tokens.len())..range.end.min(tokens.len()));
            widest(seen.unwrap_or_default(), WORD)
        };
        let room = content.width() - STRIP - 18.0;
        // Wide enough for the boxes, and steady while scrolling.
        let [left, right] = [&self.queries, &self.keys].map(|tokens| seen(tokens).max(90.0).min(0.3 * room));
        let start = content.min[0] + STRIP + 18.0;
        let lines = (room - left - right).max(0.3 * room).min(330.0);
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
    fn strip(&self, layer: &mut Layer, panel: u16, content: Rect, range: &Range<usize>, colors: &Colors) {
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
    Region {
        panel,
        rect,
        target: Target::ScrollTo(u32::try_from(token).unwrap_or(u32::MAX)),
    }
}

#[cfg(test)]
mod tests;
