//! Interventions that count tokens from the start of each stack, whatever tokens a step of generation sees, and faults that are
//! planted on purpose.

use attn_core::ModelInfo;
use attn_models::{
    Point, Result, Site, Tap,
    candle::Tensor,
    intervene::{Edit, Intervention, Interventions, Selection},
    record::Recorder,
};
use serde::{Deserialize, Serialize};

/// Interventions that a file plants: a list of edits, or an object with the edits and the texts that patches take from.
///
/// ```
/// use attn_study::decoding::Fault;
///
/// let list = r#"[{"edit": "head_mask", "attention": "cross", "layer": 0, "factor": 0.0}]"#;
/// assert_eq!(serde_json::from_str::<Fault>(list)?.edits.len(), 1);
/// let patch = r#"{"donors": ["01.02.2003"], "edits": [{"edit": "patch", "site":
///     {"attention": "encoder_self", "layer": 2, "point": "hidden"}, "tokens": {"only": [0]}, "donor": 0}]}"#;
/// assert_eq!(serde_json::from_str::<Fault>(patch)?.donors, ["01.02.2003"]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "FaultFile")]
pub struct Fault {
    /// Texts that patches take activations from; a patch names one by its number.
    pub donors: Vec<String>,
    /// What is changed.
    pub edits: Vec<Intervention>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FaultFile {
    List(Vec<Intervention>),
    Object {
        #[serde(default)]
        donors: Vec<String>,
        edits: Vec<Intervention>,
    },
}

impl From<FaultFile> for Fault {
    fn from(file: FaultFile) -> Self {
        match file {
            FaultFile::List(edits) => Self {
                donors: Vec::new(),
                edits,
            },
            FaultFile::Object { donors, edits } => Self { donors, edits },
        }
    }
}

/// Interventions as a tap for passes of any length: what lies beyond the tokens of a pass is left out.
#[derive(Debug, Clone)]
pub(super) struct Edits<'a> {
    info: &'a ModelInfo,
    list: &'a [Intervention],
    donors: &'a [Recorder],
}

impl<'a> Edits<'a> {
    pub(super) fn new(info: &'a ModelInfo, list: &'a [Intervention], donors: &'a [Recorder]) -> Self {
        Self { info, list, donors }
    }

    /// Checks a list against a model and the number of texts that patches take from.
    ///
    /// # Errors
    /// Those of [`Interventions::new`], and for a patch from a text that is not there.
    pub(super) fn check(info: &ModelInfo, list: &[Intervention], donors: usize) -> Result<()> {
        Interventions::new(info, list.to_vec())?;
        for (index, change) in list.iter().enumerate() {
            if let Edit::Patch { donor, .. } = change.edit
                && donor >= donors
            {
                return Err(attn_models::Error::Intervention {
                    place: format!("intervention {index} (patch)"),
                    expected: format!("the number of one of {donors} donor texts"),
                    found: donor.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Points that the runs of donors have to keep.
    pub(super) fn donor_points(list: &[Intervention]) -> Vec<Point> {
        let patches = list.iter().filter(|change| matches!(change.edit, Edit::Patch { .. }));
        patches.map(|change| change.edit.site().point).collect()
    }

    /// The edit of a tensor of these dimensions; `None` if it is about later tokens alone.
    fn within(&self, edit: &Edit, site: Site, dims: &[usize]) -> Option<Edit> {
        let (queries, keys) = (dims.get(2).copied().unwrap_or(0), dims.get(3).copied().unwrap_or(0));
        let up_to = |selection: &Selection, limit: usize| match selection {
            Selection::All => Some(Selection::All),
            Selection::Only(some) => {
                let some: Vec<usize> = some.iter().copied().filter(|at| *at < limit).collect();
                (!some.is_empty()).then_some(Selection::Only(some))
            }
        };
        let mut edit = edit.clone();
        match &mut edit {
            Edit::AttentionRow { query, weights, .. } => {
                weights.truncate(keys);
                (*query < queries).then_some(())?;
            }
            Edit::AttentionCells {
                queries: rows,
                keys: cells,
                ..
            }
            | Edit::AttentionFactor {
                queries: rows,
                keys: cells,
                ..
            }
            | Edit::KnockOut {
                queries: rows,
                keys: cells,
                ..
            } => {
                *rows = up_to(rows, queries)?;
                *cells = up_to(cells, keys)?;
            }
            Edit::KnockOutEdges { edges, .. } => {
                edges.retain(|[query, key]| *query < queries && *key < keys);
                (!edges.is_empty()).then_some(())?;
            }
            Edit::Patch {
                tokens,
                donor,
                donor_tokens,
                ..
            } => {
                let axis = match site.point {
                    Point::HeadOutput | Point::Embedding | Point::AttentionOutput | Point::Mlp | Point::Hidden => 1,
                    _ => 2,
                };
                let run = self.donors.get(*donor)?.tensors.get(&site)?;
                let (own, theirs) = (dims.get(axis).copied()?, run.dims().get(axis).copied()?);
                let targets: Vec<usize> = match tokens {
                    Selection::All => (0..own.min(theirs)).collect(),
                    Selection::Only(some) => some.clone(),
                };
                let sources = donor_tokens.clone().unwrap_or_else(|| targets.clone());
                let pairs = targets.into_iter().zip(sources);
                let (targets, sources): (Vec<usize>, Vec<usize>) =
                    pairs.filter(|(at, from)| *at < own && *from < theirs).unzip();
                (!targets.is_empty()).then_some(())?;
                (*tokens, *donor_tokens, *donor) = (Selection::Only(targets), Some(sources), 0);
            }
            _ => {}
        }
        Some(edit)
    }
}

impl Tap for Edits<'_> {
    fn wants(&self, site: Site) -> bool {
        self.list.iter().any(|change| change.edit.site() == site)
    }

    fn tap(&mut self, site: Site, mut tensor: Tensor) -> Result<Tensor> {
        for change in self.list.iter().filter(|change| change.edit.site() == site) {
            let Some(edit) = self.within(&change.edit, site, tensor.dims()) else {
                continue;
            };
            let donor = match &change.edit {
                Edit::Patch { donor, .. } => self.donors.get(*donor).cloned(),
                _ => None,
            };
            let change = Intervention {
                sequences: change.sequences.clone(),
                edit,
            };
            let mut one = Interventions::new(self.info, [change])?;
            if let Some(donor) = donor {
                one = one.with_donor(donor);
            }
            tensor = one.tap(site, tensor)?;
        }
        Ok(tensor)
    }
}
