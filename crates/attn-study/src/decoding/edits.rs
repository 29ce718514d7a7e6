//! Interventions that count tokens from the start of each stack, whatever tokens a step of generation sees, and faults that are
//! planted on purpose.

use std::fmt;

use attn_core::{ModelInfo, Side};
use attn_models::{
    Error, Point, Result, Site, Tap,
    candle::Tensor,
    intervene::{Edit, Intervention, Interventions, Selection},
    layout::Layout,
    record::Recorder,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Fault {
    /// Texts that patches take activations from; a patch names one by its number.
    pub donors: Vec<String>,
    /// What is changed.
    pub edits: Vec<Intervention>,
}

/// The form with texts of donors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithDonors {
    #[serde(default)]
    donors: Vec<String>,
    edits: Vec<Intervention>,
}

/// Reads the form that is there, so that an error is about that one.
struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = Fault;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of interventions, or an object with `edits` and `donors`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> std::result::Result<Fault, A::Error> {
        Ok(Fault {
            donors: Vec::new(),
            edits: Vec::deserialize(SeqAccessDeserializer::new(list))?,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> std::result::Result<Fault, A::Error> {
        let WithDonors { donors, edits } = WithDonors::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Fault { donors, edits })
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

/// Interventions as a tap for passes of any length: what lies beyond the tokens of a pass is left out. A decoding has one
/// sequence, of which all rows of a pass are beams or copies: a change that is not for sequence 0 does nothing.
#[derive(Debug, Clone)]
pub(super) struct Edits<'a> {
    info: &'a ModelInfo,
    list: &'a [Intervention],
    donors: &'a [Recorder],
    layout: Option<Layout>,
    /// Whether the model has come by the site of each.
    met: Vec<bool>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(info: &'a ModelInfo, list: &'a [Intervention], donors: &'a [Recorder]) -> Self {
        Self {
            info,
            list,
            donors,
            layout: None,
            met: vec![false; list.len()],
        }
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
                return Err(Error::Intervention {
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

    /// The changes of a site, with their numbers.
    fn of(&self, site: Site) -> impl Iterator<Item = (usize, &'a Edit)> + use<'a> {
        let list = self.list.iter().enumerate();
        list.filter(move |(_, change)| change.sequences.includes(0) && change.edit.site() == site)
            .map(|(index, change)| (index, &change.edit))
    }

    /// An edit with what fits a tensor of these dimensions and the run that a patch takes from; `None` if that is nothing.
    fn within(&self, edit: &Edit, site: Site, dims: &[usize]) -> Result<Option<Edit>> {
        let mut edit = edit.clone();
        match &mut edit {
            Edit::AttentionRow { weights, .. } => weights.truncate(dims.get(3).copied().unwrap_or(0)),
            Edit::Patch {
                tokens,
                donor,
                donor_tokens,
                ..
            } => {
                let Some(run) = self.donors.get(*donor).and_then(|run| run.tensors.get(&site)) else {
                    return Ok(Some(edit));
                };
                let keys = (dims.get(3), run.dims().get(3));
                if matches!(site.point, Point::Scores | Point::Attention)
                    && site.attention.key_side() == Side::Encoder
                    && keys.0 != keys.1
                {
                    let count = |keys: Option<&usize>| format!("{} tokens", keys.copied().unwrap_or(0));
                    return Err(Error::Intervention {
                        place: String::new(),
                        expected: format!("a donor text of {}, as many as the source has", count(keys.0)),
                        found: count(keys.1),
                    });
                }
                let theirs = run.dims().get(token_axis(site.point)).copied().unwrap_or(0);
                let targets: Vec<usize> = match (&*tokens, &*donor_tokens) {
                    (Selection::Only(some), _) => some.clone(),
                    (Selection::All, Some(donor)) => (0..donor.len()).collect(),
                    (Selection::All, None) => (0..theirs).collect(),
                };
                let sources = donor_tokens.clone().unwrap_or_else(|| targets.clone());
                let pairs = targets.into_iter().zip(sources);
                let (targets, sources): (Vec<usize>, Vec<usize>) = pairs.filter(|(_, from)| *from < theirs).unzip();
                if targets.is_empty() {
                    return Ok(None);
                }
                (*tokens, *donor_tokens, *donor) = (Selection::Only(targets), Some(sources), 0);
            }
            // Of tokens that a pass does not have, its layout says that others may have them.
            _ => {}
        }
        Ok(Some(edit))
    }

    fn apply(&self, edit: &Edit, site: Site, tensor: Tensor) -> Result<Tensor> {
        let Some(fitting) = self.within(edit, site, tensor.dims())? else {
            return Ok(tensor);
        };
        let mut one = Interventions::new(self.info, [fitting.into()])?;
        if let Edit::Patch { donor, .. } = edit
            && let Some(run) = self.donors.get(*donor)
        {
            one = one.with_donor(run.clone());
        }
        let alone = || Layout::whole(tensor.dims().first().copied().unwrap_or(1)).open();
        one.begin(&self.layout.clone().unwrap_or_else(alone))?;
        one.tap(site, tensor)
    }
}

/// The axis of the tokens; of scores and attention that of the queries.
fn token_axis(point: Point) -> usize {
    match point {
        Point::Query
        | Point::Key
        | Point::Value
        | Point::QueryBeforeRotation
        | Point::KeyBeforeRotation
        | Point::Scores
        | Point::Attention => 2,
        _ => 1,
    }
}

impl Tap for Edits<'_> {
    fn wants(&self, site: Site) -> bool {
        self.of(site).next().is_some()
    }

    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone().open());
        Ok(())
    }

    fn tap(&mut self, site: Site, tensor: Tensor) -> Result<Tensor> {
        for (index, _) in self.of(site) {
            self.met[index] = true;
        }
        self.of(site).try_fold(tensor, |tensor, (index, edit)| {
            self.apply(edit, site, tensor).map_err(|error| match error {
                Error::Intervention { expected, found, .. } => Error::Intervention {
                    place: format!("intervention {index} ({})", edit.name()),
                    expected,
                    found,
                },
                other => other,
            })
        })
    }

    fn end(&mut self) -> Result<()> {
        let unmet = self.list.iter().zip(&self.met).enumerate();
        let left_out = |site| self.layout.as_ref().is_some_and(|layout| layout.leaves_out(site));
        let mut unmet =
            unmet.filter(|(_, (change, met))| !**met && change.sequences.includes(0) && !left_out(change.edit.site()));
        match unmet.next() {
            None => Ok(()),
            Some((index, (change, _))) => Err(Error::Intervention {
                place: format!("intervention {index} ({})", change.edit.name()),
                expected: "a site of the model".to_owned(),
                found: format!("the {}, which it does not have", change.edit.site()),
            }),
        }
    }
}
