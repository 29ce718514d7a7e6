//! Text with what people know of it: parts of speech of words, labels of sentences, any column of a CoNLL-U, CSV or JSON-lines
//! file, brought to the tokens a model reads so that it can be a colour, a filter or a search.

mod table;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use attn_analyze::concepts::TaggedText;
use attn_core::{Capture, Sequence, Side, Token};
use attn_models::text::{Line, split_lines};

use crate::{Column, ColumnKind, Error};

/// Columns of whole numbers with at most so many different ones are classes, such as labels 0 and 1.
const FEW: usize = 12;

/// Lines of text, and columns of what is known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What a model reads, one sequence each.
    pub lines: Vec<Line>,
    /// What is known, in the order of the file.
    pub columns: Vec<DataColumn>,
    /// The file, for messages.
    place: String,
}

/// One column of a [`Dataset`], as texts.
#[derive(Debug, Clone, PartialEq)]
pub struct DataColumn {
    /// What the file calls it: `upos`, `feats.Number`, `label`.
    pub name: String,
    /// Its values.
    pub values: DataValues,
}

/// What the values of a [`DataColumn`] are about.
#[derive(Debug, Clone, PartialEq)]
pub enum DataValues {
    /// A value per line, or none.
    Lines(Vec<Option<String>>),
    /// Per line the words that have a value: their place in the line's text (bytes, end exclusive), and the value. Words of one
    /// place come one after the other.
    Words(Vec<Vec<((usize, usize), String)>>),
}

impl Dataset {
    /// Reads a file by its name: `.conllu`, `.csv`, `.jsonl`, anything else as lines of text without columns.
    ///
    /// `text` names the column of a table that holds the text; without it that is `text` or `sentence`, in any case. Of CoNLL-U every
    /// field and every attribute of `feats` and `misc` is a column of words, every comment but the text one of lines. Of JSON lines,
    /// values that are lists or objects are left out.
    ///
    /// # Errors
    /// Those of [`attn_models::text::read_lines`] and [`TaggedText::conllu`], [`Error::Dataset`] for a table that is not well formed or
    /// has no such column.
    pub fn read(path: impl AsRef<Path>, text: Option<&str>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| attn_models::Error::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&bytes, path, text)
    }

    /// As [`read`](Self::read), from the content of a file; `path` says what it is and is what errors name.
    ///
    /// ```
    /// use attn_study::Dataset;
    ///
    /// let file = b"sentence,label\n\"Yes, we can.\",good\nNo way.,bad\n";
    /// let data = Dataset::parse(file, "votes.csv".as_ref(), None)?;
    /// assert_eq!(data.lines[0].text, "Yes, we can.");
    /// assert_eq!(data.columns[0].name, "label");
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read), without I/O.
    pub fn parse(bytes: &[u8], path: &Path, text: Option<&str>) -> Result<Self, Error> {
        let place = path.display().to_string();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("csv") => table::csv(bytes, place, text),
            Some("jsonl") => table::json_lines(&split_lines(bytes, path)?, place, text),
            Some("conllu") => {
                // Checks that it is text.
                split_lines(bytes, path)?;
                Self::conllu(&String::from_utf8_lossy(bytes), place)
            }
            _ => Ok(Self {
                lines: split_lines(bytes, path)?,
                columns: Vec::new(),
                place,
            }),
        }
    }

    fn conllu(content: &str, place: String) -> Result<Self, Error> {
        let names = TaggedText::conllu_columns(content)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tagged = TaggedText::conllu(content, &place, &names)?;
        let mut columns = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let words = tagged.sentences.iter().map(|sentence| {
                let tagged = sentence.words.iter();
                let values = tagged.filter_map(|word| Some((word.span, word.tags.get(index)?.clone()?)));
                values.collect()
            });
            columns.push(DataColumn {
                name: (*name).to_owned(),
                values: DataValues::Words(words.collect()),
            });
        }
        let mut keys: Vec<&str> = Vec::new();
        for (key, _) in tagged.sentences.iter().flat_map(|sentence| &sentence.comments) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        for key in keys {
            let lines = tagged
                .sentences
                .iter()
                .map(|sentence| sentence.comment(key).map(str::to_owned));
            columns.push(DataColumn {
                name: key.to_owned(),
                values: DataValues::Lines(lines.collect()),
            });
        }
        let lines = tagged.sentences.into_iter().map(|sentence| Line {
            number: sentence.line,
            text: sentence.text,
        });
        Ok(Self {
            lines: lines.collect(),
            columns,
            place,
        })
    }

    /// The columns as values of a capture's tokens, for [`Study::add_column`](crate::Study::add_column).
    ///
    /// The capture's sequences must be lines of this file, by their names (`line 12`); some may be missing. A token has the value of the
    /// word in which its first letter lies, so all tokens of a word have the word's; words that share their place (`du` = `de le`) give
    /// one value, joined by `+`. Special tokens have the values of their line, and none of a word.
    ///
    /// Numbers are drawn from little to much, around 0 if there are some on both sides; at most 12 different whole numbers, and everything
    /// else, are classes, the most frequent first.
    ///
    /// ```
    /// use std::path::Path;
    /// use attn_embedded::{SENTENCES_CONLLU};
    /// use attn_models::Capturer;
    /// use attn_study::{ColumnKind, Dataset};
    ///
    /// let data = Dataset::parse(SENTENCES_CONLLU.as_bytes(), Path::new("sentences.conllu"), None)?;
    /// let capturer = Capturer::load(&attn_embedded::TEXT_ENCODER.checkpoint()?)?;
    /// let capture = capturer.capture_lines(&data.lines[..20])?;
    /// let columns = data.columns(&capture)?;
    /// let tags = columns.iter().find(|column| column.name == "upos").unwrap();
    /// assert!(matches!(&tags.kind, ColumnKind::Categorical(names) if names.contains(&"NOUN".to_owned())));
    /// # Ok::<(), attn_study::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Dataset`] if the capture is of another text.
    pub fn columns(&self, capture: &Capture) -> Result<Vec<Column>, Error> {
        let lines: HashMap<String, usize> = (self.lines.iter().enumerate())
            .map(|(at, line)| (format!("line {}", line.number), at))
            .collect();
        let found = |sequence: &Sequence| {
            let line = lines.get(&sequence.name).copied();
            let text = sequence.text.as_deref().unwrap_or_default();
            // For an encoder-decoder the model may have written a target behind it.
            let line = line.filter(|&at| text.starts_with(self.lines[at].text.trim_end_matches('\t')));
            line.ok_or_else(|| Error::Dataset {
                place: self.place.clone(),
                expected: format!("the text of the capture's {}", sequence.name),
                found: format!("other text than `{}`", text.chars().take(40).collect::<String>()),
            })
        };
        let places = capture
            .sequences()
            .iter()
            .map(found)
            .collect::<Result<Vec<usize>, _>>()?;
        Ok(self.columns.iter().map(|column| column.of(capture, &places)).collect())
    }
}

impl DataColumn {
    /// The values of the tokens of sequences that are the lines at `places`.
    fn of(&self, capture: &Capture, places: &[usize]) -> Column {
        let texts = |side: Side| -> Vec<Option<String>> {
            let sequences = capture.sequences().iter().zip(places);
            sequences
                .flat_map(|(sequence, &line)| self.of_tokens(sequence, side, line))
                .collect()
        };
        let (encoder, decoder) = (texts(Side::Encoder), texts(Side::Decoder));
        let all = || encoder.iter().chain(&decoder).flatten();
        let kind = kind(all());
        let classes: BTreeMap<&str, f32> = match &kind {
            ColumnKind::Categorical(names) => {
                let classes = names.iter().enumerate();
                classes.map(|(index, name)| (name.as_str(), index as f32)).collect()
            }
            _ => BTreeMap::new(),
        };
        let value = |text: &Option<String>| match (&kind, text) {
            (_, None) => f32::NAN,
            (ColumnKind::Categorical(_), Some(text)) => classes.get(text.as_str()).copied().unwrap_or(f32::NAN),
            (_, Some(text)) => text.trim().parse().unwrap_or(f32::NAN),
        };
        let (encoder, decoder) = (encoder.iter().map(value).collect(), decoder.iter().map(value).collect());
        Column {
            name: self.name.clone(),
            kind,
            encoder,
            decoder,
        }
    }

    fn of_tokens(&self, sequence: &Sequence, side: Side, line: usize) -> Vec<Option<String>> {
        let tokens = sequence.tokens(side).iter();
        match &self.values {
            DataValues::Lines(values) => {
                let value = values.get(line).cloned().flatten();
                tokens.map(|_| value.clone()).collect()
            }
            DataValues::Words(values) => {
                let text = sequence.text.as_deref().unwrap_or_default();
                let words = values.get(line).map_or(&[][..], Vec::as_slice);
                tokens.map(|token| of_word(words, token, text)).collect()
            }
        }
    }
}

/// The value of the word, or of the words in one place, in which a token's first letter lies.
fn of_word(words: &[((usize, usize), String)], token: &Token, text: &str) -> Option<String> {
    let letter = token.first_letter(text).filter(|_| !token.special)?;
    let values = words
        .iter()
        .filter(|((start, end), _)| (*start..*end).contains(&letter));
    let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
    (!values.is_empty()).then(|| values.join("+"))
}

/// How values are drawn: numbers along a scale, others as classes.
fn kind<'a>(values: impl Iterator<Item = &'a String>) -> ColumnKind {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let numbers = counts
        .keys()
        .map(|value| value.trim().parse::<f32>().ok().filter(|number| number.is_finite()));
    if let Some(numbers) = numbers
        .collect::<Option<Vec<f32>>>()
        .filter(|numbers| !numbers.is_empty())
    {
        let few = numbers.len() <= FEW && numbers.iter().all(|number| number.fract() == 0.0);
        let below = numbers.iter().any(|number| *number < 0.0);
        match (few, below && numbers.iter().any(|number| *number > 0.0)) {
            (true, _) => {}
            (false, true) => return ColumnKind::Diverging,
            (false, false) => return ColumnKind::Sequential,
        }
    }
    let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ColumnKind::Categorical(names.into_iter().map(|(name, _)| name.to_owned()).collect())
}

/// The column with the text: the one that was named, or the usual ones.
fn text_column<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    asked: Option<&str>,
    place: &str,
) -> Result<String, Error> {
    let usual = |name: &&str| {
        ["text", "sentence"]
            .iter()
            .any(|usual| name.eq_ignore_ascii_case(usual))
    };
    let found = match asked {
        Some(asked) => names.clone().find(|name| *name == asked),
        None => names.clone().find(usual),
    };
    found.map(str::to_owned).ok_or_else(|| Error::Dataset {
        place: place.to_owned(),
        expected: match asked {
            Some(asked) => format!("a column `{asked}` with the text"),
            None => "a column `text` or `sentence`, or the name of another that holds the text".into(),
        },
        found: names
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, content: &str, text: Option<&str>) -> Result<Dataset, Error> {
        Dataset::parse(content.as_bytes(), Path::new(name), text)
    }

    fn texts(data: &Dataset) -> Vec<(usize, &str)> {
        data.lines
            .iter()
            .map(|line| (line.number, line.text.as_str()))
            .collect()
    }

    fn column<'a>(data: &'a Dataset, name: &str) -> Vec<Option<&'a str>> {
        let column = data.columns.iter().find(|column| column.name == name).unwrap();
        match &column.values {
            DataValues::Lines(values) => values.iter().map(Option::as_deref).collect(),
            DataValues::Words(_) => panic!("words"),
        }
    }

    #[test]
    fn tables_have_a_text_and_columns() {
        let data = parse(
            "a.csv",
            "\u{feff}id,Text,label\n7,\"one, \"\"two\"\"\",x\n8,,y\n9,three,\n",
            None,
        )
        .unwrap();
        assert_eq!(
            texts(&data),
            [(2, "one, \"two\""), (4, "three")],
            "rows without a text are left out"
        );
        assert_eq!(
            (column(&data, "id"), column(&data, "label")),
            (vec![Some("7"), Some("9")], vec![Some("x"), None])
        );
        let data = parse(
            "a.jsonl",
            "{\"body\": \"one\", \"n\": 1.5, \"l\": [1]}\n\n{\"body\": \"two\", \"ok\": true}\n",
            Some("body"),
        );
        let data = data.unwrap();
        assert_eq!(texts(&data), [(1, "one"), (3, "two")]);
        assert_eq!(
            (column(&data, "n"), column(&data, "ok")),
            (vec![Some("1.5"), None], vec![None, Some("true")])
        );
        assert_eq!(data.columns.len(), 2, "lists are left out");
    }

    #[test]
    fn mistakes_in_tables_are_named() {
        let error = |name, content, text| parse(name, content, text).unwrap_err().to_string();
        assert_eq!(
            error("a.csv", "id,body\n1,x\n", None),
            "a.csv: expected a column `text` or `sentence`, or the name of another that holds the text, found body, id"
        );
        assert!(error("a.csv", "text,n\none,1\ntwo\n", None).starts_with("a.csv, line 3: expected rows"));
        assert!(
            error("a.jsonl", "{\"text\": \"a\"}\n[1]\n", None).starts_with("a.jsonl, line 2: expected a JSON object")
        );
        assert!(error("a.csv", "text,n\n,1\n", None).contains("a row with something in `text`"));
    }

    #[test]
    fn numbers_are_scales_unless_they_are_few_and_whole() {
        let kind = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            super::kind(values.iter())
        };
        assert_eq!(kind(&["0.5", "2"]), ColumnKind::Sequential);
        assert_eq!(kind(&["0.5", "-2"]), ColumnKind::Diverging);
        assert_eq!(
            kind(&["1", "0", "1"]),
            ColumnKind::Categorical(vec!["1".into(), "0".into()])
        );
        assert_eq!(kind(&["1", "b"]), ColumnKind::Categorical(vec!["1".into(), "b".into()]));
        assert_eq!(
            kind(&["NaN", "0.5"]),
            ColumnKind::Categorical(vec!["0.5".into(), "NaN".into()])
        );
    }

    #[test]
    fn a_token_has_the_value_of_the_words_it_begins_in() {
        let token = |start, end| Token {
            span: Some((start, end)),
            ..Token::default()
        };
        // `du pain`: two words share a place.
        let words = [
            ((0, 2), "ADP".to_owned()),
            ((0, 2), "DET".to_owned()),
            ((3, 7), "NOUN".to_owned()),
        ];
        let value = |token: Token| of_word(&words, &token, "du pain!");
        assert_eq!(value(token(0, 2)).as_deref(), Some("ADP+DET"));
        assert_eq!(
            value(token(2, 5)).as_deref(),
            Some("NOUN"),
            "the space before a word is no part of it"
        );
        assert_eq!(value(token(5, 7)).as_deref(), Some("NOUN"));
        assert_eq!(value(token(7, 8)), None);
        let special = Token {
            special: true,
            ..token(3, 7)
        };
        assert_eq!(value(special), None);
    }
}
