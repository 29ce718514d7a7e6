//! The search for the neighbors of a run.

use std::collections::{BTreeMap, HashMap};

use attn_core::Progress;
use ndarray::{Array2, Axis};
use serde::de::DeserializeOwned;

use super::{
    Neighbor, Neighborhood, NeighborhoodParams, StateIndex, StateKind, StateNeighbors,
    files::{ENTRY, Files, entry_of},
    neighborhood::{Ids, IndexedPair},
};
use crate::{
    Error,
    decoding::{Decoding, States, TokenRow},
};

/// States of the map that are drawn behind those of a run.
const BACKGROUND: usize = 600;
/// Most states that are looked at for each neighbor that is asked for, where many are equal.
const MOST: usize = 64;

impl Decoding {
    /// States of a kind that belong to the tokens of a hypothesis, `[token, width]`.
    fn states_of(&self, hypothesis: usize, kind: StateKind) -> Result<(Array2<f32>, &TokenRow), Error> {
        let found = self.hypothesis(hypothesis)?;
        let first = self.prompt_tokens().saturating_sub(1);
        let (states, first, row): (&States, usize, &TokenRow) = match kind {
            StateKind::Encoder => (&self.encoder_states, 0, &self.source),
            StateKind::Decoder => (&found.decoder_states, first, &found.row),
            StateKind::Context => (&found.context_states, first, &found.row),
        };
        let tokens = row.len().min(states.len().saturating_sub(first));
        let values: Vec<f32> = (first..first + tokens).flat_map(|at| states.row(at)).copied().collect();
        let array = Array2::from_shape_vec((tokens, states.width), values);
        Ok((array.unwrap_or_default(), row))
    }
}

/// A neighbor before its text is shown.
struct Found {
    pair: usize,
    row: usize,
    token: usize,
    distance: f32,
    copies: usize,
    /// Whether its source is that of the run.
    own: bool,
}

impl StateIndex {
    /// The neighbors of every state of a hypothesis, and their places on the map.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`]; [`Error::Shape`] for states of another width; [`Error::BadIndex`] for damaged files; those of the
    /// search; a cancellation.
    pub fn neighborhood(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        params: &NeighborhoodParams,
        progress: &dyn Progress,
    ) -> Result<Neighborhood, Error> {
        let description = self.description();
        let map = self.inner.map(progress)?;
        let recall = description.kinds.iter().map(|own| own.recall).fold(1.0, f32::min);
        let background = map.map_or(&[][..], |map| &map.places);
        let mut near = Neighborhood {
            hypothesis,
            index: description.content.clone(),
            size: (description.pairs, description.kinds.iter().map(|own| own.states).sum()),
            recall: if params.exact { 1.0 } else { recall },
            map: map.map(|map| (map.name.clone(), map.places.len())),
            background: background
                .iter()
                .step_by(background.len().div_ceil(BACKGROUND).max(1))
                .copied()
                .collect(),
            pairs: Vec::new(),
            states: Vec::new(),
        };
        let mut reader = Reader {
            index: self,
            read: HashMap::new(),
        };
        let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
        for own in &self.inner.kinds {
            let (states, row) = decoding.states_of(hypothesis, own.kind)?;
            if states.is_empty() {
                continue;
            }
            if states.ncols() != own.exact.0.columns() {
                return Err(Error::Shape {
                    what: "states of an index",
                    expected: format!("width {}", own.exact.0.columns()),
                    found: states.ncols().to_string(),
                });
            }
            let source = decoding.source.text.trim();
            let found = self.nearest((own.kind, source), &states, params, &mut reader, progress)?;
            let places = map.map(|map| map.place(&states, progress)).transpose()?.flatten();
            let first = near.states.len();
            let mut rows = Vec::new();
            for (token, found) in found.into_iter().enumerate() {
                let (mut compared, mut agreeing) = (0, 0);
                let mut neighbors = Vec::new();
                for found in found {
                    let agrees = reader.ids(found.pair)?.of(own.kind).get(found.token) == row.ids.get(token);
                    let listed = compared < params.kept;
                    compared += usize::from(!found.own);
                    agreeing += usize::from(!found.own && agrees);
                    if !listed {
                        continue;
                    }
                    let next = near.pairs.len();
                    let pair = *shown.entry(found.pair).or_insert(next);
                    if pair == next {
                        near.pairs.push(reader.line::<IndexedPair>(found.pair)?);
                    }
                    rows.push(found.row);
                    neighbors.push(Neighbor {
                        pair,
                        token: found.token,
                        distance: found.distance,
                        copies: found.copies,
                        own: found.own,
                        agrees,
                        place: None,
                    });
                }
                near.states.push(StateNeighbors {
                    kind: own.kind,
                    token,
                    place: places.as_ref().and_then(|places| places.get(token).copied()),
                    compared,
                    agreeing,
                    neighbors,
                });
            }
            if let Some(map) = map {
                // Each state once, however often it is a neighbor.
                let mut unique = rows.clone();
                unique.sort_unstable();
                unique.dedup();
                let places = map.place(&own.exact.0.select(unique.iter().copied()), progress)?;
                let of = |row: usize| places.as_ref()?.get(unique.binary_search(&row).ok()?).copied();
                let all = near.states[first..].iter_mut().flat_map(|own| &mut own.neighbors);
                all.zip(rows).for_each(|(neighbor, row)| neighbor.place = of(row));
            }
        }
        Ok(near)
    }

    /// The nearest of each state of a source, equal ones folded: as many of other sources as are asked for, and those of its own
    /// among them.
    fn nearest(
        &self,
        (kind, source): (StateKind, &str),
        states: &Array2<f32>,
        params: &NeighborhoodParams,
        reader: &mut Reader<'_>,
        progress: &dyn Progress,
    ) -> Result<Vec<Vec<Found>>, Error> {
        let Some(search) = self.search(kind, params.exact) else {
            return Ok(Vec::new());
        };
        let wanted = params.neighbors.clamp(1, search.len().max(1));
        let mut found: Vec<Vec<Found>> = states.rows().into_iter().map(|_| Vec::new()).collect();
        let (mut open, mut asked): (Vec<usize>, usize) = ((0..states.nrows()).collect(), 2 * wanted);
        while !open.is_empty() {
            let matches = search.query(states.select(Axis(0), &open).view(), asked, progress)?;
            let mut short = Vec::new();
            for (at, row) in open.into_iter().enumerate() {
                let (rows, distances) = (matches.indices(at), matches.distances(at));
                let (folded, others) = fold((kind, source), rows, distances, wanted, reader)?;
                if others >= wanted || rows.len() < asked || asked >= MOST * wanted {
                    found[row] = folded;
                } else {
                    short.push(row);
                }
            }
            open = short;
            asked *= 4;
        }
        Ok(found)
    }
}

/// Joins states of the same text up to their token, which are equal. Ends with the last of the wanted ones of other sources, and says
/// how many of those there are.
fn fold(
    (kind, source): (StateKind, &str),
    rows: &[u32],
    distances: &[f32],
    wanted: usize,
    reader: &mut Reader<'_>,
) -> Result<(Vec<Found>, usize), Error> {
    let mut found: Vec<Found> = Vec::new();
    let mut known: HashMap<(usize, String, Vec<u32>), usize> = HashMap::new();
    for (&row, &distance) in rows.iter().zip(distances) {
        let (pair, token) = reader.index.pair_of(kind, row as usize);
        let ids = reader.ids(pair)?;
        let before = match kind {
            StateKind::Encoder => Vec::new(),
            _ => ids.target_ids.get(..token).unwrap_or_default().to_vec(),
        };
        let next = found.len();
        let at = *known.entry((token, ids.source.clone(), before)).or_insert(next);
        if at < next {
            found[at].copies += 1;
        } else {
            found.push(Found {
                pair,
                row: row as usize,
                token,
                distance,
                copies: 1,
                own: ids.source.trim() == source,
            });
        }
    }
    let others = || (1..).zip(&found).filter(|(_, found)| !found.own);
    let (count, last) = (others().count().min(wanted), others().nth(wanted.saturating_sub(1)));
    if let Some(last) = last.map(|(place, _)| place) {
        found.truncate(last);
    }
    Ok((found, count))
}

impl StateIndex {
    /// The sources of at most `most` pairs, evenly over all.
    ///
    /// # Errors
    /// [`Error::BadIndex`] for a damaged line of pairs.
    pub fn sources(&self, most: usize) -> Result<Vec<String>, Error> {
        let (pairs, reader) = (
            self.description().pairs,
            Reader {
                index: self,
                read: HashMap::new(),
            },
        );
        let count = most.min(pairs);
        let source = |at: usize| Ok(reader.line::<Ids>(at * pairs / count.max(1))?.source);
        (0..count).map(source).collect()
    }

    /// The pair of a state, and its token there.
    fn pair_of(&self, kind: StateKind, row: usize) -> (usize, usize) {
        let slot = if kind == StateKind::Encoder { 1 } else { 2 };
        let first = |pair: usize| {
            let entry = self.inner.table.as_slice().get(pair * ENTRY..(pair + 1) * ENTRY);
            entry.map_or(u64::MAX, |entry| entry_of(entry)[slot])
        };
        let (mut low, mut high) = (0, self.description().pairs);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if first(middle) <= row as u64 {
                low = middle;
            } else {
                high = middle;
            }
        }
        (low, row.saturating_sub(usize::try_from(first(low)).unwrap_or(row)))
    }
}

/// Reads the ids of pairs, of each once.
struct Reader<'a> {
    index: &'a StateIndex,
    read: HashMap<usize, Ids>,
}

impl Reader<'_> {
    fn ids(&mut self, pair: usize) -> Result<&Ids, Error> {
        if !self.read.contains_key(&pair) {
            let ids = self.line(pair)?;
            self.read.insert(pair, ids);
        }
        let files = Files::new(&self.index.inner.folder);
        self.read
            .get(&pair)
            .ok_or_else(|| Files::bad(&files.texts(), "a pair", "none"))
    }

    /// The line of a pair.
    fn line<T: DeserializeOwned>(&self, pair: usize) -> Result<T, Error> {
        let inner = &self.index.inner;
        let path = Files::new(&inner.folder).texts();
        let entry = inner.table.as_slice().get(pair * ENTRY..(pair + 1) * ENTRY);
        let start = entry.and_then(|entry| usize::try_from(entry_of(entry)[0]).ok());
        let text = start
            .and_then(|start| inner.texts.as_slice().get(start..))
            .unwrap_or_default();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice(line)
            .map_err(|error| Files::bad(&path, "a pair per line", format!("pair {pair}: {error}")))
    }
}
