//! A table of texts: sequences, heads, clusters. Searched, sorted, clicked; only the rows in sight are laid out.

use egui::{
    Key, Label, Rect, RichText, ScrollArea, Sense, Shape, Stroke, TextEdit, TextStyle, TextWrapMode, Ui,
    text::{LayoutJob, TextWrapping},
    vec2,
};
use serde::{Deserialize, Serialize};

/// The column that a [`TextTable`] is sorted by, which a host may keep with the rest of what it saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sorting {
    /// Its place, from 0. A column that is not there does not sort.
    pub column: usize,
    /// Whether from the largest down.
    pub down: bool,
}

/// What the table keeps between frames. The host keeps the rows.
///
/// Rows are asked for by index and column, so they need not be in memory as texts. The order of rows is made anew when the search,
/// the sorting or the number of rows changes, and after [`invalidate`](Self::invalidate).
#[derive(Debug, Clone, Default)]
pub struct TextTable {
    search: String,
    searched_by_host: bool,
    sort: Option<Sorting>,
    /// The rows that are shown, in their order.
    order: Vec<usize>,
    ordered_for: Option<(String, Option<Sorting>, usize)>,
    scroll_to: Option<usize>,
    /// The widest text per column among the first rows.
    longest: Vec<String>,
    /// Rows in a weak color.
    dim: Vec<bool>,
}

/// Rows whose texts decide how wide columns are.
const READ: usize = 300;

/// What happened in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextTableResponse {
    /// The row that was clicked, or came to with the arrows.
    pub chosen: Option<usize>,
    /// How many rows the search leaves.
    pub shown: usize,
}

impl TextTable {
    /// A table without a field for searching, for a host that finds rows by more than the texts it shows.
    pub fn without_search() -> Self {
        Self {
            searched_by_host: true,
            ..Self::default()
        }
    }

    /// Finds and sorts again at the next frame: the texts changed.
    pub fn invalidate(&mut self) {
        self.ordered_for = None;
    }

    /// What the rows are sorted by; `None`: as they came.
    pub fn sorting(&self) -> Option<Sorting> {
        self.sort
    }

    /// Sorts the rows from the next frame on.
    pub fn sort_by(&mut self, sorting: Option<Sorting>) {
        self.sort = sorting;
    }

    /// Brings a row into sight at the next frame.
    pub fn scroll_to(&mut self, row: usize) {
        self.scroll_to = Some(row);
    }

    /// Writes rows in a weak color, by a flag per row; rows without a flag are as usual.
    pub fn dim(&mut self, rows: Vec<bool>) {
        self.dim = rows;
    }

    /// Shows the rows `0..rows` under the names of `columns`; `text` gives the text of a row in a column, `chosen` is set off.
    ///
    /// A click on a column's name sorts by it, upwards, then downwards, then as the rows came. Numbers sort as numbers. The search
    /// looks at all columns; upper and lower case are the same.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        columns: &[&str],
        rows: usize,
        chosen: Option<usize>,
        text: impl Fn(usize, usize) -> String,
    ) -> TextTableResponse {
        let mut response = TextTableResponse::default();
        let width = ui.available_width();
        if !self.searched_by_host {
            let field = TextEdit::singleline(&mut self.search)
                .hint_text("Search")
                .desired_width(width.min(220.0));
            ui.add(field);
        }
        self.follow(columns.len(), rows, &text);
        response.shown = self.order.len();
        let widths = self.widths(ui, columns, width);
        let row_height = ui.text_style_height(&TextStyle::Body) + 4.0;
        let cell = |ui: &mut Ui, column: usize, label: Label| {
            let size = vec2(widths[column], row_height);
            let layout = egui::Layout::left_to_right(egui::Align::Center);
            ui.allocate_ui_with_layout(size, layout, |ui| {
                ui.set_min_size(size);
                ui.add(label.wrap_mode(TextWrapMode::Truncate).selectable(false))
            })
            .inner
        };
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.horizontal(|ui| {
            for (column, name) in columns.iter().enumerate() {
                let label = Label::new(RichText::new(*name).strong()).sense(Sense::click());
                let header = cell(ui, column, label);
                let own = self.sort.filter(|sort| sort.column == column);
                if let Some(sort) = own {
                    sort_mark(ui, header.rect, sort.down);
                }
                if header.clicked() {
                    self.sort = match own {
                        Some(Sorting { down: true, .. }) => None,
                        own => Some(Sorting {
                            column,
                            down: own.is_some(),
                        }),
                    };
                    ui.ctx().request_repaint();
                }
            }
        });
        let mut area = ScrollArea::vertical().auto_shrink([false, false]);
        let spaced = row_height + ui.spacing().item_spacing.y;
        if let Some(place) = self
            .scroll_to
            .take()
            .and_then(|row| self.order.iter().position(|shown| *shown == row))
        {
            area = area.vertical_scroll_offset((place as f32 - 2.0).max(0.0) * spaced);
        }
        area.show_rows(ui, row_height, self.order.len(), |ui, range| {
            for place in range {
                let Some(&row) = self.order.get(place) else { break };
                let is_chosen = chosen == Some(row);
                let (rect, line) = ui.allocate_exact_size(vec2(ui.available_width(), row_height), Sense::click());
                let whole = text(row, 0);
                line.widget_info(|| egui::WidgetInfo::selected(egui::Role::Row, ui.is_enabled(), is_chosen, &whole));
                let visuals = ui.style().interact_selectable(&line, is_chosen);
                if is_chosen || line.hovered() || line.has_focus() {
                    ui.painter().rect_filled(rect, 2.0, visuals.weak_bg_fill);
                }
                // Painted, since a screen reader has the row's text already.
                let mut left = rect.min;
                for column in 0..columns.len() {
                    let words = if column == 0 { whole.clone() } else { text(row, column) };
                    let width = widths[column];
                    let color = match self.dim.get(row) {
                        Some(true) => ui.visuals().weak_text_color(),
                        _ => ui.visuals().text_color(),
                    };
                    let mut job = LayoutJob::simple_singleline(words, TextStyle::Body.resolve(ui.style()), color);
                    job.wrap = TextWrapping::truncate_at_width(width - 6.0);
                    let galley = ui.painter().layout_job(job);
                    let down = 0.5 * (row_height - galley.size().y);
                    ui.painter().galley(left + vec2(2.0, down), galley, color);
                    left.x += width;
                }
                let entered = line.has_focus() && ui.input(|input| input.key_pressed(Key::Enter));
                if line.clicked() || entered {
                    response.chosen = Some(row);
                }
            }
        });
        response
    }

    /// The columns after the first are as wide as their texts, up to equal shares of two thirds; the first has what they leave.
    fn widths(&self, ui: &Ui, columns: &[&str], width: f32) -> Vec<f32> {
        let others = columns.len().saturating_sub(1).max(1) as f32;
        let font = TextStyle::Body.resolve(ui.style());
        let wide = |text: &str| {
            let galley = ui
                .painter()
                .layout_no_wrap(text.to_owned(), font.clone(), ui.visuals().text_color());
            galley.size().x
        };
        let most = (0.66 * width / others).max(40.0);
        let mut widths: Vec<f32> = columns
            .iter()
            .enumerate()
            .map(|(column, name)| {
                let longest = self.longest.get(column).map_or(0.0, |text| wide(text));
                // Room for the mark of sorting.
                (longest.max(wide(name) + 12.0) + 6.0).min(most)
            })
            .collect();
        if let Some(first) = widths.first_mut() {
            *first = 0.0;
        }
        let rest = width - widths.iter().sum::<f32>() - 12.0;
        if let Some(first) = widths.first_mut() {
            *first = rest.max(60.0);
        }
        widths
    }

    /// Which rows are shown, and in which order.
    fn follow(&mut self, columns: usize, rows: usize, text: &impl Fn(usize, usize) -> String) {
        let key = (
            self.search.clone(),
            self.sort.filter(|sort| sort.column < columns),
            rows,
        );
        if self.ordered_for.as_ref() == Some(&key) {
            return;
        }
        let wanted = key.0.to_lowercase();
        let found = |row: &usize| {
            wanted.is_empty() || (0..columns).any(|column| text(*row, column).to_lowercase().contains(&wanted))
        };
        self.order = (0..rows).filter(found).collect();
        if let Some(Sorting { column, down }) = key.1 {
            // Numbers before words; equal rows stay as they came, in both directions.
            let mut keyed: Vec<((u8, f64, String), usize)> = self
                .order
                .iter()
                .map(|&row| {
                    let cell = text(row, column);
                    let number = cell
                        .replace('−', "-")
                        .trim()
                        .parse::<f64>()
                        .ok()
                        .filter(|n| !n.is_nan());
                    (number.map_or((1, 0.0, cell), |n| (0, n, String::new())), row)
                })
                .collect();
            keyed.sort_by(|(a, _), (b, _)| {
                let order = a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then_with(|| a.2.cmp(&b.2));
                if down { order.reverse() } else { order }
            });
            self.order = keyed.into_iter().map(|(_, row)| row).collect();
        }
        let read = self.order.len().min(READ);
        let longest = |column: usize| {
            let texts = self.order[..read].iter().map(|&row| text(row, column));
            texts.max_by_key(|text| breadth(text)).unwrap_or_default()
        };
        self.longest = (0..columns).map(longest).collect();
        self.ordered_for = Some(key);
    }
}

/// About how wide a text is, in quarters of a usual letter: texts of as many letters differ by a sixth.
fn breadth(text: &str) -> usize {
    let of = |letter: char| match letter {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | 'I' | ' ' | '.' | ',' | ':' | ';' | '!' | '|' | '\'' | '(' | ')' => 2,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 6,
        _ if letter.is_uppercase() => 5,
        _ => 4,
    };
    text.chars().map(of).sum()
}

/// A triangle after a column's name, painted because not every font has one.
fn sort_mark(ui: &Ui, name: Rect, down: bool) {
    let (middle, side) = (name.right_center() + vec2(8.0, 0.0), 3.5);
    let tip = if down { side } else { -side };
    let corners = vec![
        middle + vec2(-side, -tip),
        middle + vec2(side, -tip),
        middle + vec2(0.0, tip),
    ];
    let color = ui.visuals().text_color();
    ui.painter().add(Shape::convex_polygon(corners, color, Stroke::NONE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(search: &str, sort: Option<(usize, bool)>, rows: &[[&str; 2]]) -> Vec<usize> {
        let mut table = TextTable {
            search: search.into(),
            sort: sort.map(|(column, down)| Sorting { column, down }),
            ..TextTable::default()
        };
        table.follow(2, rows.len(), &|row, column| rows[row][column].to_owned());
        table.order
    }

    #[test]
    fn rows_are_found_and_sorted() {
        let rows = [["Cat", "10"], ["dog", "9"], ["cow", "−1"], ["ant", "none"]];
        assert_eq!(order("", None, &rows), [0, 1, 2, 3]);
        assert_eq!(order("c", None, &rows), [0, 2]);
        assert_eq!(
            order("", Some((1, false)), &rows),
            [2, 1, 0, 3],
            "as numbers, words last"
        );
        assert_eq!(order("", Some((1, true)), &rows), [3, 0, 1, 2]);
        assert_eq!(order("nothing", Some((0, false)), &rows), [0_usize; 0]);
        assert_eq!(order("", Some((7, false)), &rows), [0, 1, 2, 3], "no such column");
    }
}
