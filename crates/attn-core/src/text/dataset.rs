//! Text with columns of labels and numbers, of its lines and of its words.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io::Read,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    Line, MAX_COLUMNS, Note, TaggedText, TextFormat, TextParams, csv, json, lines, split_lines, too_many_columns, wrong,
};
use crate::{Error, Result, files};

/// Lines of text, and columns of labels and numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Its name in messages, usually the file's.
    pub place: String,
    /// The texts that a model reads, one sequence each.
    pub lines: Vec<Line>,
    /// The columns, in the order of the file.
    pub columns: Vec<TextColumn>,
    /// Parts of the file that were left out.
    pub notes: Vec<Note>,
}

/// A column of a [`Dataset`]: texts, before a model has divided the lines into tokens. [`Dataset::columns`] makes token columns of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextColumn {
    /// Its name in the file: `upos`, `feats.Number`, `label`.
    pub name: String,
    /// Its values.
    pub values: TextValues,
}

/// Values of lines, or of words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextValues {
    /// The values of the lines that have one, by their index in [`Dataset::lines`].
    Lines(BTreeMap<usize, String>),
    /// For the lines with such words, by their index, the words that have a value: their place in the line's text (bytes, end
    /// exclusive), and the value. Words of one place follow one another.
    Words(BTreeMap<usize, Vec<((usize, usize), String)>>),
}

impl Dataset {
    /// Reads a file. Its name tells the format ([`TextFormat::of`]) unless the parameters do.
    ///
    /// Of CoNLL-U every field and every attribute of `feats` and `misc` is a column of words, and every comment but the text a column
    /// of lines. Of JSON, values that are lists or objects are left out, with a note.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NotAFile`] for a device or pipe; [`Error::TooLarge`]; [`Error::Text`] for an unknown suffix, a
    /// file that is not well-formed or has no column with text.
    pub fn read(path: impl AsRef<Path>, params: &TextParams) -> Result<Self> {
        let path = path.as_ref();
        // The name is checked before anything is read.
        let format = params.format.map_or_else(|| TextFormat::of(path), Ok)?;
        let bytes = files::read(path, params.max_bytes)?;
        Self::parse_as(&bytes, path, format, params)
    }

    /// As [`read`](Self::read), from any reader; `path` is its name.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_reader(reader: impl Read, path: impl AsRef<Path>, params: &TextParams) -> Result<Self> {
        let path = path.as_ref();
        let format = params.format.map_or_else(|| TextFormat::of(path), Ok)?;
        let bytes = files::read_from(reader, &path.display().to_string(), params.max_bytes)?;
        Self::parse_as(&bytes, path, format, params)
    }

    /// As [`read`](Self::read), from the content of a file; `path` is its name.
    ///
    /// ```
    /// use attn_core::text::{Dataset, TextParams};
    ///
    /// let file = b"sentence,label\n\"Yes, we can.\",good\nNo way.,bad\n";
    /// let data = Dataset::parse(file, "votes.csv", &TextParams::default())?;
    /// assert_eq!(data.lines[0].text, "Yes, we can.");
    /// assert_eq!(data.columns[0].name, "label");
    /// # Ok::<(), attn_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read), without I/O.
    pub fn parse(bytes: &[u8], path: impl AsRef<Path>, params: &TextParams) -> Result<Self> {
        let path = path.as_ref();
        let format = params.format.map_or_else(|| TextFormat::of(path), Ok)?;
        Self::parse_as(bytes, path, format, params)
    }

    fn parse_as(bytes: &[u8], path: &Path, format: TextFormat, params: &TextParams) -> Result<Self> {
        let place = path.display().to_string();
        if bytes.len() as u64 > params.max_bytes {
            return Err(Error::TooLarge {
                place,
                what: "bytes",
                limit: params.max_bytes,
            });
        }
        let column = params.text_column.as_deref();
        let content = || lines::utf8(bytes, &place);
        match format {
            TextFormat::Lines => Ok(Self {
                lines: split_lines(bytes, path)?,
                columns: Vec::new(),
                notes: Vec::new(),
                place,
            }),
            TextFormat::Csv { delimiter } => csv::read(content()?, &place, delimiter, column),
            TextFormat::JsonLines => json::lines_of_objects(content()?, &place, params),
            TextFormat::Json => json::list(content()?, &place, column),
            TextFormat::Conllu | TextFormat::ConlluPlus => {
                let content = content()?;
                let plus = format == TextFormat::ConlluPlus;
                let (names, nameless) = TaggedText::column_names(content, &place, plus)?;
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut data = Self::tagged(TaggedText::parse(content, &place, &names, plus)?, place)?;
                data.notes.extend(nameless.map(|(line, attribute)| Note {
                    line: Some(line),
                    message: format!("attributes without a name, such as `{attribute}`, were left out"),
                }));
                Ok(data)
            }
            TextFormat::WordTag { separator } => {
                let tagged = TaggedText::word_tag(content()?, &place, separator)?;
                Self::tagged(tagged, place)
            }
        }
    }

    /// Labeled words as columns. Values of comments are columns of lines.
    fn tagged(tagged: TaggedText, place: String) -> Result<Self> {
        let mut of_words = vec![BTreeMap::<usize, Vec<_>>::new(); tagged.columns.len()];
        let mut of_lines: Vec<(String, BTreeMap<usize, String>)> = Vec::new();
        let mut keys: HashMap<String, usize> = HashMap::new();
        let mut lines = Vec::with_capacity(tagged.sentences.len());
        for (at, sentence) in tagged.sentences.into_iter().enumerate() {
            for word in sentence.words {
                for (column, value) in word.tags {
                    of_words[column].entry(at).or_default().push((word.span, value));
                }
            }
            for (key, value) in sentence.comments {
                let column = *keys.entry(key).or_insert_with_key(|key| {
                    of_lines.push((key.clone(), BTreeMap::new()));
                    of_lines.len() - 1
                });
                // Of a comment that is there twice, the first counts.
                of_lines[column].1.entry(at).or_insert(value);
            }
            if of_words.len() + of_lines.len() > MAX_COLUMNS {
                return Err(too_many_columns(&place, sentence.line));
            }
            lines.push(Line {
                number: sentence.line,
                text: sentence.text,
            });
        }
        let (keys, of_lines): (Vec<String>, Vec<_>) = of_lines.into_iter().unzip();
        // A comment may have the name of a column of words.
        let (names, notes) = distinct(tagged.columns.into_iter().chain(keys));
        let values = of_words.into_iter().map(TextValues::Words);
        let values = values.chain(of_lines.into_iter().map(TextValues::Lines));
        let columns = names
            .into_iter()
            .zip(values)
            .map(|(name, values)| TextColumn { name, values });
        Ok(Self {
            columns: columns.collect(),
            lines,
            notes,
            place,
        })
    }

    /// A column by its name, in any case if none has exactly this name.
    pub fn column(&self, name: &str) -> Option<&TextColumn> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| {
            self.columns
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }
}

/// Rows of texts under the names of columns, as every table gives them.
pub(super) struct Rows {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Row>,
    notes: Vec<Note>,
}

/// A row: the number of the line where it begins, and the values that are not empty with the index of their column, in the
/// order of the columns.
pub(super) type Row = (usize, Vec<(usize, String)>);

impl Rows {
    /// Columns without names get their number; names that occur twice are counted.
    pub(super) fn new(names: Vec<String>) -> Self {
        let named = names.iter().enumerate().map(|(index, name)| match name.trim() {
            "" => format!("column {}", index + 1),
            name => name.to_owned(),
        });
        let (names, notes) = distinct(named);
        Self {
            names,
            rows: Vec::new(),
            notes,
        }
    }

    pub(super) fn note(&mut self, line: Option<usize>, message: String) {
        self.notes.push(Note { line, message });
    }

    /// Takes the text out. Rows without text are left out, as blank lines are, with a note.
    pub(super) fn dataset(mut self, place: &str, text: Option<&str>) -> Result<Dataset> {
        let at = text_column(&self.names, text, place)?;
        let mut lines = Vec::new();
        let mut columns = vec![BTreeMap::new(); self.names.len()];
        let mut without_text: Vec<usize> = Vec::new();
        for (number, values) in std::mem::take(&mut self.rows) {
            let text = values
                .iter()
                .find(|(column, text)| *column == at && !text.trim().is_empty());
            if text.is_none() {
                without_text.push(number);
                continue;
            }
            let mut text = String::new();
            for (column, value) in values {
                if column == at {
                    text = value;
                } else {
                    columns[column].insert(lines.len(), value);
                }
            }
            lines.push(Line { number, text });
        }
        if lines.is_empty() {
            let expected = format!("a row with text in `{}`", self.names[at]);
            return Err(wrong(place, None, expected, "none"));
        }
        match without_text[..] {
            [] => {}
            [line] => self.note(Some(line), "a row without text was left out".into()),
            [line, ..] => self.note(
                Some(line),
                format!(
                    "{} rows without text were left out, this is the first",
                    without_text.len()
                ),
            ),
        }
        let others = self.names.into_iter().zip(columns).enumerate();
        let others = others.filter(|(index, _)| *index != at);
        let columns = others.map(|(_, (name, values))| TextColumn {
            name,
            values: TextValues::Lines(values),
        });
        Ok(Dataset {
            columns: columns.collect(),
            lines,
            notes: self.notes,
            place: place.to_owned(),
        })
    }
}

/// Names of columns, those that occur twice counted, with a note each.
fn distinct(names: impl IntoIterator<Item = String>) -> (Vec<String>, Vec<Note>) {
    let (mut distinct, mut notes) = (Vec::new(), Vec::new());
    let mut taken = HashSet::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for name in names {
        let count = counts.entry(name.clone()).or_default();
        let mut own = name.clone();
        while !taken.insert(own.clone()) {
            *count += 1;
            own = format!("{name}.{count}");
        }
        if own != name {
            notes.push(Note {
                line: None,
                message: format!("a second column `{name}` is called `{own}`"),
            });
        }
        distinct.push(own);
    }
    (distinct, notes)
}

/// The index of the column with the text: the one that is asked for, or one of the usual names.
pub(super) fn text_column(names: &[String], asked: Option<&str>, place: &str) -> Result<usize> {
    let any_case = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let found = match asked {
        Some(asked) => names.iter().position(|name| name == asked).or_else(|| any_case(asked)),
        None => names.iter().position(|name| {
            ["text", "sentence"]
                .iter()
                .any(|usual| name.eq_ignore_ascii_case(usual))
        }),
    };
    found.ok_or_else(|| {
        let expected = match asked {
            Some(asked) => format!("a column `{asked}` with the text"),
            None => "a column `text` or `sentence`, or the name of another that holds the text".into(),
        };
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        wrong(
            place,
            None,
            expected,
            if names.is_empty() {
                "no column".into()
            } else {
                names.join(", ")
            },
        )
    })
}

#[cfg(feature = "store")]
mod tokens {
    use std::{borrow::Cow, collections::HashMap};

    use super::{Dataset, TextColumn, TextValues, wrong};

    /// Most values of all columns: a number per column and token.
    const MAX_VALUES: usize = 1 << 28;
    use crate::{Capture, Error, Result, Sequence, SequenceColumn, Side, Token, TokenColumn};

    impl Dataset {
        /// The columns as values of a capture's tokens.
        ///
        /// The capture's sequences must be lines of this file, by their names (`line 12`); some may be missing. A token has the value
        /// of the word in which its first letter lies, so all tokens of a word have the word's value. Words that share their place
        /// (`du` = `de le`) give one value, joined by `+`. Special tokens have the values of their line, and none of a word.
        ///
        /// [`ColumnKind::of`](crate::column::ColumnKind::of) tells numbers from classes.
        ///
        /// # Errors
        /// [`Error::Text`](crate::Error::Text) if the capture is of another text, [`Error::TooLarge`](crate::Error::TooLarge) if there
        /// are more than 268 million values, a number per column and token (2 GiB).
        pub fn columns(&self, capture: &Capture) -> Result<Vec<TokenColumn>> {
            let lines = self.lines_of(capture)?;
            let tokens = capture
                .tokens(Side::Encoder)
                .saturating_add(capture.tokens(Side::Decoder));
            if self.columns.len().saturating_mul(tokens) > MAX_VALUES {
                return Err(Error::TooLarge {
                    place: format!("{}: {} columns of {tokens} tokens", self.place, self.columns.len()),
                    what: "values",
                    limit: MAX_VALUES as u64,
                });
            }
            Ok(self
                .columns
                .iter()
                .map(|column| column.of_tokens(capture, &lines))
                .collect())
        }

        /// The columns of lines as values of a capture's sequences; columns of words are left out.
        ///
        /// # Errors
        /// As [`columns`](Self::columns).
        pub fn sequence_columns(&self, capture: &Capture) -> Result<Vec<SequenceColumn>> {
            let lines = self.lines_of(capture)?;
            let of_lines = |column: &TextColumn| match &column.values {
                TextValues::Words(_) => None,
                TextValues::Lines(values) => {
                    let texts: Vec<_> = lines.iter().map(|line| values.get(line)).collect();
                    Some(SequenceColumn::from_texts(&column.name, &texts))
                }
            };
            Ok(self.columns.iter().filter_map(of_lines).collect())
        }

        /// The line of every sequence.
        fn lines_of(&self, capture: &Capture) -> Result<Vec<usize>> {
            let lines: HashMap<String, usize> = (self.lines.iter().enumerate())
                .map(|(at, line)| (format!("line {}", line.number), at))
                .collect();
            let found = |sequence: &Sequence| {
                let line = lines.get(&sequence.name).copied();
                let text = sequence.text.as_deref().unwrap_or_default();
                // For an encoder-decoder the model may have written a target behind it.
                let line = line.filter(|&at| text.starts_with(self.lines[at].text.trim_end_matches('\t')));
                line.ok_or_else(|| {
                    let expected = format!("the text of the capture's {}", sequence.name);
                    let start: String = text.chars().take(40).collect();
                    wrong(&self.place, None, expected, format!("other text than `{start}`"))
                })
            };
            capture.sequences().iter().map(found).collect()
        }
    }

    impl TextColumn {
        /// The values of the tokens of sequences; `lines` has the line of each sequence.
        fn of_tokens(&self, capture: &Capture, lines: &[usize]) -> TokenColumn {
            let [encoder, decoder] = [Side::Encoder, Side::Decoder].map(|side| {
                let sequences = capture.sequences().iter().zip(lines);
                let texts = sequences.flat_map(|(sequence, &line)| self.of_sequence(sequence, side, line));
                texts.collect::<Vec<_>>()
            });
            TokenColumn::from_texts(&self.name, &encoder, &decoder)
        }

        /// A value per token; that of a line is borrowed, for it may be long.
        fn of_sequence(&self, sequence: &Sequence, side: Side, line: usize) -> Vec<Option<Cow<'_, str>>> {
            let tokens = sequence.tokens(side).iter();
            match &self.values {
                TextValues::Lines(values) => {
                    let value = values.get(&line).map(String::as_str);
                    tokens.map(|_| value.map(Cow::Borrowed)).collect()
                }
                TextValues::Words(values) => {
                    let text = sequence.text.as_deref().unwrap_or_default();
                    let words = values.get(&line).map_or(&[][..], Vec::as_slice);
                    tokens
                        .map(|token| of_word(words, token, text).map(Cow::Owned))
                        .collect()
                }
            }
        }
    }

    /// The value of the word, or of the words in one place, in which a token's first letter lies.
    fn of_word(words: &[((usize, usize), String)], token: &Token, text: &str) -> Option<String> {
        let letter = token.first_letter(text).filter(|_| !token.special)?;
        let inside = words
            .iter()
            .filter(|((start, end), _)| (*start..*end).contains(&letter));
        let values: Vec<&str> = inside.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join("+"))
    }

    #[cfg(test)]
    #[test]
    fn the_value_of_a_line_is_not_copied_for_its_tokens() {
        let value = "long".repeat(100);
        let column = TextColumn {
            name: "source".into(),
            values: TextValues::Lines([(3, value)].into()),
        };
        let sequence = Sequence {
            encoder: vec![Token::default(); 3],
            ..Sequence::default()
        };
        let values = column.of_sequence(&sequence, Side::Encoder, 3);
        assert_eq!(values.len(), 3);
        assert!(values.iter().all(|value| matches!(value, Some(Cow::Borrowed(_)))));
        assert_eq!(column.of_sequence(&sequence, Side::Encoder, 2), [None, None, None]);
    }

    #[cfg(test)]
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
        let with_space = value(token(2, 5));
        assert_eq!(
            with_space.as_deref(),
            Some("NOUN"),
            "the space before a word is not part of it"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, content: &str, text: Option<&str>) -> Result<Dataset> {
        let params = TextParams {
            text_column: text.map(str::to_owned),
            ..TextParams::default()
        };
        Dataset::parse(content.as_bytes(), name, &params)
    }

    fn texts(data: &Dataset) -> Vec<(usize, &str)> {
        data.lines
            .iter()
            .map(|line| (line.number, line.text.as_str()))
            .collect()
    }

    fn column<'a>(data: &'a Dataset, name: &str) -> Vec<Option<&'a str>> {
        match &data.column(name).unwrap().values {
            TextValues::Lines(values) => (0..data.lines.len())
                .map(|line| values.get(&line).map(String::as_str))
                .collect(),
            TextValues::Words(_) => panic!("words"),
        }
    }

    #[test]
    fn tables_have_a_text_and_columns() {
        let content = "\u{feff}id,Text,label\n7,\"one, \"\"two\"\"\",x\n8,,y\n9,three,\n";
        let data = parse("a.csv", content, None).unwrap();
        assert_eq!(texts(&data), [(2, "one, \"two\""), (4, "three")]);
        assert_eq!(column(&data, "id"), [Some("7"), Some("9")]);
        assert_eq!(column(&data, "label"), [Some("x"), None]);
        assert_eq!(data.notes[0].to_string(), "line 3: a row without text was left out");
        let content =
            "{\"body\": \"one\", \"n\": 1.5, \"l\": [1]}\r\n\n{\"body\": \"two\", \"ok\": true, \"n\": NaN}\n";
        for name in ["a.jsonl", "a.ndjson"] {
            let data = parse(name, content, Some("body")).unwrap();
            assert_eq!(texts(&data), [(1, "one"), (3, "two")]);
            assert_eq!(column(&data, "n"), [Some("1.5"), None]);
            assert_eq!(column(&data, "ok"), [None, Some("true")]);
            assert_eq!((data.columns.len(), data.notes.len()), (2, 1), "lists are left out");
        }
        let data = parse(
            "a.json",
            "[{\"text\": \"one\", \"y\": 1},\n {\"text\": \"two\", \"y\": Infinity}]",
            None,
        )
        .unwrap();
        assert_eq!(
            (texts(&data), column(&data, "y")),
            (vec![(1, "one"), (2, "two")], vec![Some("1"), None])
        );
    }

    #[test]
    fn all_delimiters_and_kinds_of_csv_are_read() {
        for (name, content) in [
            ("a.csv", "text;label;score\nthe cat, sat;good;1,5\nthe dog;bad;2\n"),
            (
                "a.csv",
                "\u{feff}sep=;\r\ntext;label;score\r\nthe cat, sat;good;1,5\r\nthe dog;bad;2\r\n",
            ),
            (
                "a.tsv",
                "text\tlabel\tscore\nthe cat, sat\tgood\t1.5\nthe dog\tbad\t2\n",
            ),
            (
                "a.csv",
                "text\tlabel\tscore\nthe cat, sat\tgood\t1.5\nthe dog\tbad\t2\n",
            ),
            (
                "a.CSV",
                "TEXT,LABEL,SCORE\n\"the cat, sat\",good,1.5\n\n\"the dog\",bad,2\n",
            ),
        ] {
            let data = parse(name, content, None).unwrap();
            let texts: Vec<&str> = data.lines.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["the cat, sat", "the dog"], "{content}");
            assert_eq!(column(&data, "label"), [Some("good"), Some("bad")]);
            assert_eq!(column(&data, "score"), [Some("1.5"), Some("2")], "{content}");
        }
        // In tab-separated files a quote is often just a quote.
        let data = parse("a.tsv", "text\tlabel\n\"Well\tgood\nhe said 5\" more\tbad\n", None).unwrap();
        assert_eq!(texts(&data), [(2, "\"Well"), (3, "he said 5\" more")]);
        let data = parse("a.csv", "id,text\n1,\"two\nlines\"\n2,\"a\r\nb\"\n3,c\n", None).unwrap();
        assert_eq!(texts(&data), [(2, "two\nlines"), (4, "a\r\nb"), (6, "c")]);
        let data = parse("a.csv", ",text,label,label\n0,the cat,good,1\n", None).unwrap();
        let names: Vec<&str> = data.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["column 1", "label", "label.1"]);
    }

    #[test]
    fn decimal_commas_are_numbers_beside_missing_ones_and_never_in_the_text() {
        for delimiter in [';', '\t', '|'] {
            let content = "text;score;mixed\n3,5;1,5;1,5\n2;NA;x\n1;2;2\n".replace(';', &delimiter.to_string());
            let data = parse("a.csv", &content, None).unwrap();
            assert_eq!(texts(&data)[0], (2, "3,5"));
            assert_eq!(column(&data, "score"), [Some("1.5"), Some("NA"), Some("2")]);
            assert_eq!(column(&data, "mixed"), [Some("1,5"), Some("x"), Some("2")]);
        }
    }

    #[test]
    fn commas_between_groups_of_three_digits_are_thousands() {
        let numbers = |content: &str| {
            let data = parse("a.csv", content, None).unwrap();
            let values: Vec<String> = column(&data, "n")
                .into_iter()
                .map(|value| value.unwrap().to_owned())
                .collect();
            (values, data.notes.len())
        };
        assert_eq!(
            numbers("text\tn\na\t1,500\nb\t-12,000,000.5\nc\t7\n"),
            (vec!["1500".into(), "-12000000.5".into(), "7".into()], 1)
        );
        assert_eq!(
            numbers("text,n\na,\"1,500\"\nb,NA\n"),
            (vec!["1500".into(), "NA".into()], 1)
        );
        // One that cannot be: decimals.
        assert_eq!(
            numbers("text\tn\na\t1,500\nb\t1,5\n"),
            (vec!["1.500".into(), "1.5".into()], 0)
        );
        assert_eq!(
            numbers("text\tn\na\t0,500\nb\t1,512\n"),
            (vec!["0.500".into(), "1.512".into()], 0)
        );
        // Where `;` stands between values, a comma is the decimal one.
        assert_eq!(numbers("text;n\na;1,500\n"), (vec!["1.500".into()], 0));
        assert_eq!(numbers("text\tn\na\t1,500,00\n"), (vec!["1,500,00".into()], 0));
    }

    #[test]
    fn an_empty_text_in_json_is_no_value() {
        let content = "{\"text\": \"one\", \"y\": \"\"}\n{\"text\": \"two\", \"y\": \"a\"}\n";
        let data = parse("a.jsonl", content, None).unwrap();
        assert_eq!((column(&data, "y"), data.notes.len()), (vec![None, Some("a")], 0));
        let error = parse("a.jsonl", "{\"text\": \"\"}\n", None).unwrap_err().to_string();
        assert!(error.contains("a row with text in `text`"), "{error}");
    }

    #[test]
    fn names_of_columns_of_words_and_lines_are_told_apart() {
        let file = "# upos = x\n# text = a\n1\ta\t_\tNOUN\t_\t_\t_\t_\t_\t_\n";
        let data = parse("a.conllu", file, None).unwrap();
        let names: Vec<&str> = data.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["upos", "upos.1"]);
        assert!(matches!(data.columns[0].values, TextValues::Words(_)));
        assert_eq!(column(&data, "upos.1"), [Some("x")]);
        assert_eq!(data.notes[0].to_string(), "a second column `upos` is called `upos.1`");
        let file = "# global.columns = ID FORM UPOS upos\n1\ta\tNOUN\tx\n";
        let error = parse("a.conllup", file, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.conllup, line 1: expected every column once, found `upos` twice"
        );
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        let error = |name, content, text| parse(name, content, text).unwrap_err().to_string();
        assert_eq!(
            error("a.csv", "id,body\n1,x\n", None),
            "a.csv: expected a column `text` or `sentence`, or the name of another that holds the text, found body, id"
        );
        assert_eq!(
            error("a.csv", "text,n\none,1\ntwo\n", None),
            "a.csv, line 3: expected 2 values separated by `,`, as in the first row, found 1"
        );
        assert_eq!(
            error("a.csv", "text,n\n\"one,1\ntwo,2\n", None),
            "a.csv, line 2: expected a quote that ends, found a quote that is open to the end of the file"
        );
        assert!(error("a.csv", "text,n\n,1\n", None).contains("a row with text in `text`"));
        assert!(error("a.csv", "text,n\n", None).contains("a row with text in `text`"));
        assert!(error("a.csv", "", None).ends_with("a row with the names of the columns, found an empty file"));
        let message = error("a.jsonl", "{\"text\": \"a\"}\n[1]\n", None);
        assert!(
            message.starts_with("a.jsonl, line 2: expected a JSON object, found "),
            "{message}"
        );
        assert!(!message.contains("line 1"), "{message}");
        let message = error("a.json", "{\"text\": \"a\"}\n", None);
        assert!(
            message.starts_with("a.json, line 1: expected a list of JSON objects"),
            "{message}"
        );
        assert!(error("a.docx", "x", None).starts_with("a.docx: expected a name that ends in .txt"));
        assert!(error("a.jsonl", "\n", None).contains("found no column"));
    }

    #[test]
    fn sizes_are_bounded() {
        let wide = format!("text{}\n", ",x".repeat(5000));
        let message = parse("a.csv", &wide, None).unwrap_err().to_string();
        assert_eq!(message, "a.csv, line 1: expected at most 4096 columns");
        let fields: Vec<String> = (0..5000).map(|field| format!("\"f{field}\":1")).collect();
        let message = parse("a.jsonl", &format!("{{{}}}\n", fields.join(",")), None)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "a.jsonl, line 1: expected at most 4096 columns");
        let params = TextParams {
            max_bytes: 5,
            ..TextParams::default()
        };
        assert!(matches!(
            Dataset::parse(b"123456", "a.txt", &params),
            Err(Error::TooLarge { limit: 5, .. })
        ));
        let endless = std::io::repeat(b'a');
        assert!(matches!(
            Dataset::from_reader(endless, "a.txt", &params),
            Err(Error::TooLarge { .. })
        ));
    }

    #[test]
    fn a_new_key_in_every_row_takes_memory_for_its_own_value_alone() {
        // A value per row and column would be 3000 x 3000.
        let rows: Vec<String> = (0..3000)
            .map(|row| format!("{{\"text\": \"a\", \"k{row}\": {row}}}\n"))
            .collect();
        let data = parse("a.jsonl", &rows.concat(), None).unwrap();
        assert_eq!(data.columns.len(), 3000);
        for column in &data.columns {
            let number = column.name[1..].to_owned();
            let only = TextValues::Lines([(number.parse().unwrap(), number)].into());
            assert_eq!(column.values, only);
        }
        let sentence = |at: usize| format!("# k{at} = v\n1\ta\t_\t_\t_\tF{at}=x\t_\t_\t_\t_\n\n");
        let data = parse("a.conllu", &(0..2000).map(sentence).collect::<String>(), None).unwrap();
        assert_eq!(data.columns.len(), 4000);
        let sizes = data.columns.iter().map(|column| match &column.values {
            TextValues::Lines(values) => values.len(),
            TextValues::Words(values) => values.len(),
        });
        assert_eq!(sizes.sum::<usize>(), 4000);
        // Beyond the bound, the line is named.
        let rows: Vec<String> = (0..9000)
            .map(|row| format!("{{\"text\": \"a\", \"k{row}\": {row}}}\n"))
            .collect();
        let message = parse("a.jsonl", &rows.concat(), None).unwrap_err().to_string();
        assert_eq!(message, "a.jsonl, line 4096: expected at most 4096 columns");
        let message = parse("a.conllu", &(0..5000).map(sentence).collect::<String>(), None)
            .unwrap_err()
            .to_string();
        assert_eq!(message, "a.conllu, line 12290: expected at most 4096 columns");
        let comments: String = (0..5000)
            .map(|at| format!("# k{at} = v\n1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n\n"))
            .collect();
        let message = parse("a.conllu", &comments, None).unwrap_err().to_string();
        assert_eq!(message, "a.conllu, line 12289: expected at most 4096 columns");
        // Lists and objects are named, a few of them.
        let rows: Vec<String> = (0..9000)
            .map(|row| format!("{{\"text\": \"a\", \"k{row}\": []}}\n"))
            .collect();
        let notes = parse("a.jsonl", &rows.concat(), None).unwrap().notes;
        assert_eq!(notes.len(), 17);
        assert_eq!(notes[16].message, "lists and objects in 8984 more fields were left out");
        let names = vec!["a"; 4000].join(",");
        let data = parse("a.csv", &format!("text,{names}\nx{}\n", ",1".repeat(4000)), None).unwrap();
        assert_eq!(data.columns[3999].name, "a.3999");
    }

    #[test]
    fn attributes_without_a_name_are_left_out_with_their_line() {
        let file = "# a\n1\ta\t_\t_\t_\tF=y|=x\t_\t_\t_\t_\n";
        let data = parse("a.conllu", file, None).unwrap();
        let names: Vec<&str> = data.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["feats.F"]);
        let note = "line 2: attributes without a name, such as `=x`, were left out";
        assert_eq!(data.notes[0].to_string(), note);
    }

    #[test]
    fn labeled_words_are_columns() {
        let conllu = "# sent_id = 1\n# text = Cats run\n1\tCats\tcat\tNOUN\t_\tNumber=Plur\t2\tnsubj\t_\t_\n\
            2\tRun\trun\tVERB\t_\t_\t0\troot\t_\t_\n\n";
        let conllu = conllu.replace("Run", "run").replace('\n', "\r\n");
        let data = parse("a.conllu", &format!("\u{feff}{conllu}"), None).unwrap();
        assert_eq!(texts(&data), [(1, "Cats run")]);
        let names: Vec<&str> = data.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["lemma", "upos", "deprel", "feats.Number", "sent_id"]);
        let plus =
            "# global.columns = ID FORM UPOS PARSEME:MWE\n# text = Cats run\n1\tCats\tNOUN\t*\n2\trun\tVERB\t1\n";
        let data = parse("a.conllup", plus, None).unwrap();
        let names: Vec<&str> = data.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["upos", "parseme:mwe"]);
        let words = vec![((0, 4), "NOUN".to_owned()), ((5, 8), "VERB".to_owned())];
        let upos = TextValues::Words([(0, words)].into());
        assert_eq!(data.columns[0].values, upos);
        let params = TextParams {
            format: Some(TextFormat::WordTag { separator: '_' }),
            ..TextParams::default()
        };
        let data = Dataset::parse(b"Cats_NOUN run_VERB\n", "a.txt", &params).unwrap();
        assert_eq!((data.columns[0].name.as_str(), &data.columns[0].values), ("tag", &upos));
    }
}
