//! One head of a capture: its rows, what is cheap to know of it, and its projection.

use attn_core::{
    Capture, HeadId, Limits, Progress, Side,
    model::{AttentionInfo, Mask},
};
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2, s};

use super::{AtlasParams, HeadPoints, HeadProjection, file::Expected, sequence_sample};
use crate::{
    Embedding, Error, Points, Projector, Result,
    digest::Digest,
    head::{
        DistanceCorrelation, HeadCloud, Normalization, SequenceRows, correlation, distance_correlation, normalize,
        plane, plane_score,
    },
    method::Links,
    neighbors,
    pca::Pca,
    quality::{self, Quality, QualityParams, quality},
    rng::Rng,
};

/// A capture and the choice of its points.
pub(super) struct Atlas<'a> {
    pub(super) capture: &'a Capture,
    pub(super) params: &'a AtlasParams,
    sequences: Vec<usize>,
}

/// What is cheap to know of a head, and decides when its turn comes.
pub(super) struct Prepared {
    pub(super) head: HeadId,
    pub(super) normalization: Normalization,
    pub(super) correlation: DistanceCorrelation,
    query_norm: f32,
    key_norm: f32,
}

/// Queries, keys and the rows of each sequence in them.
struct Rows<'a> {
    queries: CowArray<'a, f32, Ix2>,
    keys: CowArray<'a, f32, Ix2>,
    sequences: Vec<SequenceRows>,
}

impl<'a> Atlas<'a> {
    pub(super) fn new(capture: &'a Capture, params: &'a AtlasParams) -> Self {
        Self {
            capture,
            params,
            sequences: sequence_sample(capture, params.max_points, params.seed),
        }
    }

    pub(super) fn prepare(&self, head: HeadId) -> Result<Prepared> {
        self.prepare_with(head, None)
    }

    /// The same with a c that is known.
    pub(super) fn prepare_with(&self, head: HeadId, scale: Option<f32>) -> Result<Prepared> {
        let rows = self.rows(head)?;
        let cloud = self.cloud(&rows, head)?;
        let normalization = match scale {
            Some(scale) => Normalization::with_scale(&cloud, scale)?,
            None => Normalization::fit(&cloud, self.params.scale, self.seed(head)),
        };
        let correlation = distance_correlation(&cloud, normalization.apply(&cloud)?.view(), self.params.keys)?;
        let (query_norm, key_norm) = (mean_norm(cloud.queries()), mean_norm(cloud.keys()));
        Ok(Prepared {
            head,
            normalization,
            correlation,
            query_norm,
            key_norm,
        })
    }

    /// A head's normalized points.
    pub(super) fn joint(&self, head: HeadId, normalization: &Normalization) -> Result<Array2<f32>> {
        let rows = self.rows(head)?;
        normalization.apply(&self.cloud(&rows, head)?)
    }

    /// Each query of a head linked to the keys it attends to, if the method wants links.
    pub(super) fn links(&self, head: HeadId) -> Result<Option<Links>> {
        if !self.params.method.wants_links() {
            return Ok(None);
        }
        let rows = self.rows(head)?;
        let queries = rows.queries.nrows();
        let points = queries + rows.keys.nrows();
        let pairs = rows
            .sequences
            .iter()
            .map(|of| of.queries.len().saturating_mul(of.keys.len()));
        let cells = pairs.fold(0, usize::saturating_add);
        // A point and a weight each, while they are gathered and as they are kept.
        let needed = Limits::size(&[cells], 32);
        // The system is asked for its memory only where that matters.
        if needed > 1 << 26 {
            Limits::default().check(format_args!("the links of {cells} query-key pairs"), needed)?;
        }
        let mut links = vec![Vec::new(); points];
        for (of, &sequence) in rows.sequences.iter().zip(&self.sequences) {
            let attention = self.capture.attention(head, sequence)?;
            for (query, weights) in of.queries.clone().zip(attention.rows()) {
                let key = |(key, &weight): (usize, &f32)| {
                    let point = u32::try_from(queries + of.keys.start + key).ok()?;
                    (weight > 0.0).then_some((point, weight))
                };
                links[query] = weights.iter().enumerate().filter_map(key).collect();
            }
        }
        Links::new(points, links).map(Some)
    }

    /// A head's layout, judged; `on_layout` gets it before that, if anyone waits for it.
    pub(super) fn finish(
        &self,
        prepared: &Prepared,
        on_layout: Option<&dyn Fn(HeadProjection)>,
        progress: &dyn Progress,
    ) -> Result<HeadProjection> {
        let joint = self.joint(prepared.head, &prepared.normalization)?;
        let links = self.links(prepared.head)?;
        let projector = self.params.projector().seed(self.seed(prepared.head));
        let points = Points::from(joint.view()).with_links(links.as_ref());
        let embedding = projector.fit(points, progress)?;
        if let Some(on_layout) = on_layout {
            on_layout(self.projection(prepared, embedding.clone(), None)?);
        }
        self.judged(prepared, joint.view(), embedding, progress)
    }

    /// A head's layout by PCA, in place of one that takes longer.
    pub(super) fn draft(&self, prepared: &Prepared, progress: &dyn Progress) -> Result<HeadProjection> {
        let joint = self.joint(prepared.head, &prepared.normalization)?;
        let projector = Projector::new(Pca)
            .dims(self.params.dims)
            .seed(self.seed(prepared.head));
        let embedding = projector.fit(joint.view(), progress)?;
        let mut draft = self.projection(prepared, embedding, None)?;
        draft.draft = true;
        Ok(draft)
    }

    /// Judges a head's layout that was made elsewhere.
    pub(super) fn judge(
        &self,
        prepared: &Prepared,
        embedding: Embedding,
        progress: &dyn Progress,
    ) -> Result<HeadProjection> {
        let joint = self.joint(prepared.head, &prepared.normalization)?;
        self.judged(prepared, joint.view(), embedding, progress)
    }

    fn judged(
        &self,
        prepared: &Prepared,
        joint: ArrayView2<'_, f32>,
        embedding: Embedding,
        progress: &dyn Progress,
    ) -> Result<HeadProjection> {
        let params = QualityParams {
            seed: self.seed(prepared.head),
            ..QualityParams::default()
        }
        .clamped(joint.nrows());
        let quality = match quality(joint, embedding.points.view(), &self.params.metric, &params, progress) {
            Ok(quality) => Some(quality),
            Err(Error::TooFewPoints { .. }) => None,
            Err(error) => return Err(error),
        };
        self.projection(prepared, embedding, quality)
    }

    fn projection(
        &self,
        prepared: &Prepared,
        embedding: Embedding,
        quality: Option<Quality>,
    ) -> Result<HeadProjection> {
        let rows = self.rows(prepared.head)?;
        let cloud = self.cloud(&rows, prepared.head)?;
        Ok(HeadProjection {
            head: prepared.head,
            queries: rows.queries.nrows(),
            plane: plane_score(&cloud, embedding.points.view(), self.params.keys)?,
            normalization: prepared.normalization.clone(),
            correlation: prepared.correlation,
            query_norm: prepared.query_norm,
            key_norm: prepared.key_norm,
            embedding,
            quality,
            draft: false,
        })
    }

    pub(super) fn points(&self, head: HeadId) -> Result<HeadPoints> {
        let rows = self.rows(head)?;
        let cloud = self.cloud(&rows, head)?;
        let normalization = Normalization::fit(&cloud, self.params.scale, self.seed(head));
        Ok(HeadPoints {
            head,
            points: normalization.apply(&cloud)?,
            queries: cloud.queries().nrows(),
            normalization,
        })
    }

    /// Revisions of all algorithms that make a head, in a fixed order.
    pub(super) fn revisions(&self) -> Vec<u32> {
        let mut revisions = self.params.method.revisions();
        // For a host's method too.
        revisions.push(neighbors::REVISION);
        revisions.extend([
            normalize::REVISION,
            correlation::REVISION,
            plane::REVISION,
            quality::REVISION,
        ]);
        revisions
    }

    /// A name for all that the projection of a head depends on: its vectors, the rows of each sequence, what a query
    /// sees, the parameters, and the revisions of the algorithms.
    pub(super) fn name(&self, head: HeadId, revisions: &[u32]) -> Result<String> {
        let rows = self.rows(head)?;
        let cloud = self.cloud(&rows, head)?;
        let mut digest = Digest::new();
        digest.text(&format!("{revisions:?}"));
        digest.text(&format!("{head:?} {:?}", self.mask(head)?));
        // How many points there may be is told by those there are.
        let AtlasParams {
            method,
            dims,
            metric,
            seed,
            scale,
            keys,
            max_points: _,
        } = self.params;
        digest.text(method.key());
        if method.wants_links() {
            // Attention depends on more than queries and keys.
            let info = self.capture.model().attention(head.attention);
            let facts = |info: &AttentionInfo| {
                let layer = info.layers.get(head.layer);
                format!(
                    "{layer:?} {:?} {:?} {:?}",
                    info.relative_bias, info.alibi, info.relative_vectors
                )
            };
            digest.text(&info.map(facts).unwrap_or_default());
            for table in self.capture.offset_tables(head)?.iter().flatten() {
                digest.text(&format!("{:?}", table.dim()));
                table.iter().for_each(|x| digest.bytes(&x.to_le_bytes()));
            }
        }
        digest.text(&method.params().to_string());
        digest.text(&format!("{dims:?} {} {seed} {scale:?} {keys:?}", metric.name()));
        for SequenceRows { queries, keys } in cloud.sequences() {
            digest.text(&format!("{queries:?} {keys:?}"));
        }
        for side in [cloud.queries(), cloud.keys()] {
            digest.text(&format!("{:?}", side.dim()));
            side.iter().for_each(|x| digest.bytes(&x.to_le_bytes()));
        }
        Ok(digest.hex())
    }

    /// What the projection of a head must hold, whoever made it.
    pub(super) fn expected(&self, head: HeadId) -> Result<Expected> {
        let rows = self.rows(head)?;
        Ok(Expected {
            head,
            queries: rows.queries.nrows(),
            points: rows.queries.nrows() + rows.keys.nrows(),
            dims: self.params.dims.count(),
            width: rows.queries.ncols(),
        })
    }

    /// An error with the head it is about, and its file.
    pub(super) fn named(&self, head: HeadId, error: Error) -> Error {
        match error {
            Error::Head { .. } | Error::Cancelled { .. } => error,
            source => Error::Head {
                head,
                file: self
                    .capture
                    .folder()
                    .map(|folder| folder.join(format!("{}-{:02}.safetensors", head.attention, head.layer))),
                source: Box::new(source),
            },
        }
    }

    /// The seed of a head: the same whichever heads are made with it.
    pub(super) fn seed(&self, head: HeadId) -> u64 {
        let stream = ((head.attention as u64) << 48) | ((head.layer as u64) << 24) | head.head as u64;
        Rng::new(self.params.seed, stream).next()
    }

    fn rows(&self, head: HeadId) -> Result<Rows<'a>> {
        let sides = [head.attention.query_side(), head.attention.key_side()];
        let mut ends = [0, 0];
        let rows = |&sequence: &usize| {
            let [queries, keys] = [0, 1].map(|i| {
                let start = ends[i];
                ends[i] += self.capture.rows(sequence, sides[i]).len();
                start..ends[i]
            });
            SequenceRows { queries, keys }
        };
        let sequences = self.sequences.iter().map(rows).collect();
        let queries = self.gather(self.capture.queries(head)?, sides[0]);
        Ok(Rows {
            queries,
            keys: self.gather(self.capture.keys(head)?, sides[1]),
            sequences,
        })
    }

    /// The rows of the chosen sequences.
    fn gather(&self, all: CowArray<'a, f32, Ix2>, side: Side) -> CowArray<'a, f32, Ix2> {
        if self.sequences.len() == self.capture.sequences().len() {
            return all;
        }
        let ranges: Vec<_> = self
            .sequences
            .iter()
            .map(|&sequence| self.capture.rows(sequence, side))
            .collect();
        let mut out = Array2::zeros((ranges.iter().map(ExactSizeIterator::len).sum(), all.ncols()));
        let mut start = 0;
        for range in ranges {
            let end = start + range.len();
            out.slice_mut(s![start..end, ..]).assign(&all.slice(s![range, ..]));
            start = end;
        }
        out.into()
    }

    fn cloud<'r>(&self, rows: &'r Rows<'_>, head: HeadId) -> Result<HeadCloud<'r>> {
        HeadCloud::new(rows.queries.view(), rows.keys.view(), &rows.sequences, self.mask(head)?)
    }

    fn mask(&self, head: HeadId) -> Result<Mask> {
        let mask = self.capture.model().mask(head);
        mask.ok_or_else(|| Error::parameter("head", "a head of the model", head))
    }
}

/// Mean length of the rows.
fn mean_norm(rows: ArrayView2<'_, f32>) -> f32 {
    let norm = |row: ndarray::ArrayView1<'_, f32>| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    (rows.axis_iter(Axis(0)).map(norm).sum::<f64>() / rows.nrows() as f64) as f32
}
