//! That stacks are arranged so that cells are as large as they can be, in order and apart from each other.

use super::*;
use crate::ViewState;

const ORDER: [Attention; 3] = [Attention::EncoderSelf, Attention::DecoderSelf, Attention::Cross];

/// Layers and heads of up to three attentions.
type Sizes<'a> = &'a [(usize, usize)];

const MODELS: [Sizes<'static>; 8] = [
    &[(6, 8)],
    &[(1, 1)],
    &[(24, 16), (24, 16)],
    &[(2, 4), (2, 4), (2, 4)],
    &[(6, 8), (6, 8), (6, 8)],
    &[(12, 16), (3, 4), (3, 16)],
    &[(1, 12), (12, 1), (2, 2)],
    &[(104, 2), (101, 3), (101, 3)],
];
const CONTENTS: [[f32; 2]; 6] = [
    [800.0, 600.0],
    [1850.0, 900.0],
    [600.0, 1500.0],
    [2400.0, 420.0],
    [4000.0, 4000.0],
    [500.0, 500.0],
];

fn heads(model: Sizes<'_>) -> Vec<HeadId> {
    let stack = |(attention, (layers, heads)): (Attention, (usize, usize))| {
        (0..layers * heads).map(move |i| HeadId::new(attention, i / heads, i % heads))
    };
    ORDER.into_iter().zip(model.iter().copied()).flat_map(stack).collect()
}

fn layout(model: Sizes<'_>, [width, height]: [f32; 2], note: f32) -> (Rect, HeadLayout) {
    let content = Rect::new(20.0, 70.0, width, height);
    let layout = HeadLayout::new(heads(model).into_iter(), content, f32::INFINITY, |_| note);
    (content, layout)
}

/// What the cells of a stack cover, with their notes.
fn covered(layout: &HeadLayout, model: Sizes<'_>, stack: usize, note: f32) -> Rect {
    let (layers, heads) = model[stack];
    let first = layout.cell_of(HeadId::new(ORDER[stack], 0, 0)).unwrap();
    let last = layout
        .cell_of(HeadId::new(ORDER[stack], layers - 1, heads - 1))
        .unwrap();
    Rect {
        min: first.min,
        max: [last.max[0], last.max[1] + note],
    }
}

fn rect_of(label: &Label) -> Rect {
    let size = [text_width(&label.text, label.size, false), LINE * label.size];
    let at = [label.position[0], label.position[1]];
    let min = [0, 1].map(|axis| at[axis] - label.align[axis] * size[axis]);
    Rect::new(min[0], min[1], size[0], size[1])
}

/// The largest side by trying sides, finer and finer, in every arrangement.
fn by_trying(model: Sizes<'_>, [width, height]: [f32; 2], note: f32) -> f32 {
    let names = room_for_names(&stacks(heads(model).into_iter()));
    let fits = |across: usize, side: f32| {
        let gap = |axis: usize| names[axis].max(0.5 * side);
        let cells = |count: usize, note: f32| count as f32 * (side + note) + (count - 1) as f32 * 0.07 * side;
        let columns = (0..across.min(model.len())).map(|c| model.iter().skip(c).step_by(across).map(|s| s.1).max());
        let wide = columns.map(|heads| cells(heads.unwrap(), 0.0) + gap(0)).sum::<f32>() - gap(0);
        let rows = model.chunks(across).map(|row| row.iter().map(|s| s.0).max());
        let high = rows.map(|layers| cells(layers.unwrap(), note) + gap(1)).sum::<f32>() - gap(1);
        wide <= width - names[0] - 2.0 && high <= height - names[1] - 2.0
    };
    let largest = |across| {
        let (mut low, mut high) = (0.0, 4000.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            *(if fits(across, middle) { &mut low } else { &mut high }) = middle;
        }
        low
    };
    (1..=model.len()).map(largest).fold(2.0, f32::max)
}

fn everywhere(mut check: impl FnMut(Sizes<'_>, [f32; 2], f32)) {
    for model in MODELS {
        for size in CONTENTS {
            for note in [0.0, 12.0] {
                check(model, size, note);
            }
        }
    }
}

#[test]
fn cells_are_as_large_as_in_any_arrangement() {
    everywhere(|model, size, note| {
        let (side, expected) = (layout(model, size, note).1.side, by_trying(model, size, note));
        assert!(
            (side - expected).abs() < 1e-2,
            "{model:?} in {size:?}: {side} of {expected}"
        );
    });
}

#[test]
fn stacks_go_right_then_down_and_never_overlap() {
    everywhere(|model, size, note| {
        let (content, layout) = layout(model, size, note);
        let all: Vec<Rect> = (0..model.len())
            .map(|stack| covered(&layout, model, stack, note))
            .collect();
        for pair in all.windows(2) {
            let right = pair[1].min[0] >= pair[0].max[0] + 0.5 * layout.side - 1e-2;
            let down = pair[1].min[1] >= pair[0].max[1] + 0.5 * layout.side - 1e-2;
            let said = format!("{model:?} in {size:?}: {pair:?}");
            assert!(if right { pair[1].min[1] == pair[0].min[1] } else { down }, "{said}");
        }
        for (index, a) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|b| !a.overlaps(b)), "{model:?} in {size:?}");
            // Where there is no room at all, cells keep a least size.
            let inside = (0..2).all(|axis| a.min[axis] >= content.min[axis] && a.max[axis] <= content.max[axis]);
            assert!(inside || layout.side == 2.0, "{model:?} in {size:?}: {a:?}");
        }
    });
}

#[test]
fn names_touch_neither_cells_nor_each_other() {
    everywhere(|model, size, note| {
        let (content, layout) = layout(model, size, note);
        for share in [0.13, 0.3] {
            let labels = layout.names(0, share, &ViewState::default().colors());
            let names: Vec<Rect> = labels.iter().map(rect_of).collect();
            for (index, name) in names.iter().enumerate() {
                let said = format!("{} of {model:?} in {size:?}", labels[index].text);
                let apart = |stack| !covered(&layout, model, stack, note).overlaps(name);
                assert!((0..model.len()).all(apart), "{said}");
                // The name of the eleventh layer ends a tenth of a unit outside.
                assert!(
                    name.min[0] > content.min[0] - 0.2 && name.min[1] > content.min[1] - 1.0,
                    "{said}"
                );
                assert!(names[..index].iter().all(|other| !other.overlaps(name)), "{said}");
            }
        }
    });
}

#[test]
fn every_stack_is_named_and_one_alone_has_no_prefix() {
    let named = |model| {
        let labels = layout(model, [1850.0, 900.0], 0.0)
            .1
            .names(0, 0.13, &ViewState::default().colors());
        labels.iter().map(|label| label.text.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named(&[(1, 2)]), ["L0", "H0", "H1"]);
    let all = ["eL0", "eL1", "H0", "dL0", "H0", "H1", "×L0", "H0"];
    assert_eq!(named(&[(2, 1), (1, 2), (1, 1)]), all);
}

#[test]
fn a_wide_window_has_stacks_side_by_side_and_a_high_one_below_each_other() {
    let model = MODELS[4];
    let firsts = |size| {
        let layout = layout(model, size, 0.0).1;
        ORDER.map(|attention| layout.cell_of(HeadId::new(attention, 0, 0)).unwrap().min)
    };
    let [encoder, decoder, cross] = firsts([1850.0, 700.0]);
    assert!(encoder[1] == decoder[1] && decoder[1] == cross[1]);
    let [encoder, decoder, cross] = firsts([500.0, 1200.0]);
    assert!(encoder[0] == decoder[0] && decoder[0] == cross[0]);
    let [encoder, decoder, cross] = firsts([900.0, 800.0]);
    assert!(encoder[1] == decoder[1] && encoder[0] == cross[0] && cross[1] > decoder[1]);
}

#[test]
fn a_natural_size_holds_cells_of_the_side_it_was_made_for() {
    for model in MODELS {
        let mut asked = 0.0;
        let of_most = |most: f32| {
            asked = 2000.0 / most;
            asked
        };
        let [width, height] = natural_size(heads(model).into_iter(), of_most, |_| 12.0);
        let side = layout(model, [width + 2.0, height + 2.0], 12.0).1.side;
        assert!(side >= asked, "{model:?}: {side} of {asked}");
        // The gap after the last cell is counted too, and notes are estimated from above.
        assert!(side < 1.08 * asked, "{model:?}: {side} of {asked}");
    }
}

#[test]
fn cells_grow_no_larger_than_is_asked_for() {
    let content = Rect::new(0.0, 0.0, 1500.0, 900.0);
    let layout = HeadLayout::new(heads(&[(2, 2), (2, 2)]).into_iter(), content, 120.0, |_| 0.0);
    assert_eq!(layout.side, 120.0);
    // All fit below each other as well.
    let first = |attention| layout.cell_of(HeadId::new(attention, 0, 0)).unwrap();
    assert_eq!(first(ORDER[0]).min[0], first(ORDER[1]).min[0]);
}

#[test]
fn without_heads_there_is_a_size_and_no_cell() {
    let size = natural_size(std::iter::empty(), |cells| 100.0 / cells, |_| 5.0);
    assert!(size.iter().all(|side| side.is_finite()));
    let (_, layout) = layout(&[], [300.0, 200.0], 0.0);
    assert_eq!(layout.cell_of(HeadId::new(ORDER[0], 0, 0)), None);
}
