//! Where the states of a sequence come from, layer by layer: attention rollout as a graph (Abnar and Zuidema 2020, "Quantifying
//! attention flow in transformers", sections 2 and 3).

use std::sync::Arc;

use super::{
    kit::{LegendEntry, Page},
    sentence::{SentenceToken, line_color},
};
use crate::{
    Error, Plot, Result, Scene, Table, ViewState,
    attention::check_weights,
    color::Colors,
    geometry::Rect,
    scene::{Edge, Label, Layer, Motion, Panel, Point, Region, Shape},
    text::{shorten, text_width},
};

/// The states of a sequence in every layer, and what each takes from those below.
///
/// ```
/// use attn_render::{Plot, ViewState, plots::{Rollout, SentenceToken}};
///
/// let tokens = ["so", "it", "goes"].map(|text| SentenceToken::new(text, false));
/// // Each token takes half of itself and half of the first, in two layers.
/// let layer: std::sync::Arc<[f32]> = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.5, 0.0, 0.5].into();
/// let rollout = Rollout::new(tokens, vec![layer.clone(), layer]);
/// assert_eq!(rollout.shares(2)?, [0.75, 0.0, 0.25]); // of the last state of the third token
/// let scene = rollout.scene(&ViewState::default(), rollout.natural_size())?;
/// assert_eq!(scene.layers[1].points.len(), 9);
/// # Ok::<(), attn_render::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rollout {
    /// In bold above everything.
    pub title: String,
    /// Under the title, in small print; may be empty.
    pub subtitle: String,
    /// Under the graph. The default says what is seen.
    pub caption: String,
    /// The tokens.
    pub tokens: Arc<[SentenceToken]>,
    /// What each state of a layer takes from each state below it, `[token, token]` row by row, first layer first: attention averaged
    /// over heads and with the identity for the residual stream, rows summing to 1.
    pub layers: Vec<Arc<[f32]>>,
}

/// Font size of words and height of their rows, in layout units.
const WORD: f32 = 11.0;
const ROW: f32 = 18.0;
/// Longest words.
const WIDEST: f32 = 110.0;
/// Width of the column of numbers.
const NUMBERS: f32 = 34.0;
/// Width between layers that a picture has by itself.
const LAYER: f32 = 64.0;
/// Lines below this share of the strongest between the same two layers cannot be seen.
const LEAST: f32 = 0.03;
/// Radius of the largest states.
const RADIUS: f32 = 5.0;

impl Rollout {
    /// The graph of these layers.
    pub fn new(tokens: impl Into<Arc<[SentenceToken]>>, layers: Vec<Arc<[f32]>>) -> Self {
        Self {
            title: "Attention rollout".into(),
            subtitle: String::new(),
            caption: "States of every token after each layer, from left to right. Half of a state is the state before (level lines). \
                      Half comes from the tokens it attends to, mean over heads. Select a state to see its sources and its \
                      targets."
                .into(),
            tokens: tokens.into(),
            layers,
        }
    }

    /// How much of a token's last state comes from each token.
    ///
    /// # Errors
    /// [`Error::Empty`] without tokens or layers, [`Error::Shape`] for a token that is not there and for weights that do not fit,
    /// [`Error::NotFinite`].
    pub fn shares(&self, token: usize) -> Result<Vec<f32>> {
        self.check()?;
        if token >= self.tokens.len() {
            return Err(Error::Shape {
                what: "token",
                expected: format!("below {}", self.tokens.len()),
                found: token.to_string(),
            });
        }
        let flow = self.through(Some((self.layers.len(), token)));
        Ok(flow.masses[0].clone())
    }

    fn check(&self) -> Result<()> {
        if self.tokens.is_empty() || self.layers.is_empty() {
            return Err(Error::Empty { what: "the rollout" });
        }
        let tokens = self.tokens.len();
        for layer in &self.layers {
            check_weights(layer, tokens, tokens)?;
            let sums = layer.chunks(tokens).map(|row| row.iter().sum::<f32>());
            let negative = layer.iter().copied().find(|weight| *weight < 0.0);
            // What is more than a share would grow from layer to layer.
            if let Some(wrong) = negative.or_else(|| sums.into_iter().find(|sum| *sum > 1.0 + 1e-3)) {
                return Err(Error::Shape {
                    what: "what layers mix",
                    expected: "shares, of each row at most 1".into(),
                    found: wrong.to_string(),
                });
            }
        }
        Ok(())
    }

    /// The layer and token of the state that is chosen.
    fn chosen(&self, state: &ViewState) -> Option<(usize, usize)> {
        let pick = state.selection;
        let tokens = self.tokens.len();
        let states = tokens * (self.layers.len() + 1);
        let id = pick.map(|pick| pick.id as usize).filter(|id| *id < states)?;
        Some((id / tokens, id % tokens))
    }

    /// What goes through every state and every line.
    fn through(&self, chosen: Option<(usize, usize)>) -> Flow {
        let last = self.layers.len();
        match chosen {
            None => {
                let share = 1.0 / self.tokens.len() as f32;
                self.back((0..self.tokens.len()).map(|token| (last, token, share)).collect(), last)
            }
            Some((at, token)) => {
                let mut flow = self.back(vec![(at, token, 1.0)], at);
                // On from there: how much of the states above is of it.
                let tokens = self.tokens.len();
                for (layer, weights) in self.layers.iter().enumerate().skip(at) {
                    for to in 0..tokens {
                        for from in 0..tokens {
                            let part = weights[to * tokens + from] * flow.masses[layer][from];
                            flow.lines[layer][to * tokens + from] = part;
                            flow.masses[layer + 1][to] += part;
                        }
                    }
                }
                flow
            }
        }
    }

    /// What states of the layer `from` are made of.
    fn back(&self, starts: Vec<(usize, usize, f32)>, from: usize) -> Flow {
        let tokens = self.tokens.len();
        let mut flow = Flow {
            masses: vec![vec![0.0; tokens]; self.layers.len() + 1],
            lines: vec![vec![0.0; tokens * tokens]; self.layers.len()],
        };
        for (layer, token, mass) in starts {
            flow.masses[layer][token] = mass;
        }
        for layer in (0..from).rev() {
            for to in 0..tokens {
                let mass = flow.masses[layer + 1][to];
                for below in (0..tokens).filter(|_| mass > 0.0) {
                    let part = self.layers[layer][to * tokens + below] * mass;
                    flow.lines[layer][to * tokens + below] = part;
                    flow.masses[layer][below] += part;
                }
            }
        }
        flow
    }

    fn edges(&self, layer: &mut Layer, look: &Look) {
        let Look {
            panel,
            flow,
            places,
            colors,
            ..
        } = look;
        let tokens = self.tokens.len();
        for (index, lines) in flow.lines.iter().enumerate() {
            let most = lines.iter().copied().fold(0.0, f32::max);
            let mut drawn: Vec<(usize, f32)> = lines.iter().copied().enumerate().collect();
            drawn.retain(|(_, part)| *part > 0.0 && *part >= LEAST * most);
            // The strongest lie in front.
            drawn.sort_by(|a, b| a.1.total_cmp(&b.1));
            layer.edges.extend(drawn.into_iter().map(|(line, part)| {
                let (to, from) = (line / tokens, line % tokens);
                let strength = (part / most).sqrt();
                let color = if to == from { colors.muted } else { line_color(colors) };
                let [x, y] = places.state(index, from);
                let [to_x, to_y] = places.state(index + 1, to);
                Edge {
                    from: [x, y, 0.0],
                    to: [to_x, to_y, 0.0],
                    color: color.alpha(0.1 + 0.8 * strength),
                    panel: (*panel).into(),
                    width: [0.5 + 2.5 * strength; 2],
                    gap: [0.0; 2],
                }
            }));
        }
    }

    fn states(&self, layer: &mut Layer, look: &Look) {
        let Look {
            panel,
            chosen,
            flow,
            places,
            colors,
        } = look;
        for (index, masses) in flow.masses.iter().enumerate() {
            let most = masses.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
            for (token, mass) in masses.iter().enumerate() {
                let [x, y] = places.state(index, token);
                let share = (mass / most).sqrt();
                let here = *chosen == Some((index, token));
                let color = match () {
                    () if here => colors.accent,
                    () => colors.frame.mix(colors.query, share),
                };
                let largest = (0.5 * places.pitch / RADIUS).min(1.0);
                let size = largest * (0.25 + 0.75 * share);
                let point = Point::new(*panel, [x, y, 0.0], color, Point::UNPICKABLE);
                layer.points.push(point.sized(if here { largest } else { size }));
                layer.regions.push(Region::item(
                    *panel,
                    places.around(index, token),
                    index * self.tokens.len() + token,
                ));
            }
            let name = match index {
                0 => "tokens".to_owned(),
                _ => format!("L{}", index - 1),
            };
            let [x, _] = places.state(index, 0);
            if index == 0 || places.names_every(index) {
                let at = [x, places.content.min[1] + WORD];
                layer
                    .labels
                    .push(Label::new(*panel, at, name, 9.0, colors.muted).aligned(0.5, 1.0));
            }
        }
    }

    fn words(&self, layer: &mut Layer, look: &Look) {
        let Look {
            panel,
            chosen,
            flow,
            places,
            colors,
        } = look;
        let size = (0.75 * places.pitch).clamp(6.0, WORD);
        // Words that would touch are left out, every second, third, ...
        let every = (1.25 * size / places.pitch).ceil().max(1.0) as usize;
        let last = self.layers.len();
        for (token, SentenceToken { text, special }) in self.tokens.iter().enumerate() {
            for (index, gap, align) in [(0, -10.0, 1.0), (last, 10.0, 0.0)] {
                let [x, y] = places.state(index, token);
                let here = *chosen == Some((index, token));
                if !(here || token.is_multiple_of(every)) {
                    continue;
                }
                let color = if *special { colors.muted } else { colors.text };
                let word = shorten(text, size, here, places.words);
                let mut label = Label::new(*panel, [x + gap, y], word, size, color).aligned(align, 0.5);
                label.bold = here;
                label.grows = 2.0;
                layer.labels.push(label);
                let left = if index == 0 { x + gap - places.words } else { x + gap };
                layer.regions.push(Region::item(
                    *panel,
                    Rect::new(left, y - 0.5 * places.pitch, places.words, places.pitch),
                    index * self.tokens.len() + token,
                ));
            }
            let share = flow.masses[0][token];
            // Of a token itself there is nothing to say.
            if chosen.is_none_or(|(at, _)| at > 0) && token.is_multiple_of(every) {
                let at = [places.content.min[0] + NUMBERS - 6.0, places.state(0, token)[1]];
                let color = colors.muted.mix(colors.text, share.sqrt());
                let text = format!("{share:.2}");
                let label = Label::new(*panel, at, text, 0.9 * size, color);
                layer.labels.push(label.aligned(1.0, 0.5));
            }
        }
    }

    fn widest(&self) -> f32 {
        let width = |token: &SentenceToken| text_width(&token.text, WORD, false);
        self.tokens.iter().map(width).fold(20.0, f32::max).min(WIDEST)
    }
}

impl Plot for Rollout {
    /// The scene, laid out in `size` layout units. The id of token `t` after `l` layers is `l * tokens + t`. The state of
    /// [`ViewState::selection`] is followed back to the tokens it is made of and on to the states it goes into;
    /// without it, all last states are followed back.
    fn scene(&self, state: &ViewState, size: [f32; 2]) -> Result<Scene> {
        self.check()?;
        let colors = state.colors();
        let page = Page {
            title: &self.title,
            subtitle: &self.subtitle,
            legend: vec![
                LegendEntry::Mark(Shape::Disc, colors.query, "states, by their share".into()),
                LegendEntry::Fade(line_color(&colors), "attention".into()),
                LegendEntry::Fade(colors.muted, "the state before".into()),
            ],
            caption: &self.caption,
        };
        let (mut scene, content) = page.start(size, &colors)?;
        scene.stage = content;
        let panel = scene.add_panel(Panel {
            title: self.title.clone(),
            point_radius: RADIUS,
            ..Panel::page(content, Motion::Inside)
        });
        let chosen = self.chosen(state);
        let look = Look {
            panel,
            chosen,
            flow: self.through(chosen),
            places: Places::new(content, self.tokens.len(), self.layers.len(), self.widest()),
            colors,
        };
        let mut layer = Layer::default();
        self.edges(&mut layer, &look);
        self.states(&mut layer, &look);
        self.words(&mut layer, &look);
        scene.layers.push(layer);
        Ok(scene)
    }

    /// What every state is made of: a row per layer, token and token it comes from, with the share that comes through all
    /// layers up to there. Shares below a thousandth are left out.
    fn table(&self, _: &ViewState) -> Result<Table> {
        self.check()?;
        let mut rows = Vec::new();
        for layer in 1..=self.layers.len() {
            for token in 0..self.tokens.len() {
                let flow = self.back(vec![(layer, token, 1.0)], layer);
                let shares = flow.masses[0].iter().copied().enumerate();
                let shares = shares.filter(|(_, share)| *share >= 1e-3);
                rows.extend(shares.map(|(from, share)| (layer, token, from, share)));
            }
        }
        let mut table = Table::new(rows.len());
        table
            .numbers("layers", |row| rows[row].0)
            .numbers("token", |row| rows[row].1)
            .texts("token_text", |row| &*self.tokens[rows[row].1].text)
            .numbers("from", |row| rows[row].2)
            .texts("from_text", |row| &*self.tokens[rows[row].2].text)
            .numbers("share", |row| rows[row].3);
        Ok(table)
    }

    /// A size at which every word is written.
    fn natural_size(&self) -> [f32; 2] {
        let width = 2.0 * self.widest() + NUMBERS + LAYER * self.layers.len() as f32 + 90.0;
        let height = ROW * self.tokens.len() as f32 + 190.0;
        [width.clamp(480.0, 2_400.0).ceil(), height.clamp(260.0, 2_400.0).ceil()]
    }
}

/// What one drawing rests on.
struct Look {
    panel: u16,
    /// The layer and token of the state that is followed.
    chosen: Option<(usize, usize)>,
    flow: Flow,
    places: Places,
    colors: Colors,
}

/// What is followed: how much of it every state holds, `[layer][token]`, and every line carries, `[layer][to, from]`.
struct Flow {
    masses: Vec<Vec<f32>>,
    lines: Vec<Vec<f32>>,
}

/// Where states and words are.
struct Places {
    content: Rect,
    /// From row to row, from layer to layer.
    pitch: f32,
    step: f32,
    /// The states of the tokens.
    left: f32,
    top: f32,
    /// Room for a word.
    words: f32,
}

impl Places {
    fn new(content: Rect, tokens: usize, layers: usize, widest: f32) -> Self {
        let words = widest.min(0.22 * content.width());
        let heads = 2.0 * WORD;
        let pitch = ((content.height() - heads) / tokens as f32).clamp(1.0, 1.6 * ROW);
        let left = content.min[0] + NUMBERS + words + 10.0;
        let right = content.max[0] - words - 10.0;
        Self {
            content,
            pitch,
            step: ((right - left) / layers as f32).max(1.0),
            left,
            top: content.min[1] + heads,
            words,
        }
    }

    fn state(&self, layer: usize, token: usize) -> [f32; 2] {
        [
            self.left + layer as f32 * self.step,
            self.top + (token as f32 + 0.5) * self.pitch,
        ]
    }

    fn around(&self, layer: usize, token: usize) -> Rect {
        let [x, y] = self.state(layer, token);
        let width = 0.5 * self.step;
        Rect::new(x - 0.5 * width, y - 0.5 * self.pitch, width, self.pitch)
    }

    /// Names of layers that would touch are left out; that of the last is written.
    fn names_every(&self, layer: usize) -> bool {
        let every = (22.0 / self.step).ceil().max(1.0) as usize;
        layer.is_multiple_of(every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pick;

    fn tokens() -> [SentenceToken; 3] {
        ["a", "b", "c"].map(|text| SentenceToken::new(text, false))
    }

    fn rollout(layers: &[&[f32]]) -> Rollout {
        Rollout::new(tokens(), layers.iter().map(|layer| (*layer).into()).collect())
    }

    /// b takes half from a; then c takes half from b.
    const FIRST: [f32; 9] = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0];
    const SECOND: [f32; 9] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.5];

    #[test]
    fn a_state_is_made_of_what_its_paths_carry() {
        let rollout = rollout(&[&FIRST, &SECOND]);
        assert_eq!(rollout.shares(2).unwrap(), [0.25, 0.25, 0.5]);
        assert_eq!(rollout.shares(0).unwrap(), [1.0, 0.0, 0.0]);
        // On from b after the first layer: all of b, half of c.
        let flow = rollout.through(Some((1, 1)));
        assert_eq!(flow.masses, [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.5]]);
        assert_eq!((flow.lines[0][3], flow.lines[1][7]), (0.5, 0.5));
        // All together: the columns of the product, over three.
        let all = rollout.through(None).masses[0].clone();
        for (found, expected) in all.iter().zip([1.75, 0.75, 0.5]) {
            assert!((found - expected / 3.0).abs() < 1e-6);
        }
        let table = rollout.table(&ViewState::default()).unwrap().to_csv();
        assert!(table.contains("2,2,c,0,a,0.25"), "{table}");
    }

    #[test]
    fn the_chosen_state_alone_is_followed() {
        let rollout = rollout(&[&FIRST, &SECOND]);
        let size = rollout.natural_size();
        let lines = |state: &ViewState| rollout.scene(state, size).unwrap().layers[1].edges.len();
        assert_eq!(lines(&ViewState::default()), 8);
        // c after both layers: from itself and b, those from themselves, and b from a.
        let pick = Pick { head: None, id: 8 };
        let state = ViewState {
            selection: Some(pick),
            ..ViewState::default()
        };
        assert_eq!(lines(&state), 5);
        let scene = rollout.scene(&state, size).unwrap();
        let mut regions = scene.layers[1].regions.iter();
        let region = regions.find(|region| region.id() == Some(8)).unwrap();
        assert!(region.rect.width() > 4.0 && scene.stage.contains(region.rect.center()));
    }

    #[test]
    fn bad_data_is_refused() {
        let scene = |rollout: Rollout| rollout.scene(&ViewState::default(), [400.0, 300.0]);
        assert!(matches!(scene(rollout(&[])), Err(Error::Empty { .. })));
        assert!(matches!(
            scene(Rollout::new([], vec![[].into()])),
            Err(Error::Empty { .. })
        ));
        assert!(matches!(scene(rollout(&[&[1.0; 4]])), Err(Error::Shape { .. })));
        let mut nan = FIRST;
        nan[4] = f32::NAN;
        assert!(matches!(scene(rollout(&[&nan])), Err(Error::NotFinite { .. })));
        assert!(matches!(scene(rollout(&[&[0.5; 9]])), Err(Error::Shape { .. })));
        assert!(matches!(rollout(&[&FIRST]).shares(3), Err(Error::Shape { .. })));
    }
}
