//! The lower pane: beam tree, states with their neighbors, heads, curves, coverage, change, blame.

use attn_sdk::{
    render::{
        Error, Plot,
        plot::deferred,
        plots::{HeadGrid, HeatTable},
    },
    study::decoding::{Decoding, StateKind},
};
use eframe::egui::{RichText, ScrollArea, Ui, Vec2, vec2};

use crate::{
    studio::{Experiment, Studio},
    views::{Seen, Tab, Token, Tree, Views},
};

/// What the states of a run lack without an index.
const NO_INDEX: &str = "No index: these are the states of this run alone, and their map is fitted on them. Neighbors, and a map that \
                        stays, come with an index: seq2seq index --model DIR --pairs FILE --out INDEX, then --index INDEX.";

/// The strongest of some cells.
fn strongest(table: &HeatTable, cells: impl Iterator<Item = usize>) -> Option<usize> {
    let value = |cell: &usize| table.values.get(*cell).map_or(0.0, |value| value.abs());
    cells.max_by(|a, b| value(a).total_cmp(&value(b)))
}

impl Studio {
    pub(super) fn detail(&mut self, ui: &mut Ui, seen: &mut Seen) {
        let Some(run) = self.run().cloned() else { return };
        let compared = self.compared_with().map(|(other, theirs)| (other.clone(), theirs));
        match self.look.tab {
            Tab::Beam => self.beam(ui, &run, seen),
            Tab::States | Tab::Pictograms => self.states(ui, &run, compared.as_ref(), seen),
            Tab::Heads | Tab::Alignment => self.heads(ui, &run, seen),
            Tab::Curves => self.curves(ui, &run, seen),
            Tab::Coverage => self.coverage(ui, &run, seen),
            Tab::Change => self.change(ui, seen),
            Tab::Blame => self.blamed(ui, &run, seen),
        }
    }

    fn beam(&mut self, ui: &mut Ui, run: &Experiment, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let Some(found) = run.decoding.hypotheses.get(look.hypothesis) else {
            return;
        };
        // Made once: a long search has thousands of nodes.
        let kept = views.tree.take().filter(|tree| tree.is_of(&run.decoding, look.penalty));
        let tree = &*views
            .tree
            .insert(kept.unwrap_or_else(|| Tree::new(&run.decoding, look.penalty)));
        let (entries, tree) = (&tree.entries, &tree.plot);
        let size = tree.natural_size();
        let of_token = |at: usize| {
            let entry = found.nodes.get(at)?;
            entries.iter().position(|members| members.contains(entry))
        };
        let marked = match views.token {
            Some(Token::Target(at)) => of_token(at),
            _ => None,
        };
        let mut area = ScrollArea::both().id_salt("tree").auto_shrink(false);
        if std::mem::take(&mut views.scrolls_back) {
            area = area.scroll_offset(Vec2::ZERO);
        }
        let shown = area
            .show(ui, |ui| {
                let size = vec2(size[0].max(ui.available_width()), size[1].max(ui.available_height()));
                let view = (&mut look.cameras.detail, &look.view);
                ui.allocate_ui(size, |ui| views.detail.show(ui, view, marked, tree))
                    .inner
            })
            .inner;
        let members = |id: u32| entries.get(id as usize);
        if let Some(last) = shown.over.and_then(members).and_then(|members| members.last()) {
            let on_way = found.nodes.iter().position(|own| own == last);
            seen.token = on_way.map(Token::Target).or(seen.token);
        }
        let clicked = shown.clicked.and_then(|pick| members(pick.id));
        seen.node = clicked.and_then(|members| members.last().copied());
    }

    fn states(&mut self, ui: &mut Ui, run: &Experiment, compared: Option<&(Experiment, usize)>, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let (decoding, hypothesis) = (&*run.decoding, look.hypothesis);
        let near = decoding
            .neighborhood
            .as_ref()
            .filter(|near| near.hypothesis == hypothesis);
        // Encoder states, those of the decoder, those of the context; then those of the compared run, then neighbors.
        let sizes = |decoding: &Decoding, hypothesis: usize| {
            let target = decoding.hypotheses.get(hypothesis).map_or(0, |found| found.row.len());
            let first = if decoding.encoder_decoder {
                decoding.source.len()
            } else {
                0
            };
            let contexts = if decoding.encoder_decoder { target } else { 0 };
            (first, target, first + target + contexts)
        };
        let (first, target, own) = sizes(decoding, hypothesis);
        let other = compared.map(|(other, theirs)| sizes(&other.decoding, *theirs));
        let count = own + other.map_or(0, |(.., all)| all);
        let token = |(first, target): (usize, usize), id: usize| match id.checked_sub(first) {
            None => Token::Source(id),
            Some(at) => Token::Target(at % target.max(1)),
        };
        let marked = views.token.map(|token| match token {
            Token::Source(at) => at,
            Token::Target(at) if views.list.focus == (StateKind::Context, at) => first + target + at,
            Token::Target(at) => first + at,
        });
        let marked = marked.or(views.list.over.map(|at| count + at));
        if look.tab == Tab::States {
            ui.horizontal(|ui| {
                ui.add_space(8.0);
                let help = "Across: the position in the text that a state tells. Up: what is left of the states";
                let mut by_position = look.by_position;
                if ui
                    .checkbox(&mut by_position, "by position")
                    .on_hover_text(help)
                    .changed()
                {
                    look.by_position = by_position;
                    look.cameras.detail = Default::default();
                    views.invalidate();
                }
            });
        }
        let by_position = look.by_position;
        let none = || attn_sdk::Error::from(Error::host("fewer than three states"));
        let mut runs = vec![("", decoding, hypothesis)];
        // The compared run lies in the same space.
        runs.extend(compared.map(|(other, theirs)| ("compared", &*other.decoding, *theirs)));
        let states = deferred(|_| match by_position {
            true => Decoding::trajectories_by_position(&runs, &())?.ok_or_else(none),
            false => Decoding::merged_trajectories(&runs, &())?.ok_or_else(none),
        });
        let maps = deferred(|_| decoding.pictograms(hypothesis, &())?.ok_or_else(none));
        let plot: &dyn Plot = if look.tab == Tab::Pictograms { &maps } else { &states };
        if near.is_none() && self.options.model.is_some() && self.index.is_none() {
            ui.add_space(2.0);
            ui.horizontal_wrapped(|ui| {
                ui.add_space(8.0);
                ui.label(RichText::new(NO_INDEX).weak());
            });
        }
        let size = ui.available_size();
        let share = if near.is_some() { 0.52 } else { 1.0 };
        ui.horizontal_top(|ui| {
            let size = vec2(share * size.x, size.y);
            let view = (&mut look.cameras.detail, &look.view);
            let shown = ui
                .allocate_ui(size, |ui| views.detail.show(ui, view, marked, plot))
                .inner;
            if let Some(id) = shown.over.map(|id| id as usize) {
                let found = match (id.checked_sub(own), other) {
                    (None, _) => Some(token((first, target), id)),
                    (Some(at), Some((first, target, all))) if at < all => views.here(token((first, target), at)),
                    _ => None,
                };
                seen.token = found.or(seen.token);
                seen.neighbor = id.checked_sub(count);
            }
            if let Some(near) = near {
                ui.vertical(|ui| views.list.show(ui, decoding, near, views.neighbor));
            }
        });
    }

    /// Patterns of heads, or how well they align. A click on a head shows its attention alone.
    fn heads(&mut self, ui: &mut Ui, run: &Experiment, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let hypothesis = look.hypothesis;
        let marked = match views.token {
            Some(Token::Source(at)) => [None, Some(at)],
            Some(Token::Target(at)) => [Some(at), None],
            None => [None; 2],
        };
        let patterns = deferred(|_| {
            Ok::<_, attn_sdk::Error>(HeadGrid {
                marked,
                ..run.decoding.head_patterns(hypothesis)?
            })
        });
        let none = || attn_sdk::Error::from(Error::host("no head was scored"));
        let scores = deferred(|_| run.decoding.alignment_grid().ok_or_else(none));
        let plot: &dyn Plot = if look.tab == Tab::Heads { &patterns } else { &scores };
        let view = (&mut look.cameras.detail, &look.view);
        let shown = views.detail.show(ui, view, None, plot);
        seen.head = shown.head.map(|head| (head.layer, head.head));
    }

    fn curves(&mut self, ui: &mut Ui, run: &Experiment, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let hypothesis = look.hypothesis;
        let steps = run
            .decoding
            .hypotheses
            .get(hypothesis)
            .map_or(0, |found| found.steps.len());
        let marked = match views.token {
            Some(Token::Target(at)) => Some(at),
            _ => None,
        };
        let plot = deferred(|_| run.decoding.curves(hypothesis));
        let view = (&mut look.cameras.detail, &look.view);
        let shown = views.detail.show(ui, view, marked, &plot);
        let over = shown.over.map(|id| Token::Target(id as usize % steps.max(1)));
        seen.token = over.or(seen.token);
    }

    fn coverage(&mut self, ui: &mut Ui, run: &Experiment, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let Ok(Some(plot)) = run.decoding.coverage_table(look.hypothesis) else {
            return;
        };
        let marked = match views.token {
            Some(Token::Source(at)) => Some(at),
            _ => None,
        };
        let view = (&mut look.cameras.detail, &look.view);
        let shown = views.detail.show(ui, view, marked, &plot);
        seen.token = shown.over.map(|id| Token::Source(id as usize)).or(seen.token);
    }

    /// The change of attention: a row per token of both targets, a column per token of both sources.
    fn change(&mut self, ui: &mut Ui, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let Some(table) = views.change.clone() else { return };
        let marked = views.token.and_then(|token| cell_of(views, &table, token));
        let view = (&mut look.cameras.detail, &look.view);
        let over = views.detail.show(ui, view, marked, &table).over;
        let Some((_, both)) = &views.aligned else { return };
        let row = over.and_then(|id| both.target.get(id as usize / both.source.len().max(1)));
        seen.token = row.and_then(|place| place.after).map(Token::Target).or(seen.token);
    }

    /// What every state brings back: a row per layer, a column per token.
    fn blamed(&mut self, ui: &mut Ui, run: &Experiment, seen: &mut Seen) {
        let (look, views) = (&mut self.look, &mut self.views);
        let Some(table) = run.decoding.blame.as_ref().and_then(|blame| blame.map(&run.decoding)) else {
            return;
        };
        let columns = table.columns.len().max(1);
        let encoder = |row: usize| table.rows.get(row).is_some_and(|name| name.starts_with("encoder"));
        // A decoder-only model reads the source and what it writes in one row.
        let prompt = match run.decoding.encoder_decoder {
            true => 0,
            false => run.decoding.source.len(),
        };
        let marked = views.token.and_then(|token| {
            let (source, at) = match token {
                Token::Source(at) => (prompt == 0, at),
                Token::Target(at) => (false, prompt + at),
            };
            let rows = (0..table.rows.len()).filter(|row| encoder(*row) == source && at < columns);
            strongest(&table, rows.map(|row| row * columns + at))
        });
        let view = (&mut look.cameras.detail, &look.view);
        if let Some(id) = views.detail.show(ui, view, marked, &table).over {
            let (row, at) = (id as usize / columns, id as usize % columns);
            let target = run
                .decoding
                .hypotheses
                .get(look.hypothesis)
                .map_or(0, |found| found.row.len());
            seen.token = match encoder(row) || at < prompt {
                true => (at < run.decoding.source.len()).then_some(Token::Source(at)),
                false => (at - prompt < target).then_some(Token::Target(at - prompt)),
            };
        }
    }
}

/// The strongest cell in the row or column of a token.
fn cell_of(views: &Views, table: &HeatTable, token: Token) -> Option<usize> {
    let (_, both) = views.aligned.as_ref()?;
    let columns = both.source.len();
    match token {
        Token::Target(at) => {
            let row = both.target.iter().position(|place| place.after == Some(at))?;
            strongest(table, row * columns..(row + 1) * columns)
        }
        Token::Source(at) => {
            let column = both.source.iter().position(|place| place.after == Some(at))?;
            strongest(table, (0..both.target.len()).map(|row| row * columns + column))
        }
    }
}
