//! Plots of states, of repairs and of two runs side by side.

use attn_core::{Attention, Progress, ndarray::Array2};
use attn_models::Point;
use attn_project::pca::Components;
use attn_render::plots::{Coordinates, HeatTable, Pictograms, Texts, Trajectories, Trajectory};

use super::{
    Aligned, Blame, Comparison, Decoding, HeadChoice, Neighborhood, Shift, StateKind, States, TokenRow,
    position::PositionAxis,
};
use crate::Error;

/// The states of some runs, a row each, scaled to length 1.
struct Gathered {
    points: Array2<f32>,
    labels: Vec<String>,
    paths: Vec<Trajectory>,
    /// Where each stands in its text: 0 for the first token, 1 for the last.
    positions: Vec<f32>,
    subtitle: String,
}

impl Gathered {
    fn drawn(self, title: &str, caption: &str, places: Vec<f32>) -> Result<Trajectories, Error> {
        Ok(Trajectories {
            title: title.into(),
            subtitle: self.subtitle,
            caption: caption.into(),
            labels: self.labels.into(),
            ..Trajectories::new(Coordinates::new(places, 2)?, self.paths)
        })
    }
}

impl Decoding {
    /// Paths of encoder, decoder and context states: on the map of an index where the run has its
    /// [neighborhood](Self::neighborhood), so that a state of another run is drawn where it belongs and nothing moves; else on the
    /// two principal components of all of them. `None` with fewer than three states.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], those of the projection.
    pub fn trajectories(&self, hypothesis: usize, progress: &dyn Progress) -> Result<Option<Trajectories>, Error> {
        Self::merged_trajectories(&[("", self, hypothesis)], progress)
    }

    /// The same of several runs in one space; each run has a name, which stands before those of its paths. States of the first run
    /// come first.
    ///
    /// # Errors
    /// As [`trajectories`](Self::trajectories); [`Error::Shape`] for states of another width.
    pub fn merged_trajectories(
        runs: &[(&str, &Self, usize)],
        progress: &dyn Progress,
    ) -> Result<Option<Trajectories>, Error> {
        if let Some(map) = Self::placed_trajectories(runs)? {
            return Ok(Some(map));
        }
        let Some(states) = Self::gathered(runs)? else {
            return Ok(None);
        };
        let places = Components::fit(states.points.view(), 2, progress)?.transform(states.points.view())?;
        let places = places.iter().copied().collect();
        let caption = "Each line joins the states of one kind, scaled to length 1, token by token, and widens from first to last.";
        Ok(Some(states.drawn(
            "States on their two principal components",
            caption,
            places,
        )?))
    }

    /// The same states by position: across stands the position that ridge regression predicts from a state, 0 for the first token of
    /// a text and 1 for the last, up the first principal component of what the axis of positions leaves. What a path is beyond the
    /// order of its tokens lies in the height. `None` with fewer than three states, or where they tell nothing of positions.
    ///
    /// # Errors
    /// As [`merged_trajectories`](Self::merged_trajectories).
    pub fn trajectories_by_position(
        runs: &[(&str, &Self, usize)],
        progress: &dyn Progress,
    ) -> Result<Option<Trajectories>, Error> {
        let Some(states) = Self::gathered(runs)? else {
            return Ok(None);
        };
        let Some(axis) = PositionAxis::fit(states.points.view(), &states.positions) else {
            return Ok(None);
        };
        let (along, rest) = axis.split(states.points.view());
        let up = Components::fit(rest.view(), 1, progress)?.transform(rest.view())?;
        let places = along.iter().zip(&up).flat_map(|(&along, &up)| [along, up]).collect();
        let caption = "Across: the position in the text that a state tells (ridge regression). Up: the first principal component of what \
                       is left. Each line joins the states of one kind, token by token, and widens from first to last.";
        Ok(Some(states.drawn("States by position", caption, places)?))
    }

    /// The states of some runs; `None` with fewer than three.
    fn gathered(runs: &[(&str, &Self, usize)]) -> Result<Option<Gathered>, Error> {
        let Some(&(_, own, hypothesis)) = runs.first() else {
            return Ok(None);
        };
        let width = own.hypothesis(hypothesis)?.decoder_states.width;
        let (mut values, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        let mut positions = Vec::new();
        for &(run, decoding, hypothesis) in runs {
            let found = decoding.hypothesis(hypothesis)?;
            if found.decoder_states.width != width {
                return Err(Error::Shape {
                    what: "states of runs in one space",
                    expected: width.to_string(),
                    found: found.decoder_states.width.to_string(),
                });
            }
            let first = decoding.prompt_tokens().saturating_sub(1);
            let parts: [(&str, &States, usize, &[String]); 3] = [
                ("encoder", &decoding.encoder_states, 0, &decoding.source.tokens),
                ("decoder", &found.decoder_states, first, &found.row.tokens),
                ("context", &found.context_states, first, &found.row.tokens),
            ];
            for (name, states, from, tokens) in parts {
                let begin = labels.len();
                for (at, token) in tokens.iter().enumerate() {
                    let row = states.row(from + at);
                    if states.width == width && !row.is_empty() {
                        // Kinds of states differ in length by far more than states of a kind.
                        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                        values.extend(row.iter().map(|x| x / length));
                        labels.push(token.clone());
                        positions.push(at as f32 / tokens.len().saturating_sub(1).max(1) as f32);
                    }
                }
                let points: Vec<u32> = (begin..labels.len()).filter_map(|at| u32::try_from(at).ok()).collect();
                if !points.is_empty() {
                    paths.push(Trajectory {
                        name: format!("{run} {name}").trim().to_owned(),
                        points: points.into(),
                    });
                }
            }
        }
        let count = labels.len();
        if count < 3 || width < 2 {
            return Ok(None);
        }
        let points = Array2::from_shape_vec((count, width), values).map_err(|error| Error::Shape {
            what: "states",
            expected: format!("[{count}, {width}]"),
            found: error.to_string(),
        })?;
        let point = match own.encoder_decoder {
            true => "last states of encoder and decoder, output of the last cross-attention",
            false => "last states",
        };
        let headlines: Vec<String> = runs
            .iter()
            .map(|(_, run, hypothesis)| run.headline(*hypothesis))
            .collect();
        Ok(Some(Gathered {
            points,
            labels,
            paths,
            positions,
            subtitle: format!("{}; {point}", headlines.join(", ")),
        }))
    }

    /// The same on the map of the index in which all runs have their neighbors; `None` if there is none.
    fn placed_trajectories(runs: &[(&str, &Self, usize)]) -> Result<Option<Trajectories>, Error> {
        let mut first: Option<&Neighborhood> = None;
        let (mut places, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for &(run, decoding, hypothesis) in runs {
            let found = decoding.hypothesis(hypothesis)?;
            let near = decoding
                .neighborhood
                .as_ref()
                .filter(|near| near.hypothesis == hypothesis);
            let Some(near) = near else { return Ok(None) };
            let same = |own: &&Neighborhood| own.index == near.index && own.map == near.map;
            if near.map.is_none() || first.as_ref().is_some_and(|first| !same(first)) {
                return Ok(None);
            }
            first = first.or(Some(near));
            for kind in StateKind::ALL {
                let row = if kind == StateKind::Encoder {
                    &decoding.source
                } else {
                    &found.row
                };
                let begin = labels.len();
                for own in near.states.iter().filter(|own| own.kind == kind) {
                    let Some(place) = own.place else { return Ok(None) };
                    places.extend(place);
                    labels.push(row.tokens.get(own.token).cloned().unwrap_or_default());
                }
                let points: Vec<u32> = (begin..labels.len()).filter_map(|at| u32::try_from(at).ok()).collect();
                if !points.is_empty() {
                    paths.push(Trajectory {
                        name: format!("{run} {kind}").trim().to_owned(),
                        points: points.into(),
                    });
                }
            }
        }
        let Some(near) = first.filter(|_| !labels.is_empty()) else {
            return Ok(None);
        };
        for (kind, neighbor) in near.drawn() {
            let pair = near.pairs.get(neighbor.pair);
            let (source, target) = pair.map_or(("", ""), |pair| (&pair.source, &pair.target));
            let token = near.token(kind, neighbor, 0).unwrap_or_default();
            places.extend(neighbor.place.unwrap_or_default());
            labels.push(format!("{source} → {target}: {token} (token {})", neighbor.token + 1));
        }
        let background = near.background.len();
        places.extend(near.background.iter().flatten());
        labels.resize(labels.len() + background, String::new());
        let headlines: Vec<String> = runs.iter().map(|(_, run, at)| run.headline(*at)).collect();
        let (method, fitted) = near.map.clone().unwrap_or_default();
        Ok(Some(Trajectories {
            title: "States on the map of the index".into(),
            subtitle: format!("{}; {method} of {fitted} of {} states", headlines.join(", "), near.size.1),
            caption: "Each line joins the states of one kind, token by token, and widens from first to last. Gray: nearest states of \
                      the index. Faint: others."
                .into(),
            labels: labels.into(),
            background,
            ..Trajectories::new(Coordinates::new(places, 2)?, paths)
        }))
    }

    /// The same as small maps, one per state.
    ///
    /// # Errors
    /// As [`trajectories`](Self::trajectories).
    pub fn pictograms(&self, hypothesis: usize, progress: &dyn Progress) -> Result<Option<Pictograms>, Error> {
        Ok(self.trajectories(hypothesis, progress)?.map(Pictograms))
    }
}

impl Blame {
    /// What each state brings back, layer by token; `None` without a clean run.
    pub fn map(&self, decoding: &Decoding) -> Option<HeatTable> {
        let sweep = self.sweep.as_ref()?;
        let side = |attention: Attention| match attention {
            Attention::EncoderSelf => ("encoder", &decoding.source),
            _ => ("decoder", &decoding.hypotheses[0].row),
        };
        decoding.hypotheses.first()?;
        let most = sweep.cells.iter().map(|cell| cell.token + 1).max()?;
        let mut rows: Vec<(String, Vec<f32>)> = Vec::new();
        for cell in sweep.cells.iter().filter(|cell| cell.site.point == Point::Hidden) {
            let name = format!("{} {}", side(cell.site.attention).0, cell.site.layer);
            if rows.last().is_none_or(|(last, _)| *last != name) {
                rows.push((name, vec![0.0; most]));
            }
            if let Some(slot) = rows.last_mut().and_then(|(_, values)| values.get_mut(cell.token)) {
                *slot = cell.recovered;
            }
        }
        let columns: Texts = (0..most).map(|token| (token + 1).to_string()).collect();
        let values: Vec<f32> = rows.iter().flat_map(|(_, values)| values.iter().copied()).collect();
        let names: Texts = rows.iter().map(|(name, _)| name.as_str()).collect();
        Some(HeatTable {
            title: "Share that one state of the clean run brings back".into(),
            subtitle: format!("found {}, expected {}", self.found, self.expected),
            caption: "Rows: layers (0: embeddings). Columns: tokens of source and of prefix, counted from 1. 1: the difference of \
                      logits is that of the clean run."
                .into(),
            what: "recovered".into(),
            range: Some([-1.0, 1.0]),
            diverging: true,
            ..HeatTable::new(names, columns, values)
        })
    }
}

impl Comparison {
    /// The change of attention between two runs, aligned: rows are target tokens, columns source tokens of both.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoSuchHead`].
    pub fn difference_table(
        &self,
        (before, first): (&Decoding, usize),
        (after, second): (&Decoding, usize),
        heads: &HeadChoice,
        shift: Shift,
    ) -> Result<HeatTable, Error> {
        let (a, b) = (
            before.attention(first, heads, shift)?,
            after.attention(second, heads, shift)?,
        );
        let (one, other) = (&before.hypothesis(first)?.row, &after.hypothesis(second)?.row);
        let name = |place: &Aligned, x: &TokenRow, y: &TokenRow| {
            let token = |row: &TokenRow, at: Option<usize>| at.and_then(|at| row.tokens.get(at).cloned());
            match (token(x, place.before), token(y, place.after)) {
                (Some(x), Some(y)) if place.same || x == y => x,
                (Some(x), Some(y)) => format!("{x} → {y}"),
                (Some(x), None) => format!("{x} → ∅"),
                (None, y) => format!("∅ → {}", y.unwrap_or_default()),
            }
        };
        let weight = |weights: &[f32], keys: usize, row: Option<usize>, key: Option<usize>| match (row, key) {
            (Some(row), Some(key)) => weights.get(row * keys + key).copied().unwrap_or(0.0),
            _ => 0.0,
        };
        let values = self.target.iter().flat_map(|target| {
            let (a, b) = (&a, &b);
            self.source.iter().map(move |source| {
                weight(b, after.source.len(), target.after, source.after)
                    - weight(a, before.source.len(), target.before, source.before)
            })
        });
        let values: Vec<f32> = values.collect();
        let most = values.iter().map(|value| value.abs()).fold(0.01, f32::max);
        let rows: Texts = self.target.iter().map(|place| name(place, one, other)).collect();
        let columns: Texts = self
            .source
            .iter()
            .map(|place| name(place, &before.source, &after.source))
            .collect();
        Ok(HeatTable {
            title: "Change of attention".into(),
            subtitle: format!("from {} to {}", before.headline(first), after.headline(second)),
            caption: "Second run minus first run. Rows: target tokens. Columns: source tokens. Both are aligned by edit distance."
                .into(),
            what: "difference".into(),
            range: Some([-most, most]),
            diverging: true,
            ..HeatTable::new(rows, columns, values)
        })
    }
}
