//! Sentences divided into labeled words, as people annotated them: CoNLL-U, and lines of `word_tag`.
//!
//! CoNLL-U is the format of Universal Dependencies (<https://universaldependencies.org/format.html>). Models read the
//! sentence's text, not its words, so every word knows where it stands in the text.

use serde::{Deserialize, Serialize};

use crate::Error;

/// One word of a [`TaggedSentence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedWord {
    /// As it is written.
    pub text: String,
    /// Where it stands in the sentence's text: byte offsets, end exclusive. Words of a contraction that cannot be told
    /// apart in the text (`du` = `de le`) share the contraction's span.
    pub span: (usize, usize),
    /// One per name in [`TaggedText::columns`]; `None` where the file has none.
    pub tags: Vec<Option<String>>,
}

/// One sentence of a [`TaggedText`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedSentence {
    /// What a model reads.
    pub text: String,
    /// Line of the file where it begins, from 1.
    pub line: usize,
    /// Comments of the form `# key = value`, without the text.
    pub comments: Vec<(String, String)>,
    /// Its words, in order.
    pub words: Vec<TaggedWord>,
}

impl TaggedSentence {
    /// The value of a comment, for example of `# sentiment = positive`.
    pub fn comment(&self, key: &str) -> Option<&str> {
        let found = self.comments.iter().find(|(name, _)| name == key)?;
        Some(&found.1)
    }
}

/// Sentences with labels per word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedText {
    /// What the tags of each word are.
    pub columns: Vec<String>,
    /// The sentences.
    pub sentences: Vec<TaggedSentence>,
}

impl TaggedText {
    /// Reads CoNLL-U. `place` is what errors call it.
    ///
    /// `columns` names what to keep: `lemma`, `upos`, `xpos`, `deprel`, or one attribute as `feats.Number`, `misc.Class`.
    /// Empty nodes (`8.1`) are left out.
    ///
    /// The sentence's text is that of `# text =`, where the words must be found in order; without one it is built from the
    /// words and `SpaceAfter=No`.
    ///
    /// ```
    /// use attn_analyze::concepts::TaggedText;
    ///
    /// let file = "# text = Don't go.\n1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tDo\tdo\tAUX\t_\t_\t3\taux\t_\t_\n\
    ///     2\tn't\tnot\tPART\t_\t_\t3\tadvmod\t_\t_\n3\tgo\tgo\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No\n\
    ///     4\t.\t.\tPUNCT\t_\t_\t3\tpunct\t_\t_\n";
    /// let text = TaggedText::conllu(file, "example", &["upos"])?;
    /// let words: Vec<_> = text.sentences[0].words.iter().map(|word| (word.text.as_str(), word.span)).collect();
    /// assert_eq!(words, [("Do", (0, 2)), ("n't", (2, 5)), ("go", (6, 8)), (".", (8, 9))]);
    /// assert_eq!(text.sentences[0].words[1].tags, [Some("PART".to_owned())]);
    /// # Ok::<(), attn_analyze::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parse`] with the line, [`Error::Parameter`] for an unknown column, [`Error::Empty`] without a sentence.
    pub fn conllu(content: &str, place: &str, columns: &[&str]) -> Result<Self, Error> {
        let chosen = columns
            .iter()
            .map(|name| Column::new(name))
            .collect::<Result<Vec<_>, _>>()?;
        let mut reader = Conllu {
            place,
            columns: &chosen,
            sentences: Vec::new(),
            open: Open::default(),
        };
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut lines = 0;
        for (at, line) in content.lines().enumerate() {
            lines = at + 1;
            reader.line(at + 1, line.trim_end_matches('\r'))?;
        }
        reader.close(lines)?;
        Self::checked(
            columns.iter().map(|&name| name.to_owned()).collect(),
            reader.sentences,
            place,
        )
    }

    /// The names of all columns a CoNLL-U file has values in, as [`conllu`](Self::conllu) takes them: the fields in their order,
    /// then the attributes of `feats` and `misc` by name. Lines that are no words are passed over.
    ///
    /// ```
    /// use attn_analyze::concepts::TaggedText;
    ///
    /// let file = "1\tcats\tcat\tNOUN\t_\tNumber=Plur\t0\troot\t_\tSpaceAfter=No|Class=animal\n";
    /// assert_eq!(TaggedText::conllu_columns(file), ["lemma", "upos", "deprel", "feats.Number", "misc.Class"]);
    /// ```
    pub fn conllu_columns(content: &str) -> Vec<String> {
        let mut fields = [false; 10];
        let mut attributes = std::collections::BTreeSet::new();
        for line in content.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.trim_end_matches('\r').split('\t').collect();
            for (at, (seen, field)) in fields.iter_mut().zip(&words).enumerate() {
                *seen |= *field != "_";
                if let Some(name) = [(5, "feats"), (9, "misc")]
                    .into_iter()
                    .find_map(|(of, name)| (of == at).then_some(name))
                {
                    let pairs = field.split('|').filter_map(|pair| pair.split_once('='));
                    // How words are spaced is no label.
                    let names = pairs.map(|(key, _)| key).filter(|key| *key != "SpaceAfter");
                    attributes.extend(names.map(|key| format!("{name}.{key}")));
                }
            }
        }
        let named = [(2, "lemma"), (3, "upos"), (4, "xpos"), (7, "deprel")];
        let fields = named
            .into_iter()
            .filter(|(at, _)| fields[*at])
            .map(|(_, name)| name.to_owned());
        fields.chain(attributes).collect()
    }

    /// Reads one sentence per line, words separated by white space, each followed by `separator` and its tag
    /// (`the_DET cat_NOUN`). The last separator of a word counts, so words may contain it. The text is the words with
    /// single spaces.
    ///
    /// # Errors
    /// [`Error::Parse`] with the line for a word without a tag, [`Error::Empty`] without a sentence.
    pub fn word_tag(content: &str, place: &str, separator: char) -> Result<Self, Error> {
        let content = content.strip_prefix('\u{feff}').unwrap_or(content);
        let mut sentences = Vec::new();
        for (at, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut sentence = TaggedSentence {
                text: String::new(),
                line: at + 1,
                comments: Vec::new(),
                words: Vec::new(),
            };
            for item in line.split_whitespace() {
                let parts = item
                    .rsplit_once(separator)
                    .filter(|(word, tag)| !word.is_empty() && !tag.is_empty());
                let Some((word, tag)) = parts else {
                    return Err(Error::Parse {
                        place: place.to_owned(),
                        line: at + 1,
                        expected: format!("word{separator}tag"),
                        found: format!("`{item}`"),
                    });
                };
                if !sentence.text.is_empty() {
                    sentence.text.push(' ');
                }
                let start = sentence.text.len();
                sentence.text += word;
                sentence.words.push(TaggedWord {
                    text: word.to_owned(),
                    span: (start, sentence.text.len()),
                    tags: vec![Some(tag.to_owned())],
                });
            }
            sentences.push(sentence);
        }
        Self::checked(vec!["tag".into()], sentences, place)
    }

    /// The first `count` sentences.
    pub fn truncate(&mut self, count: usize) {
        self.sentences.truncate(count);
    }

    fn checked(columns: Vec<String>, sentences: Vec<TaggedSentence>, place: &str) -> Result<Self, Error> {
        if sentences.is_empty() {
            return Err(Error::Empty {
                place: place.to_owned(),
                expected: "at least one sentence".into(),
            });
        }
        Ok(Self { columns, sentences })
    }
}

/// Where a tag stands: a field, and an attribute within it.
struct Column {
    field: usize,
    attribute: Option<String>,
}

impl Column {
    fn new(name: &str) -> Result<Self, Error> {
        let field = match name.split_once('.') {
            Some(("feats", attribute)) if !attribute.is_empty() => Some((5, Some(attribute.to_owned()))),
            Some(("misc", attribute)) if !attribute.is_empty() => Some((9, Some(attribute.to_owned()))),
            _ => match name {
                "lemma" => Some((2, None)),
                "upos" => Some((3, None)),
                "xpos" => Some((4, None)),
                "deprel" => Some((7, None)),
                _ => None,
            },
        };
        let (field, attribute) = field.ok_or_else(|| Error::Parameter {
            name: "columns",
            expected: "lemma, upos, xpos, deprel, feats.NAME or misc.NAME".into(),
            found: name.to_owned(),
        })?;
        Ok(Self { field, attribute })
    }

    fn read(&self, fields: &[&str]) -> Option<String> {
        let field = fields.get(self.field)?;
        match &self.attribute {
            None => (*field != "_").then(|| (*field).to_owned()),
            Some(attribute) => value(field, attribute).map(str::to_owned),
        }
    }
}

/// The value of one attribute of `A=x|B=y`.
fn value<'a>(field: &'a str, attribute: &str) -> Option<&'a str> {
    field.split('|').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == attribute).then_some(value)
    })
}

/// A stretch of the text that is written in one: a word, or a contraction of several.
struct Written {
    line: usize,
    text: String,
    space_after: bool,
    /// Its words: text and tags.
    words: Vec<(String, Vec<Option<String>>)>,
    /// Id of its last word.
    last: usize,
}

#[derive(Default)]
struct Open {
    line: usize,
    text: Option<String>,
    comments: Vec<(String, String)>,
    written: Vec<Written>,
    words: usize,
}

struct Conllu<'a> {
    place: &'a str,
    columns: &'a [Column],
    sentences: Vec<TaggedSentence>,
    open: Open,
}

impl Conllu<'_> {
    fn wrong(&self, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Parse {
            place: self.place.to_owned(),
            line,
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), Error> {
        if line.trim().is_empty() {
            return self.close(number);
        }
        if self.open.line == 0 {
            self.open.line = number;
        }
        if let Some(comment) = line.strip_prefix('#') {
            if let Some((key, value)) = comment.split_once('=') {
                match key.trim() {
                    "text" => self.open.text = Some(value.trim().to_owned()),
                    key => self.open.comments.push((key.to_owned(), value.trim().to_owned())),
                }
            }
            return Ok(());
        }
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != 10 {
            return Err(self.wrong(number, "10 fields separated by tabs", fields.len().to_string()));
        }
        let space_after = value(fields[9], "SpaceAfter") != Some("No");
        if fields[0].contains('.') {
            return Ok(());
        }
        if let Some((first, last)) = fields[0].split_once('-') {
            let ids = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
            let Some((_, last)) = ids.filter(|&(first, last)| first == self.open.words + 1 && last >= first) else {
                let expected = format!("a range that begins with word {}", self.open.words + 1);
                return Err(self.wrong(number, expected, fields[0]));
            };
            self.open.written.push(Written {
                line: number,
                text: fields[1].to_owned(),
                space_after,
                words: Vec::new(),
                last,
            });
            return Ok(());
        }
        if fields[0].parse() != Ok(self.open.words + 1) {
            return Err(self.wrong(
                number,
                format!("word {}", self.open.words + 1),
                format!("`{}`", fields[0]),
            ));
        }
        self.open.words += 1;
        let tags = self.columns.iter().map(|column| column.read(&fields)).collect();
        let word = (fields[1].to_owned(), tags);
        match self
            .open
            .written
            .last_mut()
            .filter(|written| written.last >= self.open.words)
        {
            Some(contraction) => contraction.words.push(word),
            None => self.open.written.push(Written {
                line: number,
                text: fields[1].to_owned(),
                space_after,
                words: vec![word],
                last: self.open.words,
            }),
        }
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<(), Error> {
        let open = std::mem::take(&mut self.open);
        if open.written.is_empty() {
            return Ok(());
        }
        if open.written.last().is_some_and(|written| written.last > open.words) {
            return Err(self.wrong(line, "all words of a range", "the end of the sentence"));
        }
        let given = open.text.is_some();
        let mut text = open.text.unwrap_or_default();
        let mut words = Vec::with_capacity(open.words);
        let mut at = 0;
        for written in open.written {
            let start = if given {
                at += text[at..].len() - text[at..].trim_start().len();
                if !text[at..].starts_with(&written.text) {
                    let rest: String = text[at..].chars().take(20).collect();
                    return Err(self.wrong(
                        written.line,
                        format!("`{}` in the sentence's text", written.text),
                        format!("`{rest}`"),
                    ));
                }
                at
            } else {
                let start = text.len();
                text += &written.text;
                start
            };
            at = start + written.text.len();
            if !given && written.space_after {
                text.push(' ');
            }
            // A contraction whose words are spelt out in it is cut; otherwise all share its span.
            let spelt = written.words.iter().map(|(word, _)| word.as_str()).collect::<String>() == written.text;
            let mut inside = start;
            for (word, tags) in written.words {
                let span = if spelt {
                    (inside, inside + word.len())
                } else {
                    (start, at)
                };
                inside = span.1;
                words.push(TaggedWord { text: word, span, tags });
            }
        }
        if !given {
            text.truncate(text.trim_end().len());
        }
        self.sentences.push(TaggedSentence {
            text,
            line: open.line,
            comments: open.comments,
            words,
        });
        Ok(())
    }
}
