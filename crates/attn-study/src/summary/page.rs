//! The page about a model: headings, findings with their evidence, tables. Markdown, JSON and a window render the same page.

use std::fmt;

use attn_core::HeadId;
use serde::Serialize;

/// A page about a model.
///
/// A renderer needs no knowledge of models: a section is a heading and blocks, a block is text, a list or a table, and
/// text is a row of spans, some of which name heads. [`Page::markdown`] is one renderer; a window that turns heads into
/// links is another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// The sections, in order.
    pub sections: Vec<Section>,
    /// How to read the numbers.
    pub note: String,
}

/// One section of a [`Page`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// Its subject, for renderers that leave sections out.
    pub kind: SectionKind,
    /// Its heading; empty for the opening.
    pub heading: String,
    /// What it says, in order.
    pub blocks: Vec<Block>,
}

/// Subject of a [`Section`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SectionKind {
    /// The model and the data.
    Opening,
    /// The heads of each role.
    Roles,
    /// What the plots of heads show of attention.
    Plots,
    /// Heads that stand out.
    Anomalies,
    /// Heads with similar attention.
    Similarity,
    /// Heads that read the output of earlier heads.
    Composition,
    /// Attributes of tokens that explain attention.
    Content,
    /// The pairs of classes that semantic heads connect.
    Pairs,
    /// The role of every head, layer by layer.
    Heads,
}

/// A part of a [`Section`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block {
    /// A paragraph.
    Text(Text),
    /// Findings of one cell each.
    List(Vec<Finding>),
    /// Findings in columns.
    Table {
        /// Names of the columns.
        columns: Vec<String>,
        /// The rows, with a cell per column.
        rows: Vec<Finding>,
    },
}

/// A finding with its evidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Finding {
    /// Its cells: what was found, then the evidence.
    pub cells: Vec<Text>,
    /// An experiment that tests it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Suggestion>,
}

/// An ablation that tests a [`Finding`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suggestion {
    /// Words for a button.
    pub label: String,
    /// The heads to ablate.
    pub heads: Vec<HeadId>,
}

/// Text as spans.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Text(pub Vec<Span>);

/// A part of a [`Text`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Span {
    /// Plain text.
    Plain(String),
    /// Strong text.
    Strong(String),
    /// Emphasized text.
    Emphasis(String),
    /// Heads by name, a renderer may make links of them.
    Heads(Vec<PageHead>),
}

/// A head that a page names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PageHead {
    /// The head.
    pub head: HeadId,
    /// Its name; with its stack if the model has several.
    pub name: String,
    /// Numbers that stand behind the name; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Why it is named here; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Finding {
    /// A finding without an experiment.
    pub fn new<T: Into<Text>>(cells: impl IntoIterator<Item = T>) -> Self {
        Self {
            cells: cells.into_iter().map(Into::into).collect(),
            experiment: None,
        }
    }

    /// The finding with an experiment that tests it.
    #[must_use]
    pub fn tested_by(self, label: impl Into<String>, heads: Vec<HeadId>) -> Self {
        let label = label.into();
        Self {
            experiment: Some(Suggestion { label, heads }),
            ..self
        }
    }
}

impl Text {
    /// The text with more plain text.
    #[must_use]
    pub fn plain(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span::Plain(text.into()));
        self
    }

    /// The text with more strong text.
    #[must_use]
    pub fn strong(mut self, text: impl Into<String>) -> Self {
        self.0.push(Span::Strong(text.into()));
        self
    }

    /// Whether it names heads.
    pub fn names_heads(&self) -> bool {
        self.0.iter().any(|span| matches!(span, Span::Heads(_)))
    }

    /// The text with names of heads.
    #[must_use]
    pub fn heads(mut self, heads: Vec<PageHead>) -> Self {
        self.0.push(Span::Heads(heads));
        self
    }
}

/// The text alone, with the names of all heads.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for span in &self.0 {
            match span {
                Span::Plain(text) | Span::Strong(text) | Span::Emphasis(text) => f.write_str(text)?,
                Span::Heads(heads) => {
                    let names: Vec<&str> = heads.iter().map(|head| head.name.as_str()).collect();
                    f.write_str(&names.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(vec![Span::Plain(text)])
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// Heads that a page of text names of one role.
const NAMED: usize = 6;

impl Page {
    /// The page as Markdown. Of long lists of heads it names the first six.
    pub fn markdown(&self) -> String {
        let mut page = format!("# {}\n", escaped(&self.title));
        for section in &self.sections {
            if !section.heading.is_empty() {
                page += &format!("\n## {}\n", escaped(&section.heading));
            }
            for block in &section.blocks {
                page.push('\n');
                page += &match block {
                    Block::Text(text) => format!("{}\n", markdown(text)),
                    Block::List(findings) => findings.iter().map(item).collect(),
                    Block::Table { columns, rows } => table(columns, rows),
                };
            }
        }
        page + &format!("\n{}\n", escaped(&self.note))
    }
}

fn item(finding: &Finding) -> String {
    let cells: Vec<String> = finding.cells.iter().map(markdown).collect();
    format!("- {}\n", cells.join(" "))
}

fn table(columns: &[String], rows: &[Finding]) -> String {
    let cells = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let in_cell = |text: String| text.replace('|', "\\|");
    let mut table = cells(columns.iter().map(|name| in_cell(escaped(name))).collect());
    table += &format!("|{}\n", "---|".repeat(columns.len()));
    for row in rows {
        table += &cells(row.cells.iter().map(|cell| in_cell(markdown(cell))).collect());
    }
    table
}

fn markdown(text: &Text) -> String {
    let span = |span: &Span| match span {
        Span::Plain(text) => escaped(text),
        Span::Strong(text) => format!("**{}**", escaped(text)),
        Span::Emphasis(text) => format!("_{}_", escaped(text)),
        Span::Heads(heads) => {
            let names: Vec<String> = heads.iter().take(NAMED).map(head).collect();
            match heads.len().saturating_sub(NAMED) {
                0 => names.join(", "),
                more => format!("{} and {more} more", names.join(", ")),
            }
        }
    };
    text.0.iter().map(span).collect()
}

fn head(head: &PageHead) -> String {
    let space = if head.note.is_empty() { "" } else { " " };
    format!("{}{space}{}", escaped(&head.name), escaped(&head.note))
}

/// Text that Markdown takes for text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '_' | '`' | '[' | ']' | '<' | '\\') {
            escaped.push('\\');
        }
        escaped.push(if character.is_control() { ' ' } else { character });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use attn_core::Attention;

    use super::*;

    fn heads(count: usize) -> Vec<PageHead> {
        let head = |head| PageHead {
            head: HeadId::new(Attention::EncoderSelf, 0, head),
            name: format!("L0 H{head}"),
            note: String::new(),
            reason: String::new(),
        };
        (0..count).map(head).collect()
    }

    #[test]
    fn blocks_become_markdown() {
        let cells = [Text::default().strong("a|b"), Text::default().heads(heads(8))];
        let page = Page {
            title: "my_model".into(),
            sections: vec![Section {
                kind: SectionKind::Roles,
                heading: "Roles".into(),
                blocks: vec![
                    Block::Text("|A| < 2".into()),
                    Block::List(vec![Finding::new([Text::default().heads(heads(2)).plain(": both")])]),
                    Block::Table {
                        columns: vec!["role".into(), "heads".into()],
                        rows: vec![Finding::new(cells)],
                    },
                ],
            }],
            note: "The end.".into(),
        };
        assert_eq!(
            page.markdown(),
            "# my\\_model\n\n## Roles\n\n|A| \\< 2\n\n- L0 H0, L0 H1: both\n\n| role | heads |\n|---|---|\n\
             | **a\\|b** | L0 H0, L0 H1, L0 H2, L0 H3, L0 H4, L0 H5 and 2 more |\n\nThe end.\n"
        );
    }
}
