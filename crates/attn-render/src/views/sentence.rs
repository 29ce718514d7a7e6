//! One sequence's attention as lines between its queries on the left and its keys on the right
//! (after Vig 2019, "A multiscale visualization of attention"; AttentionViz, Yeh et al. 2023, the sentence view).
//!
//! Up to about forty tokens every one has its word at full size; with more the rows draw closer, and beyond what
//! can be read only every second, third, ... word is written (all can be hovered, and zoomed into). Meant for up
//! to a few hundred tokens; [`SentenceWindow`](super::SentenceWindow) shows a part of longer ones.

use attn_core::HeadId;

use super::page::{Entry, Page};
use crate::{
    Block, Cells, Color, Colors, Curve, Error, Label, Layer, Motion, Panel, Path, Point, Rect, Region, Scene, Shape,
    Table, View,
    attention::check_weights,
    switch_off,
    text::{shorten, text_width},
};

/// One token of a [`Sentence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentenceToken<'a> {
    /// Its text.
    pub text: &'a str,
    /// Whether the model's format added it; drawn in grey.
    pub special: bool,
}

/// One sequence's attention in one head.
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
    /// `[query, key]`, row by row.
    pub attention: &'a [f32],
    /// The least weight that has a line. By default 0.01: fainter lines cannot be seen.
    pub least: f32,
}

/// Rows are at most so high, and words at most so large, in layout units.
const ROW: f32 = 21.0;
const WORD: f32 = 11.5;
/// Words are written from this size on.
const SMALLEST: f32 = 7.0;

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
        }
    }

    /// A size at which every word is written, up to about a hundred tokens.
    pub fn natural_size(&self) -> [f32; 2] {
        let rows = self.queries.len().max(self.keys.len()) as f32;
        [560.0, (rows * ROW).clamp(100.0, 1500.0) + 190.0]
    }

    /// The scene, laid out in `size` layout units. Tokens in [`View::hidden`] are switched off and the rest of the
    /// attention renormalised; the token in [`View::hover`], or else in [`View::selection`], is isolated. Ids count
    /// the queries, then the keys.
    ///
    /// # Errors
    /// [`Error::Empty`] without tokens, [`Error::Shape`] and [`Error::NotFinite`] for what does not fit together.
    pub fn scene(&self, view: &View, size: [f32; 2]) -> Result<Scene, Error> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        if queries == 0 || keys == 0 {
            return Err(Error::Empty { what: "the sentence" });
        }
        check_weights(self.attention, queries, keys)?;
        let colors = view.colors();
        let name = format!("Attention of head {}", self.head);
        let page = Page {
            title: if self.title.is_empty() { &name } else { self.title },
            subtitle: self.subtitle,
            legend: vec![
                Entry::Mark(Shape::Disc, colors.query, "queries (left)".into()),
                Entry::Mark(Shape::Diamond, colors.key, "keys (right)".into()),
                Entry::Fade(line_color(&colors), "attention weight".into()),
            ],
            caption: if self.caption.is_empty() {
                "Each line joins a query to a key it attends to; the more opaque, the larger the weight."
            } else {
                self.caption
            },
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            head: Some(self.head),
            ..Panel::page(content, Motion::Inside)
        });
        let columns = self.columns(content);
        let isolated = [view.hover, view.selection]
            .into_iter()
            .flatten()
            .map(|pick| pick.id as usize);
        let isolated = isolated.into_iter().find(|id| *id < queries + keys);
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| view.hidden.contains(&id));
        let left = switch_off(self.attention, queries, keys, hidden, |key| hidden(queries + key))?;

        let mut layer = Layer::default();
        let mut curves = Vec::new();
        // How much each token has to do with the isolated one.
        let mut related = vec![0.0_f32; queries + keys];
        for (row, &query) in left.queries.iter().enumerate() {
            for (column, &key) in left.keys.iter().enumerate() {
                let weight = left.weights[row * left.keys.len() + column];
                let ends = [query, queries + key];
                let touched = isolated.is_none_or(|id| ends.contains(&id));
                if isolated.is_some() && touched {
                    for end in ends {
                        related[end] = related[end].max(weight);
                    }
                }
                let opacity = if touched { weight } else { 0.06 * weight };
                if weight >= self.least && opacity >= 0.004 {
                    curves.push((
                        opacity,
                        columns.curve(panel, query, key, weight, line_color(&colors).alpha(opacity)),
                    ));
                }
            }
        }
        curves.sort_by(|a, b| a.0.total_cmp(&b.0));
        layer.curves.extend(curves.into_iter().map(|(_, curve)| curve));
        for (id, token) in self.queries.iter().chain(self.keys).enumerate() {
            let (key_side, row) = if id < queries {
                (false, id)
            } else {
                (true, id - queries)
            };
            let state = TokenState {
                hidden: hidden(id),
                isolated: isolated == Some(id),
                related: related[id],
            };
            columns.token(&mut layer, panel, id, token, key_side, row, state, &colors);
        }
        scene.layers.push(layer);
        Ok(scene)
    }

    /// The weights behind the lines, a row per pair: query and key with their places in the sentence. Hidden tokens are
    /// left out and the rest is renormalised, as in the picture.
    ///
    /// # Errors
    /// As [`scene`](Self::scene).
    pub fn table(&self, view: &View) -> Result<Table, Error> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| view.hidden.contains(&id));
        let left = switch_off(self.attention, queries, keys, hidden, |key| hidden(queries + key))?;
        let pairs = || {
            left.queries
                .iter()
                .flat_map(|q| left.keys.iter().map(move |k| (*q, *k)))
        };
        let mut table = Table::default();
        table.push(
            "query",
            Cells::Numbers(pairs().map(|(query, _)| query as f32).collect()),
        )?;
        table.push(
            "query_text",
            Cells::Texts(pairs().map(|(query, _)| self.queries[query].text.to_owned()).collect()),
        )?;
        table.push("key", Cells::Numbers(pairs().map(|(_, key)| key as f32).collect()))?;
        table.push(
            "key_text",
            Cells::Texts(pairs().map(|(_, key)| self.keys[key].text.to_owned()).collect()),
        )?;
        table.push("weight", Cells::Numbers(left.weights.clone()))?;
        Ok(table)
    }

    fn columns(&self, content: Rect) -> Columns {
        let rows = self.queries.len().max(self.keys.len()) as f32;
        let row = (content.height() / rows).clamp(0.5, ROW);
        let word = (0.66 * row).clamp(SMALLEST, WORD);
        let widest = |tokens: &[SentenceToken<'_>]| {
            tokens
                .iter()
                .map(|token| text_width(token.text, word, false))
                .fold(0.0, f32::max)
        };
        let most = 0.3 * content.width();
        let (left, right) = (
            widest(self.queries).clamp(24.0, most),
            widest(self.keys).clamp(24.0, most),
        );
        // The lines get as much as they need to be told apart, and the whole is centred.
        let lines = (content.width() - left - right - 4.0 * GAP).clamp(0.3 * content.width(), 330.0);
        let start = content.center()[0] - 0.5 * (left + right + lines);
        Columns {
            query_end: start + left,
            key_start: start + left + lines,
            width: [left, right],
            top: content.min[1] + 0.5 * (content.height() - row * rows).clamp(0.0, 12.0),
            row,
            word,
            // Words of neighbouring rows must not touch.
            every: (1.15 * word / row).ceil().max(1.0),
        }
    }
}

/// Between a word and its mark, and between the mark and the lines.
const GAP: f32 = 7.0;

pub(super) fn line_color(colors: &Colors) -> Color {
    colors.query.mix(colors.text, 0.55)
}

/// How a token is drawn.
pub(super) struct TokenState {
    pub(super) hidden: bool,
    pub(super) isolated: bool,
    /// How much it has to do with the isolated one, 0 to 1.
    pub(super) related: f32,
}

/// Where the two columns are.
pub(super) struct Columns {
    /// Right end of the queries' words, left end of the keys'.
    pub(super) query_end: f32,
    pub(super) key_start: f32,
    pub(super) width: [f32; 2],
    pub(super) top: f32,
    pub(super) row: f32,
    pub(super) word: f32,
    /// Every so many rows have their word written.
    pub(super) every: f32,
}

impl Columns {
    pub(super) fn middle(&self, row: usize) -> f32 {
        self.top + (row as f32 + 0.5) * self.row
    }

    /// Where a row's word is.
    pub(super) fn place(&self, key: bool, row: usize) -> Rect {
        let (width, top) = (self.width[usize::from(key)], self.middle(row) - 0.5 * self.row);
        let left = if key { self.key_start } else { self.query_end - width };
        Rect::new(left, top, width, self.row)
    }

    pub(super) fn curve(&self, panel: u16, query: usize, key: usize, weight: f32, color: Color) -> Curve {
        let (from, to) = (
            [self.query_end + 2.0 * GAP, self.middle(query)],
            [self.key_start - 2.0 * GAP, self.middle(key)],
        );
        let bend = 0.42 * (to[0] - from[0]);
        let path = Path::Cubic([from, [from[0] + bend, from[1]], [to[0] - bend, to[1]], to]);
        // At most a third of the row, so that neighbours stay apart.
        Curve {
            panel,
            path,
            color,
            width: (0.8 + 1.8 * weight).min(0.4 * self.row.max(2.0)),
        }
    }

    pub(super) fn token(
        &self,
        layer: &mut Layer,
        panel: u16,
        id: usize,
        token: &SentenceToken<'_>,
        key: bool,
        row: usize,
        state: TokenState,
        colors: &Colors,
    ) {
        let middle = self.middle(row);
        let kind = if key { colors.key } else { colors.query };
        let faint = if state.hidden { 0.3 } else { 1.0 };
        let width = self.width[usize::from(key)];
        let rect = self.place(key, row);
        let ground = if state.isolated { 0.35 } else { 0.45 * state.related };
        if ground > 0.004 {
            let padded = Rect {
                min: [rect.min[0] - 4.0, rect.min[1] + 0.5],
                max: [rect.max[0] + 4.0, rect.max[1] - 0.5],
            };
            layer
                .blocks
                .push(Block::filled(panel, padded, kind.alpha(ground)).rounded(3.0));
        }
        let at = if key {
            self.key_start - GAP
        } else {
            self.query_end + GAP
        };
        let shape = if key { Shape::Diamond } else { Shape::Disc };
        let size = (0.16 * self.row).clamp(0.3, 1.0);
        layer.points.push(
            Point::new(panel, [at, middle, 0.0], kind.alpha(faint), Point::UNPICKABLE)
                .shaped(shape)
                .sized(size),
        );
        if state.isolated || (row as f32 / self.every).fract() < 0.5 / self.every {
            let color = if token.special { colors.muted } else { colors.text };
            let (text_at, align) = if key { (rect.min[0], 0.0) } else { (rect.max[0], 1.0) };
            let text = shorten(token.text, self.word, false, width + 1.0);
            let mut label =
                Label::new(panel, [text_at, middle], text, self.word, color.alpha(faint)).aligned(align, 0.5);
            label.grows = 2.5;
            label.bold = state.isolated;
            layer.labels.push(label);
        }
        // Word and mark; up to the lines.
        let reach = match key {
            false => Rect {
                min: rect.min,
                max: [rect.max[0] + 2.0 * GAP, rect.max[1]],
            },
            true => Rect {
                min: [rect.min[0] - 2.0 * GAP, rect.min[1]],
                max: rect.max,
            },
        };
        layer.regions.push(Region {
            panel,
            rect: reach,
            id: u32::try_from(id).unwrap_or(u32::MAX),
        });
    }
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;
    use crate::{Pick, Picker, Projection, place_labels};

    const ID: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 0,
        head: 0,
    };

    fn tokens(count: usize) -> Vec<SentenceToken<'static>> {
        let words = ["[CLS]", "the", "incomprehensible", "cat", "sat", "##ting", "."];
        (0..count)
            .map(|i| SentenceToken {
                text: words[i % 7],
                special: i % 7 == 0,
            })
            .collect()
    }

    #[test]
    fn words_never_overlap_however_many() {
        for count in [1, 7, 30, 80, 300] {
            let tokens = tokens(count);
            let attention = vec![1.0 / count as f32; count * count];
            let sentence = Sentence::new(ID, &tokens, &tokens, &attention);
            for size in [[360.0, 420.0], sentence.natural_size()] {
                let scene = sentence.scene(&View::default(), size).unwrap();
                let labels = place_labels(&scene, &Projection::new(&scene, &View::default(), size)).remove(1);
                assert!(
                    count > 80 || size[1] < 500.0 || labels.len() == 2 * count,
                    "{count} {}",
                    labels.len()
                );
                for (i, a) in labels.iter().enumerate() {
                    assert!(
                        labels[..i]
                            .iter()
                            .all(|b| !a.rect.shrink(0.7).overlaps(&b.rect.shrink(0.7))),
                        "{count} {}",
                        a.text
                    );
                }
            }
        }
    }

    #[test]
    fn hiding_a_key_redistributes_its_weight() {
        let tokens = tokens(3);
        let attention = [0.5, 0.25, 0.25, 0.2, 0.4, 0.4, 0.0, 0.0, 1.0];
        let sentence = Sentence::new(ID, &tokens, &tokens, &attention);
        let mut view = View::default();
        view.toggle_hidden(3);
        let scene = sentence.scene(&view, [400.0; 2]).unwrap();
        let mut alphas: Vec<u8> = scene.layers[1].curves.iter().map(|curve| curve.color.0[3]).collect();
        alphas.sort_unstable();
        assert_eq!(alphas, [128, 128, 128, 128, 255], "two rows of one half each, one of 1");
    }

    #[test]
    fn the_table_has_the_weights_that_are_drawn() {
        let tokens = tokens(3);
        let attention = [0.5, 0.25, 0.25, 0.2, 0.4, 0.4, 0.0, 0.0, 1.0];
        let mut view = View::default();
        view.toggle_hidden(3);
        view.toggle_hidden(2);
        let csv = Sentence::new(ID, &tokens, &tokens, &attention)
            .table(&view)
            .unwrap()
            .to_csv();
        let expected = "query,query_text,key,key_text,weight\r\n0,[CLS],1,the,0.5\r\n0,[CLS],2,incomprehensible,0.5\r\n\
                        1,the,1,the,0.5\r\n1,the,2,incomprehensible,0.5\r\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn every_token_can_be_hovered_and_is_isolated() {
        let tokens = tokens(5);
        let attention = vec![0.2; 25];
        let sentence = Sentence::new(ID, &tokens, &tokens, &attention);
        let mut view = View::default();
        let scene = sentence.scene(&view, [500.0, 400.0]).unwrap();
        let projection = Projection::new(&scene, &view, [500.0, 400.0]);
        for region in &scene.layers[1].regions {
            let hit = Picker::default()
                .hit(&scene, &projection, region.rect.center(), 2.0)
                .unwrap();
            assert_eq!(hit.id, Some(region.id));
        }
        view.hover = Some(Pick { head: Some(ID), id: 6 });
        let curves = sentence.scene(&view, [500.0, 400.0]).unwrap().layers[1].curves.clone();
        assert_eq!(
            curves.iter().filter(|curve| curve.color.0[3] == 51).count(),
            5,
            "the five lines of key 1"
        );
        assert!(
            curves
                .iter()
                .filter(|curve| curve.color.0[3] != 51)
                .all(|curve| curve.color.0[3] <= 3)
        );
    }
}
