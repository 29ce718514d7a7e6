//! What-if experiments: near words for a source token, other tokens in the target, other attention at a step.

use attn_core::{Attention, Progress, Side};
use attn_models::{
    Error as ModelError, Inputs, Point, Result as ModelResult, Site, Tap,
    candle::Tensor,
    intervene::{Edit, Heads, Intervention, Selection},
    to_array,
};

use super::{AttentionWeights, Decoder, Decoding, DecodingParams, HeadChoice, StateKind};
use crate::{Error, rows::cosine};

/// Tokens whose embeddings are looked up at once.
const TOGETHER: usize = 256;

/// A token whose embedding is near another's.
#[derive(Debug, Clone, PartialEq)]
pub struct NearWord {
    /// Its readable text.
    pub token: String,
    /// The characters that it stands for in a text: white space for its visible signs. `None` for a part of a character.
    pub text: Option<String>,
    /// Its id.
    pub id: u32,
    /// Cosine of the two embeddings.
    pub cosine: f32,
}

/// Takes the embeddings and ends the pass: nothing else is needed.
struct Embeddings {
    site: Site,
    found: Option<Tensor>,
}

impl Tap for Embeddings {
    fn wants(&self, site: Site) -> bool {
        site == self.site
    }

    fn tap(&mut self, _: Site, tensor: Tensor) -> ModelResult<Tensor> {
        self.found = Some(tensor);
        Err(ModelError::Core(attn_core::Error::Cancelled {
            stage: "embeddings".into(),
        }))
    }
}

impl Decoder {
    /// The tokens of text whose input embeddings have the largest cosine with that of `token`, best first, without it.
    ///
    /// # Errors
    /// [`Error::NoToken`] for a token that the vocabulary does not have; those of the model.
    ///
    /// ```
    /// use attn_study::decoding::Decoder;
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let three = decoder.tokenizer().id("3").unwrap();
    /// let near = decoder.nearest_words(three, 3)?;
    /// assert_eq!(near.len(), 3);
    /// assert!(near[0].cosine >= near[1].cosine && near[0].id != three);
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn nearest_words(&self, token: u32, count: usize) -> Result<Vec<NearWord>, Error> {
        let info = self.model().info();
        let vocabulary = info.vocab_size.unwrap_or(0).min(self.tokenizer().vocab_size());
        if token as usize >= vocabulary {
            return Err(Error::NoToken { token, vocabulary });
        }
        let own = self.embeddings(&[token])?.into_iter().next().unwrap_or_default();
        let special = self.tokenizer().special_ids();
        let ids: Vec<u32> = (0..)
            .take(vocabulary)
            .filter(|id| *id != token && special.binary_search(id).is_err())
            .collect();
        let mut near: Vec<(u32, f32)> = Vec::with_capacity(ids.len());
        let longest = info.max_tokens.unwrap_or(TOGETHER).clamp(1, TOGETHER);
        for chunk in ids.chunks(longest) {
            let rows = self.embeddings(chunk)?;
            let cosine = |row: &[f32]| cosine(&own, row).unwrap_or(0.0) as f32;
            near.extend(chunk.iter().zip(rows).map(|(&id, row)| (id, cosine(&row))));
        }
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(count);
        let word = |(id, cosine): (u32, f32)| {
            let token = self.tokenizer().token(id).text;
            NearWord {
                text: characters(&token),
                token,
                id,
                cosine,
            }
        };
        Ok(near.into_iter().map(word).collect())
    }

    /// The source of a decoding with a word in the place of a token. White space before the token stays. `None` for a token
    /// without a place in the text, and for a word without text.
    ///
    /// # Errors
    /// Those of the tokenizer.
    pub fn source_with(&self, decoding: &Decoding, token: usize, word: &NearWord) -> Result<Option<String>, Error> {
        let text = &decoding.source.text;
        let read = self.tokenizer().encode(text, self.model().info())?;
        let span = read.tokens.get(token).and_then(|token| token.span);
        let parts = span.and_then(|(from, to)| Some((text.get(..from)?, text.get(from..to)?, text.get(to..)?)));
        let (Some((before, piece, after)), Some(word)) = (parts, &word.text) else {
            return Ok(None);
        };
        // A token that is white space is replaced as a whole.
        let space = match piece.trim_start() {
            "" => "",
            rest => &piece[..piece.len() - rest.len()],
        };
        Ok(Some(format!("{before}{space}{word}{after}")))
    }

    fn embeddings(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>, Error> {
        let side = if self.translates() {
            Side::Encoder
        } else {
            Side::Decoder
        };
        let mut tap = Embeddings {
            site: Site::embedding(side),
            found: None,
        };
        let mut inputs = Inputs::from_ids(&[ids.to_vec()], 0)?;
        if self.translates() {
            inputs.decoder_input_ids = Inputs::from_ids(&[vec![ids.first().copied().unwrap_or(0)]], 0)?.input_ids;
        }
        let run = self.model().forward(&inputs, &mut tap);
        match (tap.found, run) {
            (Some(found), _) => {
                let array: attn_core::ndarray::Array3<f32> = to_array(&found)?;
                let (_, tokens, _) = array.dim();
                let row = |at: usize| array.slice(attn_core::ndarray::s![0, at, ..]).to_vec();
                Ok((0..tokens).map(row).collect())
            }
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Ok(Vec::new()),
        }
    }

    /// Decodes again with the tokens up to an entry of the beam forced: goes on from any node of the tree.
    ///
    /// # Errors
    /// [`Error::NoEntry`]; as [`decode`](Self::decode).
    pub fn continued(&self, decoding: &Decoding, entry: usize, progress: &dyn Progress) -> Result<Decoding, Error> {
        let path = decoding.path(entry)?;
        self.forced(decoding, &path, &decoding.params.interventions, progress)
    }

    /// Decodes again with another token at a step of a hypothesis, the steps before forced.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoStep`]; as [`decode`](Self::decode).
    pub fn replaced(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        step: usize,
        token: u32,
        progress: &dyn Progress,
    ) -> Result<Decoding, Error> {
        let mut path = self.before(decoding, hypothesis, step)?;
        path.push(token);
        self.forced(decoding, &path, &decoding.params.interventions, progress)
    }

    /// Decodes again with a text at a step of a hypothesis, the steps before forced.
    ///
    /// # Errors
    /// As [`replaced`](Self::replaced); those of the tokenizer.
    pub fn written(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        step: usize,
        text: &str,
        progress: &dyn Progress,
    ) -> Result<Decoding, Error> {
        let mut path = self.before(decoding, hypothesis, step)?;
        path.extend(self.exact_ids(text)?);
        self.forced(decoding, &path, &decoding.params.interventions, progress)
    }

    /// Decodes again from a step of a hypothesis on with further interventions, the steps before forced.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`], [`Error::NoStep`]; those of the interventions; as [`decode`](Self::decode).
    ///
    /// ```
    /// use attn_study::decoding::{Decoder, HeadChoice};
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let run = decoder.decode("May 21, 2000", &decoder.params(), &())?;
    /// // All heads look at the first character at step 6, which writes the month.
    /// let mut weights = vec![0.0; run.source.len()];
    /// weights[0] = 1.0;
    /// let edits = run.attention_edits(0, 6, &HeadChoice::All, &weights)?;
    /// let edited = decoder.edited(&run, 0, 6, &edits, &())?;
    /// assert!(edited.hypotheses[0].row.text.starts_with("2000-0"));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn edited(
        &self,
        decoding: &Decoding,
        hypothesis: usize,
        step: usize,
        edits: &[Intervention],
        progress: &dyn Progress,
    ) -> Result<Decoding, Error> {
        let path = self.before(decoding, hypothesis, step)?;
        let all: Vec<Intervention> = [&decoding.params.interventions, edits].concat();
        self.forced(decoding, &path, &all, progress)
    }

    fn before(&self, decoding: &Decoding, hypothesis: usize, step: usize) -> Result<Vec<u32>, Error> {
        let ids = &decoding.hypothesis(hypothesis)?.row.ids;
        let before = ids.get(..step).filter(|_| step < ids.len());
        before
            .map(<[u32]>::to_vec)
            .ok_or(Error::NoStep { step, steps: ids.len() })
    }

    fn forced(
        &self,
        decoding: &Decoding,
        path: &[u32],
        interventions: &[Intervention],
        progress: &dyn Progress,
    ) -> Result<Decoding, Error> {
        let mut params = DecodingParams {
            interventions: interventions.to_vec(),
            ..decoding.params.clone()
        };
        // The language that the settings force stands before the prefix.
        let forced = params.generation.forced_first;
        let forced = usize::from(decoding.prompt_tokens() == 1 && forced.is_some());
        params.generation.prefix = path.get(forced..).unwrap_or_default().to_vec();
        self.decode(&decoding.source.text, &params, progress)
    }
}

impl Decoding {
    /// Edits that give a step of a hypothesis the weights `[source]` in some heads, renormalized: cross-attention, or the part of
    /// self-attention that a decoder-only model gives to the prompt. What such a head gives to the tokens it has written stays.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of weights; [`Error::NoHypothesis`], [`Error::NoSuchHead`].
    pub fn attention_edits(
        &self,
        hypothesis: usize,
        step: usize,
        heads: &HeadChoice,
        weights: &[f32],
    ) -> Result<Vec<Intervention>, Error> {
        if weights.len() != self.source.len() {
            return Err(Error::Shape {
                what: "weights of the source",
                expected: self.source.len().to_string(),
                found: weights.len().to_string(),
            });
        }
        let found = self.hypothesis(hypothesis)?;
        let query = (self.prompt_tokens() + step).saturating_sub(1);
        let edit = |heads: Heads, weights: Vec<f32>| Edit::AttentionRow {
            heads,
            query,
            weights,
            renormalize: true,
        };
        let Some(cross) = &found.cross else {
            let own = &found.decoder_self;
            let row = |(layer, head): (usize, usize)| {
                let keys = query * own.keys + weights.len()..(query + 1) * own.keys;
                let written = own.head(layer, head).get(keys).unwrap_or_default();
                let heads = Heads::new(Attention::DecoderSelf, layer, head);
                edit(heads, [weights, written].concat()).into()
            };
            return Ok(own.chosen(heads)?.into_iter().map(row).collect());
        };
        let rows: Vec<Heads> = match heads {
            HeadChoice::All => (0..cross.layers)
                .map(|layer| Heads::all(Attention::Cross, layer))
                .collect(),
            HeadChoice::Layer(layer) => vec![Heads::all(Attention::Cross, *layer)],
            HeadChoice::Some(some) => {
                let head = |&(layer, head): &(usize, usize)| Heads::new(Attention::Cross, layer, head);
                some.iter().map(head).collect()
            }
        };
        let edits = rows.into_iter().map(|heads| edit(heads, weights.to_vec()).into());
        Ok(edits.collect())
    }
}

impl Decoding {
    /// Edits that give states of this run the vectors that another run has: for each pair a token of this run, and the token of a
    /// hypothesis of `other` whose state it takes. Tokens of decoder and context states are target tokens, of the step that predicts
    /// them. The edits hold the vectors, so that a saved run needs the other no more.
    ///
    /// # Errors
    /// [`Error::NoHypothesis`] without a hypothesis; [`Error::NoStep`] for a token without a state; [`Error::Shape`] for states of
    /// another width.
    ///
    /// ```
    /// use attn_study::decoding::{Decoder, StateKind};
    ///
    /// let decoder = Decoder::load(&attn_embedded::DATES.checkpoint()?)?;
    /// let may = decoder.decode("May 21, 2000", &decoder.params(), &())?;
    /// let march = decoder.decode("Mar 21, 2000", &decoder.params(), &())?;
    /// // The state of `y` becomes that of `r`.
    /// let edits = may.state_edits(StateKind::Encoder, &[(2, 2)], &march, 0)?;
    /// assert_eq!(decoder.edited(&may, 0, 0, &edits, &())?.hypotheses[0].row.text, "2000-03-21");
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    pub fn state_edits(
        &self,
        kind: StateKind,
        places: &[(usize, usize)],
        other: &Self,
        hypothesis: usize,
    ) -> Result<Vec<Intervention>, Error> {
        let own = self.hypothesis(0)?;
        let theirs = other.hypothesis(hypothesis)?;
        let first = |run: &Self| match kind {
            StateKind::Encoder => 0,
            _ => run.prompt_tokens().saturating_sub(1),
        };
        let layers = |weights: &Option<AttentionWeights>| weights.as_ref().map_or(0, |weights| weights.layers);
        let (site, width, states) = match kind {
            StateKind::Encoder => (
                Site::hidden(Side::Encoder, layers(&self.encoder_self)),
                self.encoder_states.width,
                &other.encoder_states,
            ),
            StateKind::Decoder => (
                Site::hidden(Side::Decoder, own.decoder_self.layers),
                own.decoder_states.width,
                &theirs.decoder_states,
            ),
            StateKind::Context => (
                Site::new(
                    Attention::Cross,
                    layers(&own.cross).saturating_sub(1),
                    Point::AttentionOutput,
                ),
                own.context_states.width,
                &theirs.context_states,
            ),
        };
        let edit = |&(token, from): &(usize, usize)| {
            let vector = states.row(first(other) + from).to_vec();
            if vector.is_empty() {
                let steps = states.len().saturating_sub(first(other));
                return Err(Error::NoStep { step: from, steps });
            }
            if vector.len() != width {
                return Err(Error::Shape {
                    what: "states of the other run",
                    expected: format!("width {width}"),
                    found: vector.len().to_string(),
                });
            }
            let edit = Edit::Mean {
                site,
                heads: Selection::All,
                tokens: (first(self) + token).into(),
                vector,
            };
            Ok(edit.into())
        };
        places.iter().map(edit).collect()
    }
}

/// The characters of a readable token.
fn characters(token: &str) -> Option<String> {
    let space = |c: char| match c {
        '␣' => Some(' '),
        '⏎' => Some('\n'),
        '⇥' => Some('\t'),
        _ => None,
    };
    if let Some(spaces) = token.chars().map(space).collect::<Option<String>>() {
        return (!spaces.is_empty()).then_some(spaces);
    }
    let byte = |part: &str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
    let inner = token.strip_prefix('<').and_then(|token| token.strip_suffix('>'));
    if inner.is_some_and(|inner| inner.split("><").all(|part| byte(part.trim_start_matches("0x")))) {
        return None;
    }
    Some(
        token
            .strip_prefix("##")
            .filter(|rest| !rest.is_empty())
            .unwrap_or(token)
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_signs_are_characters_again() {
        for (token, text) in [
            ("␣", Some(" ")),
            ("⏎⇥", Some("\n\t")),
            ("word", Some("word")),
            ("##ing", Some("ing")),
            ("##", Some("##")),
            ("<C3>", None),
            ("<0x0A>", None),
            ("<E2><82>", None),
        ] {
            assert_eq!(characters(token).as_deref(), text, "{token}");
        }
    }
}
