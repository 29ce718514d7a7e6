//! The views of one sequence: its attention in a head as lines or over its picture, and in every head at once.

use attn_analyze::heads::mean_by_position;
use attn_core::{HeadId, Sequence, Side, Token, ndarray::Array2};
use attn_render::{
    Scene, Table, View,
    views::{Aggregate, ImageAttention, Overview, OverviewHead, Sentence, SentenceToken},
};

use crate::{Error, Study, picture::load_picture};

/// Positions of the aggregate view, and weights that it reads at most: a tenth of a second.
const POSITIONS: usize = 64;
const READ: usize = 20_000_000;
/// Its layout unless a host says otherwise.
const AGGREGATE: [f32; 2] = [620.0, 680.0];

impl Study {
    /// A head's mean weights by position over the drawn sequences (AttentionViz, the aggregate view): the first 64 positions, of
    /// as many sequences as are read in a moment; the subtitle says how many.
    ///
    /// # Errors
    /// [`Error::Core`] for a head that does not exist, those of [`Aggregate::scene`].
    pub fn aggregate(&self, head: HeadId, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        self.with_aggregate(head, |plot| plot.scene(view, size.unwrap_or(AGGREGATE)))
    }

    /// The numbers behind it: a row per pair of positions.
    ///
    /// # Errors
    /// As [`aggregate`](Self::aggregate).
    pub fn aggregate_table(&self, head: HeadId) -> Result<Table, Error> {
        self.with_aggregate(head, |plot| plot.table())
    }

    fn with_aggregate<T>(
        &self,
        head: HeadId,
        use_it: impl FnOnce(&Aggregate<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let all = self.capture().sequences();
        let (query_side, key_side) = (head.attention.query_side(), head.attention.key_side());
        let mut read = 0;
        let some: Vec<usize> = self
            .sequences()
            .iter()
            .copied()
            .take_while(|&sequence| {
                let first = read == 0;
                read += all[sequence].tokens(query_side).len() * all[sequence].tokens(key_side).len();
                first || read <= READ
            })
            .collect();
        let mean = mean_by_position(some.iter().map(|&sequence| self.weights(head, sequence)), POSITIONS)?;
        let weights = rows(&mean);
        let mut plot = Aggregate::new(head, weights, mean.nrows(), mean.ncols());
        let info = self.capture().model();
        let title = format!("{}, head {}: mean by position", info.name, info.head_name(head));
        let what = if self.is_picture(0) { "pictures" } else { "sequences" };
        let subtitle = format!("{} {what}{}", some.len(), self.weighting.describe());
        (plot.title, plot.subtitle) = (&title, &subtitle);
        plot.caption = if self.is_picture(0) {
            "Mean over the pictures, from each position (rows) to each position (columns)."
        } else {
            "Mean over the sequences that reach so far, from each position (rows) to each position (columns): the last rows rest on \
             the longest alone."
        };
        Ok(use_it(&plot)?)
    }

    /// One sequence's attention in a head as lines between its queries and keys (AttentionViz, the sentence view); of a long one
    /// the part from [`View::first_token`] on.
    ///
    /// # Errors
    /// [`Error::Core`] for a head or sequence that does not exist, those of [`Sentence::scene`].
    pub fn sentence(&self, head: HeadId, sequence: usize, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        self.with_sentence(head, sequence, |sentence| {
            sentence.scene(view, size.unwrap_or_else(|| sentence.natural_size()))
        })
    }

    /// The numbers behind it: a row per pair of tokens, of a long text those in sight.
    ///
    /// # Errors
    /// As [`sentence`](Self::sentence).
    pub fn sentence_table(
        &self,
        head: HeadId,
        sequence: usize,
        view: &View,
        size: Option<[f32; 2]>,
    ) -> Result<Table, Error> {
        self.with_sentence(head, sequence, |sentence| {
            sentence.table(view, size.unwrap_or_else(|| sentence.natural_size()))
        })
    }

    fn with_sentence<T>(
        &self,
        head: HeadId,
        sequence: usize,
        use_it: impl FnOnce(&Sentence<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let attention = self.recent_weights(head, sequence)?;
        let weights = rows(&attention);
        let item = &self.capture().sequences()[sequence];
        let (queries, keys) = (
            words(item, head.attention.query_side()),
            words(item, head.attention.key_side()),
        );
        let mut sentence = Sentence::new(head, &queries, &keys, weights);
        let title = format!(
            "{}, head {}: attention in {}",
            self.capture().model().name,
            self.capture().model().head_name(head),
            item.name
        );
        let subtitle = match self.weighting.describe().trim_start_matches(", ") {
            "" => subtitle(item),
            weighed => format!("{weighed}: {}", subtitle(item)),
        };
        (sentence.title, sentence.subtitle) = (&title, &subtitle);
        Ok(use_it(&sentence)?)
    }

    /// One picture's attention in a head (AttentionViz, the image view): the heat map of `patch` (row and column; the one in
    /// the middle by default) and the strongest flows.
    ///
    /// # Errors
    /// [`Error::NotAPicture`], [`Error::Core`] for a head or sequence that does not exist, [`Error::Models`] if the picture
    /// cannot be read again, those of [`ImageAttention::scene`].
    pub fn image(
        &self,
        head: HeadId,
        sequence: usize,
        patch: Option<(usize, usize)>,
        view: &View,
        size: Option<[f32; 2]>,
    ) -> Result<Scene, Error> {
        self.with_image(head, sequence, patch, |plot| {
            plot.scene(view, size.unwrap_or_else(|| plot.natural_size()))
        })
    }

    /// The numbers behind it: a row per pair of tokens.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    pub fn image_table(&self, head: HeadId, sequence: usize) -> Result<Table, Error> {
        self.with_image(head, sequence, None, |plot| plot.table())
    }

    fn with_image<T>(
        &self,
        head: HeadId,
        sequence: usize,
        patch: Option<(usize, usize)>,
        use_it: impl FnOnce(&ImageAttention<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let attention = self.recent_weights(head, sequence)?;
        let item = &self.capture().sequences()[sequence];
        let title = format!(
            "{}, head {}: attention in {}{}",
            self.capture().model().name,
            self.capture().model().head_name(head),
            item.name,
            self.weighting.describe()
        );
        on_picture(head, item, rows(&attention), [&title, ""], patch, use_it)
    }

    /// One sequence's attention in every captured head, small (Vig 2019, the model view); a click opens a head.
    ///
    /// # Errors
    /// [`Error::Core`] for a sequence that does not exist, those of [`Overview::scene`].
    pub fn overview(&self, sequence: usize, view: &View, size: Option<[f32; 2]>) -> Result<Scene, Error> {
        self.with_overview(sequence, |overview| {
            overview.scene(view, size.unwrap_or_else(|| overview.natural_size()))
        })
    }

    /// The numbers behind it: a row per line.
    ///
    /// # Errors
    /// As [`overview`](Self::overview).
    pub fn overview_table(&self, sequence: usize) -> Result<Table, Error> {
        self.with_overview(sequence, |overview| overview.table())
    }

    fn with_overview<T>(
        &self,
        sequence: usize,
        use_it: impl FnOnce(&Overview<'_>) -> Result<T, attn_render::Error>,
    ) -> Result<T, Error> {
        let heads: Vec<HeadId> = self.capture().model().heads().collect();
        let mut weights = Vec::with_capacity(heads.len());
        for head in &heads {
            weights.push(self.weights(*head, sequence)?);
        }
        let drawings = heads.iter().zip(&weights).map(|(head, weights)| OverviewHead {
            head: *head,
            queries: weights.nrows(),
            keys: weights.ncols(),
            attention: rows(weights),
        });
        let mut overview = Overview::new(drawings.collect());
        // Without any head nothing was asked for yet.
        let item = self.capture().sequences().get(sequence);
        let name = item.map_or("", |item| &item.name);
        let title = format!(
            "{}: every head at {name}{}",
            self.capture().model().name,
            self.weighting.describe()
        );
        let subtitle = item.map(subtitle).unwrap_or_default();
        (overview.title, overview.subtitle) = (&title, &subtitle);
        Ok(use_it(&overview)?)
    }
}

/// Weights `[token, token]` of a picture drawn over it, with a title and a caption.
pub(crate) fn on_picture<T>(
    head: HeadId,
    item: &Sequence,
    weights: &[f32],
    [title, caption]: [&str; 2],
    patch: Option<(usize, usize)>,
    use_it: impl FnOnce(&ImageAttention<'_>) -> Result<T, attn_render::Error>,
) -> Result<T, Error> {
    let Some(image) = &item.image else {
        return Err(Error::NotAPicture {
            sequence: item.name.clone(),
        });
    };
    let tokens = item.tokens(head.attention.query_side());
    let special = tokens.iter().take_while(|token| token.special).count();
    let picture = load_picture(item)?;
    let mut plot = ImageAttention::new(head, picture, image.rows, image.columns, special, weights);
    if let Some(patch) = patch {
        // A patch outside the grid names a token that does not exist, which the view refuses with both numbers.
        plot.token = tokens
            .iter()
            .position(|token| token.patch == Some(patch))
            .unwrap_or(tokens.len());
    }
    (plot.title, plot.caption) = (title, caption);
    Ok(use_it(&plot)?)
}

/// A sequence's tokens as the views take them.
pub(crate) fn words(item: &Sequence, side: Side) -> Vec<SentenceToken<'_>> {
    fn word(token: &Token) -> SentenceToken<'_> {
        SentenceToken {
            text: &token.text,
            special: token.special,
        }
    }
    item.tokens(side).iter().map(word).collect()
}

/// Weights row by row; attention is made in standard layout.
pub(crate) fn rows(attention: &Array2<f32>) -> &[f32] {
    attention.as_slice().unwrap_or_default()
}

pub(crate) fn subtitle(sequence: &Sequence) -> String {
    match (&sequence.cut_from, &sequence.text) {
        (Some(tokens), _) => format!("cut from {tokens} tokens to the longest the model takes"),
        (None, Some(text)) => text.clone(),
        _ => String::new(),
    }
}
