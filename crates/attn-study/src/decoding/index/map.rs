//! The map of an index: a projection that is fitted once, on a sample of its states, and takes new ones.

use attn_core::{Progress, Rng};
use attn_project::{Embedding, FittedProjection, Projector, neighbors::HalfRows, pca::Pca};
use ndarray::{Array2, Axis, concatenate, s};
use serde::{Deserialize, Serialize};

use super::{IndexParams, Inner, StateKind, files::Files};
use crate::Error;

/// Fewest states of a map, and those below which it is linear.
const FEWEST: usize = 3;
const LINEAR: usize = 100;
/// Width of the points that a projection is tried on.
const TRIED: usize = 8;

/// `map.json`
#[derive(Debug, Serialize, Deserialize)]
struct MapFile {
    projector: Projector,
    /// The sample: of each kind the numbers of its states.
    states: Vec<(StateKind, Vec<usize>)>,
    /// Their places, in that order.
    places: Vec<[f32; 2]>,
}

/// A map that takes new states.
#[derive(Debug)]
pub(super) struct StateMap {
    fitted: FittedProjection,
    pub(super) places: Vec<[f32; 2]>,
    pub(super) name: String,
    columns: usize,
}

/// `count` numbers below `n`, evenly.
fn evenly(n: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(n);
    (0..count).map(move |at| at * n / count)
}

fn sampled<'a>(sample: impl Iterator<Item = (&'a HalfRows, &'a [usize])>) -> Result<Array2<f32>, Error> {
    let parts: Vec<Array2<f32>> = sample.map(|(rows, own)| rows.select(own.iter().copied())).collect();
    let views: Vec<_> = parts.iter().map(Array2::view).collect();
    concatenate(Axis(0), &views).map_err(|error| Error::Shape {
        what: "states of a map",
        expected: "one width".into(),
        found: error.to_string(),
    })
}

/// Tries the projection on a few points: what is wrong with it is known before a pair runs.
pub(super) fn check(params: &IndexParams) -> Result<(), Error> {
    if params.map_states < FEWEST {
        return Ok(());
    }
    let rows = LINEAR.max(params.projector.method.min_points());
    let mut rng = Rng::new(params.seed, &[]);
    let points = Array2::from_shape_simple_fn((rows, TRIED), || rng.normal() as f32);
    let embedding = params.projector.fit(points.view(), &())?;
    let plane = embedding.points.slice(s![.., ..2.min(embedding.points.ncols())]);
    FittedProjection::new(points.view(), Embedding::new(plane.to_owned()), &params.projector, &())?;
    Ok(())
}

/// Fits the projection and writes it; gives the number of its states, 0 for no map.
pub(super) fn fit(
    files: &Files<'_>,
    all: &[(StateKind, HalfRows)],
    params: &IndexParams,
    progress: &dyn Progress,
) -> Result<usize, Error> {
    // Kinds of another width than the decoder's states have no place beside them.
    let Some(columns) = all
        .iter()
        .find(|(kind, _)| *kind == StateKind::Decoder)
        .map(|(_, rows)| rows.columns())
    else {
        return Ok(0);
    };
    let fitting: Vec<&(StateKind, HalfRows)> = all.iter().filter(|(_, rows)| rows.columns() == columns).collect();
    let each = params.map_states / fitting.len().max(1);
    let states: Vec<(StateKind, Vec<usize>)> = fitting
        .iter()
        .map(|(kind, rows)| (*kind, evenly(rows.len(), each).collect()))
        .collect();
    let points = sampled(
        fitting
            .iter()
            .zip(&states)
            .map(|((_, rows), (_, own))| (rows, own.as_slice())),
    )?;
    if points.nrows() < FEWEST || columns < 2 {
        return Ok(0);
    }
    let projector = match points.nrows() < LINEAR {
        true => Projector {
            method: Pca.into(),
            ..params.projector.clone()
        },
        false => params.projector.clone(),
    };
    let embedding = projector.fit(points.view(), progress)?;
    let place = |row: ndarray::ArrayView1<'_, f32>| [row[0], row.get(1).copied().unwrap_or(0.0)];
    let file = MapFile {
        projector,
        states,
        places: embedding.points.rows().into_iter().map(place).collect(),
    };
    Files::write_json(&files.map(), &file)?;
    Ok(file.places.len())
}

impl Inner {
    /// The map, read when it is first asked for; `None` for an index without one.
    pub(super) fn map(&self, progress: &dyn Progress) -> Result<Option<&StateMap>, Error> {
        if self.description.map_states == 0 {
            return Ok(None);
        }
        if let Some(map) = self.map.get() {
            return Ok(map.as_ref());
        }
        let map = self.read_map(progress)?;
        Ok(self.map.get_or_init(|| Some(map)).as_ref())
    }

    fn read_map(&self, progress: &dyn Progress) -> Result<StateMap, Error> {
        let files = Files::new(&self.folder);
        let path = files.map();
        let file: MapFile = Files::json(&path, "a map of states")?;
        let rows = |kind: StateKind| self.kinds.iter().find(|own| own.kind == kind).map(|own| &own.exact.0);
        let found = file.states.iter().map(|(kind, own)| {
            let rows = rows(*kind).filter(|rows| own.iter().all(|row| *row < rows.len()));
            rows.map(|rows| (rows, own.as_slice()))
        });
        let found: Option<Vec<_>> = found.collect();
        let found = found.ok_or_else(|| Files::bad(&path, "states of the index", "others"))?;
        let points = sampled(found.into_iter())?;
        let flat: Vec<f32> = file.places.iter().flatten().copied().collect();
        let places = Array2::from_shape_vec((file.places.len(), 2), flat);
        let places = places.map_err(|error| Files::bad(&path, "places of states", error.to_string()))?;
        let fitted = FittedProjection::new(points.view(), Embedding::new(places), &file.projector, progress).map_err(
            |error| match error.is_cancelled() {
                true => error.into(),
                false => Files::bad(&path, "a map of states", error.to_string()),
            },
        )?;
        Ok(StateMap {
            fitted,
            columns: points.ncols(),
            name: file.projector.method.name().to_owned(),
            places: file.places,
        })
    }
}

impl StateMap {
    /// Places of states `[state, width]`; `None` for states of another width than those of the map.
    pub(super) fn place(&self, states: &Array2<f32>, progress: &dyn Progress) -> Result<Option<Vec<[f32; 2]>>, Error> {
        if states.ncols() != self.columns {
            return Ok(None);
        }
        // Of length 1, as those that the map was fitted on.
        let mut unit = states.clone();
        for mut row in unit.rows_mut() {
            let length = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            if length > 0.0 {
                row.mapv_inplace(|x| (f64::from(x) / length) as f32);
            }
        }
        let placed = self.fitted.transform(unit.view(), progress)?;
        Ok(Some(placed.rows().into_iter().map(|row| [row[0], row[1]]).collect()))
    }
}
