//! Values of all heads of a layer, in one space.
//!
//! A head's values times its part of the output matrix are its possible contributions to the residual stream (Kobayashi et al.
//! 2020; Elhage et al. 2021). This is the only space that the heads of a layer share.

use attn_core::{Attention, HeadId, HeadWeights, Progress, progress::step};
use attn_project::{Embedding, Projector, atlas::sequence_sample};
use attn_render::plots::{ClusterMap, Coordinates, MapCluster};
use ndarray::{Array2, Axis, s};

use crate::{Error, Study};

/// Values of a layer's heads, projected together.
#[derive(Debug, Clone)]
pub struct LayerValues {
    heads: Vec<HeadId>,
    /// The head of each point, as an index into `heads`.
    of: Vec<usize>,
    /// The token of each point.
    texts: Vec<String>,
    embedding: Embedding,
    sequences: usize,
}

impl Study {
    /// Projects the values of all heads of a layer, times their parts of the output matrix, `[point, hidden]`: a point per head and
    /// token, head by head. Uses the method of the study, in 2D, with Euclidean distance, for as many sequences as the study's limit
    /// of points allows.
    ///
    /// `weights` are those of `Model::head_weights`.
    ///
    /// ```
    /// use attn_core::Attention;
    /// use attn_embedded::sentences;
    /// use attn_models::Capturer;
    /// use attn_project::{AtlasParams, pca::Pca};
    /// use attn_study::Study;
    /// use attn_render::{Plot, ViewState};
    ///
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(sentences().take(10))?;
    /// let params = AtlasParams { method: Pca.into(), ..AtlasParams::default() };
    /// let study = Study::new(capture, &params);
    /// let values = study.layer_values(Attention::EncoderSelf, 2, &capturer.model().head_weights()?, &())?;
    /// assert_eq!(values.points().count(), values.heads().len() * study.capture().tokens(attn_core::Side::Encoder));
    /// values.plot(&study)?.scene(&ViewState::default(), [800.0, 700.0])?;
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Core`] for a layer that does not exist, for a capture without values, and for more points than the study's
    /// [limits](Study::set_limits) allow; [`Error::NoHeadWeights`] for weights of another
    /// model, those of [`Projector::fit`].
    pub fn layer_values(
        &self,
        attention: Attention,
        layer: usize,
        weights: &[HeadWeights],
        progress: &dyn Progress,
    ) -> Result<LayerValues, Error> {
        let count = self
            .capture()
            .model()
            .attention(attention)
            .map_or(0, |info| info.heads_of(layer));
        let heads: Vec<HeadId> = (0..count).map(|head| HeadId::new(attention, layer, head)).collect();
        let side = attention.key_side();
        // A point per head and token here; the sample counts a query and a key per token.
        let most = self.params().max_points.map(|most| 2 * most / count.max(1));
        let sequences = sequence_sample(self.capture(), most, self.params().seed);
        let rows: Vec<usize> = sequences
            .iter()
            .flat_map(|&sequence| self.capture().rows(sequence, side))
            .collect();
        let hidden = self.capture().model().hidden_size;
        // Fails for a layer that does not exist, and without values.
        heads.first().map(|&head| self.capture().values(head)).transpose()?;
        // The widths that a capture names are those of the weights, before anything of that size is made.
        let width = self
            .capture()
            .model()
            .attention(attention)
            .map_or(0, |info| info.head_dim);
        let outputs = heads.iter().map(|&head| {
            let output = weights.iter().find(|weights| weights.head == head);
            let output = output.map(|weights| &weights.output);
            output
                .filter(|output| output.dim() == (width, hidden))
                .ok_or(Error::NoHeadWeights { head })
        });
        let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
        let what = format_args!(
            "values of layer {layer}, {count} heads x {} tokens x {hidden}",
            rows.len()
        );
        self.limits.elements::<f32>(what, &[count, rows.len(), hidden])?;
        let mut points = Array2::zeros((count * rows.len(), hidden));
        for (index, (&head, output)) in heads.iter().zip(outputs).enumerate() {
            step(progress, "values", index, count)?;
            let values = self.capture().values(head)?.select(Axis(0), &rows);
            let place = index * rows.len()..(index + 1) * rows.len();
            points.slice_mut(s![place, ..]).assign(&values.dot(output));
        }
        let params = self.params();
        let projector = Projector::new(&params.method).seed(params.seed);
        let embedding = projector.fit(points.view(), progress)?;
        let texts: Vec<String> = sequences
            .iter()
            .flat_map(|&sequence| self.capture().sequences()[sequence].tokens(side))
            .map(|token| token.text.clone())
            .collect();
        Ok(LayerValues {
            of: (0..count)
                .flat_map(|head| std::iter::repeat_n(head, rows.len()))
                .collect(),
            texts: (0..count).flat_map(|_| texts.iter().cloned()).collect(),
            heads,
            embedding,
            sequences: sequences.len(),
        })
    }
}

impl LayerValues {
    /// The heads.
    pub fn heads(&self) -> &[HeadId] {
        &self.heads
    }

    /// Head and token's text of each point, in the order of their numbers.
    pub fn points(&self) -> impl Iterator<Item = (HeadId, &str)> {
        self.of
            .iter()
            .zip(&self.texts)
            .map(|(&head, text)| (self.heads[head], text.as_str()))
    }

    /// The layout, `[point, 2]`.
    pub fn embedding(&self) -> &Embedding {
        &self.embedding
    }

    /// The plot: colors are heads; a search highlights tokens.
    ///
    /// # Errors
    /// [`Error::Render`] for coordinates that are not finite.
    pub fn plot(&self, study: &Study) -> Result<ClusterMap, Error> {
        let info = study.capture().model();
        let layer = self.heads.first().map_or(0, |head| head.layer);
        let stack = match (info.attentions.len(), self.heads.first()) {
            (2.., Some(head)) => format!(", {}", head.attention),
            _ => String::new(),
        };
        let flat = self.embedding.points.as_standard_layout();
        let tokens = self.of.len() / self.heads.len().max(1);
        let mut caption = "Each point is a possible contribution of a head for a token: its value times the head's part of the output \
                           matrix. Heads with close points write similar vectors."
            .to_owned();
        for remark in crate::trust::sentences(&self.embedding.warnings) {
            caption.push(' ');
            caption.push_str(&remark);
        }
        let cluster = |head: &HeadId| MapCluster {
            name: format!("H{}", head.head),
            size: tokens,
        };
        let coordinates = Coordinates::new(flat.as_slice().unwrap_or_default(), self.embedding.points.ncols())?;
        Ok(ClusterMap {
            title: format!("{}{stack}, layer {layer}: values of its heads", info.name),
            subtitle: format!(
                "{} · {} sequences, {tokens} tokens",
                study.params().method.name(),
                self.sequences
            ),
            caption,
            what: "head".into(),
            labels: self.texts.as_slice().into(),
            ..ClusterMap::new(
                coordinates,
                self.of.as_slice(),
                self.heads.iter().map(cluster).collect(),
            )
        })
    }
}
