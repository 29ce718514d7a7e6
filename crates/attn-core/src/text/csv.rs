//! Tables of delimited values: CSV (RFC 4180) and TSV, with any delimiter.

use super::{
    MAX_COLUMNS,
    dataset::{Dataset, Rows, text_column},
    too_many_columns, wrong,
};
use crate::{
    Result,
    column::{ColumnKind, is_missing},
};

/// Delimiters that are tried, the usual one first.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Rows that a delimiter is tried on.
const TRIED: usize = 20;

/// Reads a table whose first row names the columns.
pub(super) fn read(content: &str, place: &str, delimiter: Option<char>, text: Option<&str>) -> Result<Dataset> {
    let (given, skipped) = separator_line(content);
    // The line stays in the count of lines.
    let records =
        |delimiter, quotes| Records::new(&content[skipped..], 1 + usize::from(skipped > 0), delimiter, quotes);
    let delimiter = delimiter
        .or(given)
        .unwrap_or_else(|| find_delimiter(|delimiter| records(delimiter, true)));
    // Many tab-separated files have quotes as part of their texts.
    let quotes = delimiter != '\t' || records(delimiter, true).all(|record| record.is_ok_and(|record| !record.loose));
    let mut table = table(records(delimiter, quotes), place, delimiter)?;
    let texts = text_column(&table.names, text, place)?;
    table.numbers_with_commas(texts, delimiter);
    table.dataset(place, text)
}

/// The delimiter that a spreadsheet's first line `sep=;` names, and the length of that line.
fn separator_line(content: &str) -> (Option<char>, usize) {
    let end = content.find('\n').map_or(content.len(), |end| end + 1);
    let line = content[..end].trim_end_matches(['\r', '\n']).trim_matches('"');
    let named = line
        .get(..4)
        .filter(|start| start.eq_ignore_ascii_case("sep="))
        .and_then(|_| {
            let mut rest = line[4..].chars();
            rest.next().filter(|_| rest.next().is_none())
        });
    (named, if named.is_some() { end } else { 0 })
}

/// The delimiter by which the first rows have equally many values; of several, the one that gives most columns.
fn find_delimiter<'a>(records: impl Fn(char) -> Records<'a>) -> char {
    let mut best = (false, 1, DELIMITERS[0]);
    for delimiter in DELIMITERS {
        let lengths: Vec<usize> = records(delimiter)
            .take(TRIED)
            .map_while(|record| Some(record.ok()?.fields.len()))
            .collect();
        let columns = lengths.first().copied().unwrap_or(0);
        let even = columns > 1 && lengths.iter().all(|length| *length == columns);
        if (even, columns) > (best.0, best.1) {
            best = (even, columns, delimiter);
        }
    }
    best.2
}

fn table(mut records: Records<'_>, place: &str, delimiter: char) -> Result<Rows> {
    let unclosed = |line| {
        wrong(
            place,
            line,
            "a quote that ends",
            "a quote that is open to the end of the file",
        )
    };
    let header = match records.next() {
        None => {
            return Err(wrong(
                place,
                None,
                "a row with the names of the columns",
                "an empty file",
            ));
        }
        Some(header) => header.map_err(unclosed)?,
    };
    if header.fields.len() > MAX_COLUMNS {
        return Err(too_many_columns(place, header.line));
    }
    let mut rows = Rows::new(header.fields);
    for record in records {
        let record = record.map_err(unclosed)?;
        if record.fields.len() != rows.names.len() {
            let separator = match delimiter {
                '\t' => "tabs".to_owned(),
                other => format!("`{other}`"),
            };
            return Err(wrong(
                place,
                record.line,
                format!(
                    "{} values separated by {separator}, as in the first row",
                    rows.names.len()
                ),
                record.fields.len().to_string(),
            ));
        }
        let values = record.fields.into_iter().enumerate();
        rows.rows
            .push((record.line, values.filter(|(_, value)| !value.is_empty()).collect()));
    }
    Ok(rows)
}

/// What a comma means in the numbers of a column.
#[derive(Debug, Clone, Copy)]
enum Comma {
    /// `1,5` is one and a half.
    Decimal,
    /// `1,500` is one thousand and a half. Also three decimals would look so: files with `;` between values have those.
    Thousands,
}

impl Comma {
    /// The number as other columns spell it; none if the value is no such number.
    fn plain(self, value: &str) -> Option<String> {
        let plain = match self {
            Self::Decimal => value.replacen(',', ".", 1),
            Self::Thousands if in_thousands(value) => value.replace(',', ""),
            Self::Thousands => return None,
        };
        ColumnKind::number(&plain).map(|_| plain)
    }
}

/// Whether the digits before the point stand in groups of three: `12,500`, `-1,000,000.5`.
fn in_thousands(value: &str) -> bool {
    let value = value.trim().trim_start_matches(['-', '+']);
    let mut groups = value.split('.').next().unwrap_or_default().split(',');
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let leads = (1..=3).contains(&first.len()) && digits(first) && !first.starts_with('0');
    leads && groups.all(|group| group.len() == 3 && digits(group))
}

impl Rows {
    /// Writes numbers with commas as other numbers are written, in columns that have nothing else but numbers and missing
    /// ones, and says so. The column with the texts stays as it is.
    fn numbers_with_commas(&mut self, text: usize, delimiter: char) {
        let meanings: &[Comma] = match delimiter {
            ';' => &[Comma::Decimal, Comma::Thousands],
            _ => &[Comma::Thousands, Comma::Decimal],
        };
        let mut commas = vec![false; self.names.len()];
        let mut possible = vec![vec![true; meanings.len()]; self.names.len()];
        for (column, value) in self.rows.iter().flat_map(|(_, values)| values) {
            let comma = value.contains(',');
            commas[*column] |= comma;
            for (possible, meaning) in possible[*column].iter_mut().zip(meanings) {
                *possible &= match comma {
                    true => meaning.plain(value).is_some(),
                    false => ColumnKind::number(value).is_some() || is_missing(value),
                };
            }
        }
        for column in (0..self.names.len()).filter(|column| commas[*column] && *column != text) {
            let Some(at) = possible[column].iter().position(|possible| *possible) else {
                continue;
            };
            let values = self.rows.iter_mut().flat_map(|(_, values)| values);
            for (_, value) in values.filter(|(of, value)| *of == column && value.contains(',')) {
                *value = meanings[at].plain(value).unwrap_or_default();
            }
            if let Comma::Thousands = meanings[at] {
                let message = format!(
                    "commas of `{}` were read as thousands: 1,500 is 1500",
                    self.names[column]
                );
                self.note(None, message);
            }
        }
    }
}

/// A row of a table.
struct Record {
    /// Number of the line where it begins.
    line: usize,
    fields: Vec<String>,
    /// Whether text follows a closing quote, as it does where quotes are part of the texts.
    loose: bool,
}

/// The rows of a table, without blank lines.
struct Records<'a> {
    rest: &'a str,
    line: usize,
    delimiter: char,
    /// Whether `"` encloses values.
    quotes: bool,
}

impl<'a> Records<'a> {
    fn new(content: &'a str, line: usize, delimiter: char, quotes: bool) -> Self {
        Self {
            rest: content,
            line,
            delimiter,
            quotes,
        }
    }

    /// Takes text up to a delimiter or the end of the line, without it.
    fn plain(&mut self) -> &'a str {
        let end = self.rest.find([self.delimiter, '\n', '\r']);
        let (value, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        value
    }

    /// Takes an enclosed value; the opening quote is taken already. `Err` with the line of the opening quote if none closes it.
    fn quoted(&mut self) -> Result<String, usize> {
        let opened = self.line;
        let mut value = String::new();
        loop {
            let Some(end) = self.rest.find('"') else {
                return Err(opened);
            };
            let part = &self.rest[..end];
            self.line += line_ends(part);
            value += part;
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('"') {
                Some(rest) => {
                    value.push('"');
                    self.rest = rest;
                }
                None => return Ok(value),
            }
        }
    }

    /// Takes a line without anything but blanks, if it is next.
    fn blank_line(&mut self) -> bool {
        let blank = |letter: char| [' ', '\t'].contains(&letter) && letter != self.delimiter;
        let rest = self.rest.trim_start_matches(blank);
        let found = rest.is_empty() || rest.starts_with(['\n', '\r']);
        if found {
            self.rest = rest;
            self.line_end();
        }
        found
    }

    /// Takes the end of a line, if it is next.
    fn line_end(&mut self) -> bool {
        let rest = (self.rest.strip_prefix("\r\n")).or_else(|| self.rest.strip_prefix(['\n', '\r']));
        match rest {
            Some(rest) => {
                self.rest = rest;
                self.line += 1;
                true
            }
            None => self.rest.is_empty(),
        }
    }
}

impl Iterator for Records<'_> {
    /// A row, or the line of a quote that nothing closes.
    type Item = Result<Record, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() && self.blank_line() {}
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let mut fields = Vec::new();
        let mut loose = false;
        loop {
            let mut field = String::new();
            let quoted = self.quotes && self.rest.starts_with('"');
            if let Some(rest) = self.rest.strip_prefix('"').filter(|_| self.quotes) {
                self.rest = rest;
                match self.quoted() {
                    Ok(value) => field = value,
                    Err(opened) => {
                        self.rest = "";
                        return Some(Err(opened));
                    }
                }
            }
            // Behind a closing quote there should be nothing; what there is belongs to the value, as elsewhere.
            let plain = self.plain();
            loose |= quoted && !plain.is_empty();
            field += plain;
            fields.push(field);
            match self.rest.strip_prefix(self.delimiter) {
                Some(rest) => self.rest = rest,
                None => {
                    self.line_end();
                    return Some(Ok(Record { line, fields, loose }));
                }
            }
        }
    }
}

/// Line ends within a value: `\n`, `\r\n` or `\r`.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let alone = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
    (0..bytes.len()).filter(|&at| alone(at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(content: &str, delimiter: char, quotes: bool) -> Vec<(usize, Vec<String>)> {
        let records = Records::new(content, 1, delimiter, quotes);
        records
            .map(|record| record.map(|record| (record.line, record.fields)).unwrap())
            .collect()
    }

    #[test]
    fn quotes_line_breaks_and_blank_lines_are_read() {
        let content = "id,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n\r\n2,\r\"x\ny\"z,\"\"\n";
        let expected: [(usize, [&str; 2]); 4] = [
            (1, ["id", "text"]),
            (2, ["1", "a, \"b\"\r\nc"]),
            (5, ["2", ""]),
            (6, ["x\nyz", ""]),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(line, fields)| (line, fields.map(str::to_owned).to_vec()))
            .collect();
        assert_eq!(fields(content, ',', true), expected);
        assert_eq!(fields("a\t\"b\nc\td", '\t', false)[0].1, ["a", "\"b"]);
        assert!(fields("", ',', true).is_empty());
        let blank = " \na,b\n \t \r\n1,2\n  ";
        let lines: Vec<usize> = fields(blank, ',', true).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 4]);
        // Tabs between nothing are a row of empty values.
        assert_eq!(fields("a\tb\n \t\n", '\t', true)[1].1, [" ", ""]);
        assert_eq!(
            Records::new("a\nb,\"c\nd\n", 1, ',', true).find_map(Result::err),
            Some(2)
        );
    }

    #[test]
    fn delimiters_are_found() {
        for (content, delimiter) in [
            ("text,label\nthe cat; it sat,good\n", ','),
            ("text;label\n\"a;b\";1,5\nc;2,5\n", ';'),
            ("text\tlabel\na, b\tx\n", '\t'),
            ("text|label\na|x\n", '|'),
            ("text\nno delimiter\n", ','),
            ("text,label\none,two,three\n", ','),
        ] {
            assert_eq!(
                find_delimiter(|delimiter| Records::new(content, 1, delimiter, true)),
                delimiter,
                "{content}"
            );
        }
        assert_eq!(separator_line("sep=;\r\na;b\n"), (Some(';'), 7));
        assert_eq!(separator_line("sep=\ta\n"), (None, 0));
        assert_eq!(separator_line("a,b\n"), (None, 0));
    }
}
