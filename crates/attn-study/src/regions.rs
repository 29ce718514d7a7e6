//! Names for the dense regions of a head's plot: what most of the points inside have in common.

use std::{collections::BTreeSet, sync::Arc};

use attn_core::HeadId;
use attn_render::{Area, contour::density_contours, plots::NamedPlace};

use crate::{Error, Place, Study, selection::over_represented};

/// Share of the points that the regions enclose together.
const DENSE: f32 = 0.5;
/// Shares of the lines that are drawn.
pub(crate) const LINES: [f32; 2] = [0.5, 0.9];
/// Fewest points of a region with a name, and their share of the queries or keys.
const FEWEST: usize = 8;
const SMALLEST: f64 = 0.01;
/// Share of the points of a region that must have what it is named for.
const MOST: f64 = 0.5;
/// Limit of names.
const NAMES: usize = 24;

impl Study {
    /// Names of the dense regions of a head's plane, largest first: the token, position or value of a column that at least
    /// half of the points inside have, and that is rarer elsewhere. Queries and keys have regions of their own. Empty in three
    /// dimensions.
    ///
    /// # Errors
    /// [`Error::NotProjected`], [`Error::Render`] for coordinates that are not finite.
    pub fn regions(&self, head: HeadId) -> Result<Arc<[NamedPlace]>, Error> {
        let projection = self.projection(head)?;
        let layout = &projection.embedding.points;
        if layout.ncols() != 2 {
            return Ok(Arc::default());
        }
        let (places, hidden) = (self.places(head), self.hidden_points(head));
        let mut found: Vec<(usize, NamedPlace)> = Vec::new();
        for query in [true, false] {
            let drawn = |point: &usize| hidden.get(*point) != Some(&true) && places[*point].query == query;
            let all: Vec<usize> = (0..places.len().min(layout.nrows())).filter(drawn).collect();
            let flat: Vec<f32> = all
                .iter()
                .flat_map(|&point| [layout[[point, 0]], layout[[point, 1]]])
                .collect();
            for contour in density_contours(&flat, &[DENSE])? {
                let area = Area::Lasso(contour.line);
                let inside: BTreeSet<usize> = all
                    .iter()
                    .copied()
                    .filter(|&point| area.contains([layout[[point, 0]], layout[[point, 1]]]))
                    .collect();
                if inside.len() < FEWEST || (inside.len() as f64) < SMALLEST * all.len() as f64 {
                    continue;
                }
                let Some(name) = self.name_of(&places, &inside, &all) else {
                    continue;
                };
                let middle =
                    |axis: usize| inside.iter().map(|&point| layout[[point, axis]]).sum::<f32>() / inside.len() as f32;
                let at = [middle(0), middle(1), 0.0];
                found.push((inside.len(), NamedPlace { at, name }));
            }
        }
        found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.name.cmp(&b.1.name)));
        Ok(found.into_iter().take(NAMES).map(|(_, place)| place).collect())
    }

    /// What most of some points have in common, above chance: `“the” 88 %`.
    fn name_of(&self, places: &[Place], inside: &BTreeSet<usize>, all: &[usize]) -> Option<String> {
        let mut best = Vec::new();
        if !self.is_image(0) {
            let text = |point: usize| self.token(places[point]).map(|token| token.text.clone());
            best.extend(over_represented("token", inside, all, text));
        }
        best.extend(over_represented("position", inside, all, |point| {
            Some(places[point].token.to_string())
        }));
        for column in self.columns() {
            let value = |point: usize| {
                let place = places[point];
                column.text(
                    place.side,
                    self.capture().rows(place.sequence, place.side).start + place.token,
                )
            };
            best.extend(over_represented(&column.name, inside, all, value));
        }
        let most = best.into_iter().filter(|found| found.share >= MOST);
        let found = most.max_by(|a, b| a.bits().total_cmp(&b.bits()))?;
        let share = 100.0 * found.share;
        Some(match found.of.as_str() {
            "token" => format!("“{}” {share:.0} %", found.value.trim()),
            of => format!("{of} {} {share:.0} %", found.value),
        })
    }
}
