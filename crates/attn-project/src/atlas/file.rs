//! A finished head as one safetensors file: numbers of points as tensors, the rest as JSON in its metadata, and a
//! checksum over both.

use std::collections::HashMap;

use attn_core::HeadId;
use ndarray::Array2;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::HeadProjection;
use crate::{
    Embedding, Error, Result, Warning,
    digest::Digest,
    head::{DistanceCorrelation, Normalization, PlaneScore},
    method::Diagnostic,
    quality::{Quality, Score},
};

/// Key of the metadata.
const KEY: &str = "attn.projection";
/// Version of the format.
const FORMAT: u32 = 3;

/// All that is not one number per point.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    name: String,
    head: HeadId,
    queries: usize,
    normalization: Normalization,
    correlation: DistanceCorrelation,
    plane: PlaneScore,
    query_norm: f32,
    key_norm: f32,
    diagnostics: Vec<Diagnostic>,
    warnings: Vec<Warning>,
    quality: Option<QualityHeader>,
}

/// All of a quality that is not one number per point.
#[derive(Serialize, Deserialize)]
struct QualityHeader {
    sampled: bool,
    ranked: usize,
    preserved: usize,
    /// Mean and standard error of the three scores.
    scores: [[f32; 2]; 3],
}

/// The file of a head.
pub(super) fn write(head: &HeadProjection, name: &str) -> Result<Vec<u8>> {
    let HeadProjection { embedding, quality, .. } = head;
    let header = Header {
        format: FORMAT,
        name: name.to_owned(),
        head: head.head,
        queries: head.queries,
        normalization: head.normalization.clone(),
        correlation: head.correlation,
        plane: head.plane.clone(),
        query_norm: head.query_norm,
        key_norm: head.key_norm,
        diagnostics: embedding.diagnostics.clone(),
        warnings: embedding.warnings.clone(),
        quality: quality.as_ref().map(|quality| QualityHeader {
            sampled: quality.sampled.is_some(),
            ranked: quality.ranked,
            preserved: quality.preserved,
            scores: scores(quality).map(|score| [score.value, score.standard_error]),
        }),
    };
    let failed = |e: &dyn std::fmt::Display| Error::shape("projection", "one that can be written", e);
    let header = serde_json::to_string(&header).map_err(|e| failed(&e))?;
    let points: Vec<u8> = embedding.points.iter().flat_map(|x| x.to_le_bytes()).collect();
    let scored: Vec<u8> = quality
        .iter()
        .flat_map(scores)
        .flat_map(|score| &score.points)
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let rows: Vec<u8> = quality
        .iter()
        .filter_map(|quality| quality.sampled.as_ref())
        .flatten()
        .flat_map(|row| row.to_le_bytes())
        .collect();
    // NaN where a query has no choice.
    let of_queries = head.plane.points.iter().map(|found| found.unwrap_or(f32::NAN));
    let found: Vec<u8> = of_queries.flat_map(f32::to_le_bytes).collect();
    let checksum = checksum(&header, [&points, &scored, &rows, &found]);
    let (n, d) = embedding.points.dim();
    let view = |kind, shape, bytes| TensorView::new(kind, shape, bytes).map_err(|e| failed(&e));
    let tensors = [
        ("points", view(Dtype::F32, vec![n, d], &points)?),
        ("quality", view(Dtype::F32, vec![3, scored.len() / 12], &scored)?),
        ("sampled", view(Dtype::U32, vec![rows.len() / 4], &rows)?),
        ("plane", view(Dtype::F32, vec![found.len() / 4], &found)?),
        ("checksum", view(Dtype::U8, vec![checksum.len()], checksum.as_bytes())?),
    ];
    let metadata = HashMap::from([(KEY.to_owned(), header)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|e| failed(&e))
}

/// What the file of a head must hold to be of use. A checksum tells damage, and not what another program put there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    pub(super) head: HeadId,
    pub(super) queries: usize,
    /// Queries and keys.
    pub(super) points: usize,
    /// Coordinates of a point.
    pub(super) dims: usize,
    /// Numbers of a query or key.
    pub(super) width: usize,
}

impl Expected {
    fn is_met_by(&self, found: &HeadProjection) -> bool {
        let HeadProjection {
            normalization, quality, ..
        } = found;
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        found.head == self.head
            && found.queries == self.queries
            && self.queries <= self.points
            && found.embedding.points.dim() == (self.points, self.dims)
            && found.embedding.points.iter().all(|value| value.is_finite())
            && normalization.shift.len() == self.width
            && finite(&normalization.shift)
            && normalization.scale.is_finite()
            && normalization.scale > 0.0
            && found.plane.points.len() == self.queries
            && quality.as_ref().is_none_or(|quality| self.scores(quality))
    }

    /// Whether scores are of these points.
    fn scores(&self, quality: &Quality) -> bool {
        let scored = match &quality.sampled {
            None => self.points,
            Some(rows) => {
                let ascending = rows.is_sorted_by(|a, b| a < b);
                if !ascending || rows.last().is_some_and(|&last| last as usize >= self.points) {
                    return false;
                }
                rows.len()
            }
        };
        quality.ranked < self.points
            && quality.preserved < self.points
            && scores(quality).iter().all(|score| score.points.len() == scored)
    }
}

/// The head in a file of this name, `None` if anything about it is not as it was written or as it must be.
pub(super) fn read(bytes: &[u8], name: &str, expected: &Expected) -> Option<HeadProjection> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let text = metadata.metadata().as_ref()?.get(KEY)?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let tensor = |name, kind| {
        file.tensor(name)
            .ok()
            .filter(|tensor: &TensorView<'_>| tensor.dtype() == kind)
    };
    let (points, scored) = (tensor("points", Dtype::F32)?, tensor("quality", Dtype::F32)?);
    let (rows, sum) = (tensor("sampled", Dtype::U32)?, tensor("checksum", Dtype::U8)?);
    let of_queries = tensor("plane", Dtype::F32)?;
    let parts = [points.data(), scored.data(), rows.data(), of_queries.data()];
    if checksum(text, parts).as_bytes() != sum.data() {
        return None;
    }
    let header: Header = serde_json::from_str(text).ok()?;
    if header.format != FORMAT || header.name != name {
        return None;
    }
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect()
    };
    let &[n, d] = points.shape() else { return None };
    let &[3, count] = scored.shape() else { return None };
    let points = Array2::from_shape_vec((n, d), floats(points.data())).ok()?;
    let each = floats(scored.data());
    let score = |header: &QualityHeader, which: usize| Score {
        value: header.scores[which][0],
        standard_error: header.scores[which][1],
        points: each[which * count..(which + 1) * count].to_vec(),
    };
    let sampled: Vec<u32> = rows
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| u32::from_le_bytes(b))
        .collect();
    let found = HeadProjection {
        head: header.head,
        queries: header.queries,
        correlation: header.correlation,
        plane: PlaneScore {
            points: floats(of_queries.data())
                .into_iter()
                .map(|found| (!found.is_nan()).then_some(found))
                .collect(),
            ..header.plane
        },
        query_norm: header.query_norm,
        key_norm: header.key_norm,
        quality: header.quality.map(|header| Quality {
            sampled: header.sampled.then_some(sampled),
            ranked: header.ranked,
            preserved: header.preserved,
            trustworthiness: score(&header, 0),
            continuity: score(&header, 1),
            neighbors_kept: score(&header, 2),
        }),
        embedding: Embedding {
            points,
            diagnostics: header.diagnostics,
            warnings: header.warnings,
        },
        normalization: header.normalization,
        draft: false,
    };
    expected.is_met_by(&found).then_some(found)
}

fn scores(quality: &Quality) -> [&Score; 3] {
    [&quality.trustworthiness, &quality.continuity, &quality.neighbors_kept]
}

fn checksum(header: &str, parts: [&[u8]; 4]) -> String {
    let mut digest = Digest::new();
    digest.text(header);
    parts.iter().for_each(|part| digest.bytes(part));
    digest.hex()
}
