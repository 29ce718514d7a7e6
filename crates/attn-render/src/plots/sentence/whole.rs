//! All tokens of a sequence at once.

use super::{
    Sentence,
    columns::{Columns, GAP, TokenState, line_color, widest},
};
use crate::{
    Result, Scene, ViewState,
    attention::{check_weights, switch_off},
    geometry::Rect,
    scene::Layer,
};

/// Rows are at most so high, and words at most so large, in layout units.
pub(super) const ROW: f32 = 21.0;
const WORD: f32 = 11.5;
/// Words are written from this size on.
const SMALLEST: f32 = 7.0;

impl Sentence {
    /// Draws it into a page whose content is `content`.
    pub(super) fn whole(&self, scene: &mut Scene, content: Rect, panel: u16, state: &ViewState) -> Result<()> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        check_weights(&self.attention, queries, keys)?;
        let colors = state.colors();
        let columns = self.whole_columns(content);
        let isolated = self.isolated(state);
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| state.hidden.contains(&id));
        let left = switch_off(&self.attention, queries, keys, hidden, |key| hidden(queries + key))?;

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
        for (id, token) in self.queries.iter().chain(self.keys.iter()).enumerate() {
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
        Ok(())
    }

    /// Every pair of tokens that is not switched off, and its weight.
    pub(super) fn whole_pairs(&self, state: &ViewState) -> Result<Vec<(usize, usize, f32)>> {
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let hidden = |id: usize| u32::try_from(id).is_ok_and(|id| state.hidden.contains(&id));
        let left = switch_off(&self.attention, queries, keys, hidden, |key| hidden(queries + key))?;
        let pairs = left
            .queries
            .iter()
            .flat_map(|q| left.keys.iter().map(move |k| (*q, *k)));
        Ok(pairs
            .zip(&left.weights)
            .map(|((query, key), weight)| (query, key, *weight))
            .collect())
    }

    fn whole_columns(&self, content: Rect) -> Columns {
        let rows = self.queries.len().max(self.keys.len()) as f32;
        let row = (content.height() / rows).clamp(0.5, ROW);
        let word = (0.66 * row).clamp(SMALLEST, WORD);
        let most = 0.3 * content.width();
        let (left, right) = (
            widest(&self.queries, word).max(24.0).min(most),
            widest(&self.keys, word).max(24.0).min(most),
        );
        // The lines get as much as they need to be told apart, and the whole is centered.
        let lines = (content.width() - left - right - 4.0 * GAP)
            .max(0.3 * content.width())
            .min(330.0);
        let start = content.center()[0] - 0.5 * (left + right + lines);
        Columns {
            query_end: start + left,
            key_start: start + left + lines,
            width: [left, right],
            top: content.min[1] + 0.5 * (content.height() - row * rows).clamp(0.0, 12.0),
            row,
            word,
            // Words of neighboring rows must not touch.
            every: (1.15 * word / row).ceil().max(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use attn_core::{Attention, HeadId};

    use super::{super::SentenceToken, *};
    use crate::{Pick, Plot, labels::place_labels, pick::Picker, plots::TokenOrigin, projection::Projection};

    const ID: HeadId = HeadId {
        attention: Attention::EncoderSelf,
        layer: 0,
        head: 0,
    };

    fn tokens(count: usize) -> Vec<SentenceToken> {
        let words = ["[CLS]", "the", "incomprehensible", "cat", "sat", "##ting", "."];
        (0..count)
            .map(|i| SentenceToken::new(words[i % 7], i % 7 == 0))
            .collect()
    }

    #[test]
    fn words_never_overlap_however_many() {
        for count in [1, 7, 30, 80, 300] {
            let tokens = tokens(count);
            let attention = vec![1.0 / count as f32; count * count];
            let mut sentence = Sentence::new(ID, tokens.clone(), tokens, attention);
            sentence.whole_up_to = 300;
            for size in [[360.0, 420.0], sentence.natural_size()] {
                let scene = sentence.scene(&ViewState::default(), size).unwrap();
                let labels = place_labels(&scene, &Projection::new(&scene, &ViewState::default(), size)).remove(1);
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
        let sentence = Sentence::new(ID, tokens.clone(), tokens, attention);
        let mut state = ViewState::default();
        state.toggle_hidden(3);
        let scene = sentence.scene(&state, [400.0; 2]).unwrap();
        let mut alphas: Vec<u8> = scene.layers[1].curves.iter().map(|curve| curve.color.0[3]).collect();
        alphas.sort_unstable();
        assert_eq!(alphas, [128, 128, 128, 128, 255], "two rows of one half each, one of 1");
    }

    #[test]
    fn the_table_has_the_weights_that_are_drawn() {
        let tokens = tokens(3);
        let attention = [0.5, 0.25, 0.25, 0.2, 0.4, 0.4, 0.0, 0.0, 1.0];
        let mut state = ViewState::default();
        state.toggle_hidden(3);
        state.toggle_hidden(2);
        let csv = Sentence::new(ID, tokens.clone(), tokens, attention)
            .table_in(&state, [400.0; 2])
            .unwrap()
            .to_csv();
        let expected = "query,query_text,key,key_text,weight\r\n0,[CLS],1,the,0.5\r\n0,[CLS],2,incomprehensible,0.5\r\n\
                        1,the,1,the,0.5\r\n1,the,2,incomprehensible,0.5\r\n";
        assert_eq!(csv, expected);
        // With the tokens of the data, rows can be joined with it.
        let tokens = self::tokens(2);
        let origins: Arc<[TokenOrigin]> = [Some(7), None]
            .into_iter()
            .zip(0..)
            .map(|(token, position)| TokenOrigin {
                sequence: "line 4".into(),
                position,
                token,
            })
            .collect();
        let sentence = Sentence {
            origins: [origins.clone(), origins],
            ..Sentence::new(ID, tokens.clone(), tokens, [0.0, 1.0, 1.0, 0.0])
        };
        let csv = sentence.table(&ViewState::default()).unwrap().to_csv();
        let expected = "query,query_text,key,key_text,weight,sequence,query_token_id,key_token_id\r\n\
                        0,[CLS],0,[CLS],0,line 4,7,7\r\n0,[CLS],1,the,1,line 4,7,\r\n\
                        1,the,0,[CLS],1,line 4,,7\r\n1,the,1,the,0,line 4,,\r\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn every_token_can_be_hit_and_is_isolated() {
        let tokens = tokens(5);
        let attention = vec![0.2; 25];
        let sentence = Sentence::new(ID, tokens.clone(), tokens, attention);
        let mut state = ViewState::default();
        let scene = sentence.scene(&state, [500.0, 400.0]).unwrap();
        let projection = Projection::new(&scene, &state, [500.0, 400.0]);
        for region in &scene.layers[1].regions {
            let hit = Picker::default()
                .hit(&scene, &projection, region.rect.center(), 2.0)
                .unwrap();
            assert_eq!(hit.id(), region.id());
        }
        state.selection = Some(Pick { head: Some(ID), id: 6 });
        let curves = sentence.scene(&state, [500.0, 400.0]).unwrap().layers[1].curves.clone();
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
