//! Two axes with round numbers around a plot, for charts whose horizontal and vertical lengths differ.

use crate::{
    Color,
    color::Colors,
    geometry::Rect,
    scene::{Edge, Label, Layer},
    text::text_width,
};

/// Font size of numbers and names.
pub(crate) const SIZE: f32 = 9.5;

/// Two axes around a rectangle of the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// The rectangle between the axes, in layout units.
    pub plot: Rect,
    x: [f32; 2],
    y: [f32; 2],
}

impl Frame {
    /// Fits axes from `x[0]` to `x[1]` and `y[0]` to `y[1]` into `content`, widened to round numbers, and draws them with
    /// the names `across` and `up`.
    pub fn draw(
        layer: &mut Layer,
        content: Rect,
        [x, y]: [[f32; 2]; 2],
        [across, up]: [&str; 2],
        colors: &Colors,
    ) -> Self {
        let (x_ticks, y_ticks) = (ticks(x, content.width() / 80.0), ticks(y, content.height() / 45.0));
        let widest = y_ticks
            .iter()
            .map(|tick| text_width(&name(*tick, &y_ticks), SIZE, false))
            .fold(0.0, f32::max);
        let plot = Rect {
            min: [content.min[0] + widest + 8.0, content.min[1] + 2.0 * SIZE],
            max: [content.max[0] - 14.0, content.max[1] - 3.4 * SIZE],
        };
        let ends = |ticks: &[f32]| {
            [
                ticks.first().copied().unwrap_or(0.0),
                ticks.last().copied().unwrap_or(1.0),
            ]
        };
        let frame = Self {
            plot: Rect {
                min: plot.min,
                max: [plot.max[0].max(plot.min[0] + 1.0), plot.max[1].max(plot.min[1] + 1.0)],
            },
            x: ends(&x_ticks),
            y: ends(&y_ticks),
        };
        let plot = frame.plot;
        let line = |from: [f32; 2], to: [f32; 2], color: Color| straight(0, from, to, color, 0.8);
        for &tick in &y_ticks {
            let [_, at] = frame.place([0.0, tick]);
            let strength = if tick == frame.y[0] { 1.0 } else { 0.45 };
            let color = colors.frame.alpha(strength);
            layer.edges.push(line([plot.min[0], at], [plot.max[0], at], color));
            let label = Label::new(0, [plot.min[0] - 6.0, at], name(tick, &y_ticks), SIZE, colors.muted);
            layer.labels.push(label.aligned(1.0, 0.5));
        }
        for &tick in &x_ticks {
            let [at, _] = frame.place([tick, 0.0]);
            layer
                .edges
                .push(line([at, plot.max[1]], [at, plot.max[1] + 3.0], colors.frame));
            let label = Label::new(0, [at, plot.max[1] + 4.5], name(tick, &x_ticks), SIZE, colors.muted);
            layer.labels.push(label.aligned(0.5, 0.0));
        }
        let below = [plot.center()[0], plot.max[1] + 2.0 * SIZE];
        layer
            .labels
            .push(Label::new(0, below, across, SIZE, colors.text).aligned(0.5, 0.0));
        let above = [content.min[0], content.min[1] - 0.4 * SIZE];
        layer.labels.push(Label::new(0, above, up, SIZE, colors.text));
        frame
    }

    /// Where a pair of values is on the page.
    pub fn place(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let along = |value: f32, [low, high]: [f32; 2]| (value - low) / (high - low).max(f32::MIN_POSITIVE);
        [
            self.plot.min[0] + along(x, self.x) * self.plot.width(),
            self.plot.max[1] - along(y, self.y) * self.plot.height(),
        ]
    }
}

/// A straight line of one width.
pub fn straight(panel: u32, from: [f32; 2], to: [f32; 2], color: Color, width: f32) -> Edge {
    Edge {
        from: [from[0], from[1], 0.0],
        to: [to[0], to[1], 0.0],
        color,
        panel,
        width: [width; 2],
        gap: [0.0; 2],
    }
}

/// Round numbers that hold a range, about `count` steps: 1, 2 or 5 times a power of ten.
pub fn ticks([low, high]: [f32; 2], count: f32) -> Vec<f32> {
    let (low, high) = if high > low {
        (low, high)
    } else {
        (low - 0.5, low + 0.5)
    };
    let rough = f64::from(high - low) / f64::from(count.clamp(2.0, 10.0));
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|round| round * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let (first, last) = (
        (f64::from(low) / step + 1e-3).floor(),
        (f64::from(high) / step - 1e-3).ceil(),
    );
    let mut ticks = Vec::new();
    let mut at = first;
    while at <= last && ticks.len() < 64 {
        ticks.push((at * step) as f32);
        at += 1.0;
    }
    ticks
}

/// A tick's number, with as many decimals as its neighbors need to be told apart.
pub(crate) fn name(tick: f32, ticks: &[f32]) -> String {
    let step = match ticks {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    if !(1e-4..1e7).contains(&step) {
        return format!("{tick:.1e}").replace('-', "−");
    }
    let decimals = [1.0, 0.1, 0.01, 0.001, 0.000_1];
    let decimals = decimals.iter().position(|unit| step > 0.99 * unit).unwrap_or(5);
    format!("{tick:.decimals$}").replace('-', "−")
}

/// Smallest and largest finite value; 0 to 1 if there is none.
pub fn range(values: impl IntoIterator<Item = f32>) -> [f32; 2] {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let [low, high] = finite.fold([f32::MAX, f32::MIN], |[a, b], v| [a.min(v), b.max(v)]);
    if low <= high { [low, high] } else { [0.0, 1.0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_range() {
        assert_eq!(ticks([0.0, 1.0], 5.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks([-3.0, 12.0], 4.0), [-5.0, 0.0, 5.0, 10.0, 15.0]);
        assert_eq!(ticks([2.0, 2.0], 2.0), [1.5, 2.0, 2.5]);
        let names = |ticks: &[f32]| ticks.iter().map(|tick| name(*tick, ticks)).collect::<Vec<_>>();
        assert_eq!(names(&ticks([0.0, 80.0], 4.0)), ["0", "20", "40", "60", "80"]);
        assert_eq!(names(&ticks([-0.5, 0.5], 2.0)), ["−0.5", "0.0", "0.5"]);
        assert_eq!(names(&ticks([0.0, 0.1], 2.0)), ["0.00", "0.05", "0.10"]);
        assert!(ticks([1e30, 1.000_001e30], 5.0).len() <= 64);
    }
}
