//! The default data of the viewers: sentences with tags, and images.
//!
//! `sentences.txt` has one text a line. `sentences.conllu` has the same texts in the same order in CoNLL-U
//! (<https://universaldependencies.org/format.html>): form, lemma and part of speech, no syntax; the sentiment as the comment
//! `# sentiment = positive`, a noun's class of meaning as `Class=animal` in the last column.

use std::{
    collections::HashSet,
    f32::consts::{PI, TAU},
    fmt::Write,
    fs,
    path::Path,
};

use image::RgbImage;

use crate::{
    Result,
    grammar::{Tag, Word},
    random::Random,
    stimuli::{self, GRID, Paint, Pictures, Property, SIDE},
    stories::{Stories, Story},
};

/// Sentences of the default data; the models are not trained on them.
const SENTENCES: usize = 200;
/// Seed of the default data, independent of the training seed.
const SEED: u64 = 2026;

/// The sentences of the default data, all distinct.
pub(crate) fn held_out() -> Vec<Story> {
    let mut seen = HashSet::new();
    Stories::new(SEED)
        .filter(|story| seen.insert(story.text()))
        .take(SENTENCES)
        .collect()
}

/// An endless stream of stories without those of the default data.
pub(crate) fn training_stories(seed: u64) -> impl Iterator<Item = Story> {
    let kept: HashSet<String> = held_out().iter().map(Story::text).collect();
    Stories::new(seed).filter(move |story| !kept.contains(&story.text()))
}

/// A text with a form of `be` that must agree with a noun further away, past one of the other number.
pub(crate) struct Agreement {
    pub(crate) before: String,
    pub(crate) verb: String,
    /// The form of the wrong number.
    pub(crate) other: &'static str,
    pub(crate) after: String,
}

/// Some hundred cases of agreement across a noun, such as `the keys near the house are`, from texts that are not
/// trained on.
pub(crate) fn agreement_across_a_noun() -> Vec<Agreement> {
    let other_number = |verb: &str| match verb {
        "is" => Some(("are", true)),
        "are" => Some(("is", false)),
        "was" => Some(("were", true)),
        "were" => Some(("was", false)),
        _ => None,
    };
    let case = |story: Story| {
        (1..story.words.len()).find_map(|place| {
            let (previous, verb) = (&story.words[place - 1], &story.words[place].form);
            let (other, singular) = other_number(verb)?;
            let misleading = previous.tag == Tag::Noun && (previous.form != previous.lemma) == singular;
            let text = |words: &[Word]| {
                Story {
                    words: words.to_vec(),
                    sentiment: story.sentiment,
                }
                .text()
            };
            misleading.then(|| Agreement {
                before: text(&story.words[..place]),
                verb: verb.clone(),
                other,
                after: format!(" {}", text(&story.words[place + 1..])),
            })
        })
    };
    Stories::new(SEED ^ 1).take(20_000).filter_map(case).take(300).collect()
}

/// Writes `sentences.txt`, `sentences.conllu`, `images/` and `fresh` new images into `folder`.
pub(crate) fn write(folder: &Path, fresh: usize) -> Result<()> {
    let stories = held_out();
    fs::create_dir_all(folder.join("images"))?;
    let lines: String = stories.iter().map(|story| story.text() + "\n").collect();
    fs::write(folder.join("sentences.txt"), lines)?;
    fs::write(folder.join("sentences.conllu"), conllu(&stories)?)?;
    for (name, pixels) in pictures() {
        save(&folder.join("images"), &name, &pixels)?;
    }
    if fresh > 0 {
        fs::create_dir_all(folder.join("fresh"))?;
    }
    for (number, picture) in Pictures::new(SEED ^ 1).take(fresh).enumerate() {
        let class = stimuli::class_name(picture.class).replace(' ', "-");
        save(&folder.join("fresh"), &format!("{number:04}-{class}"), &picture.pixels)?;
    }
    Ok(())
}

fn save(folder: &Path, name: &str, pixels: &[f32]) -> Result<()> {
    let bytes = pixels.iter().map(|value| (value * 255.0).round() as u8).collect();
    let image = RgbImage::from_raw(SIDE as u32, SIDE as u32, bytes).ok_or("a picture of another size")?;
    Ok(image.save(folder.join(format!("{name}.png")))?)
}

fn conllu(stories: &[Story]) -> Result<String> {
    let mut text = String::new();
    for (i, story) in stories.iter().enumerate() {
        writeln!(text, "# sent_id = {}", i + 1)?;
        writeln!(text, "# text = {}", story.text())?;
        writeln!(text, "# sentiment = {}", story.sentiment.name())?;
        for (j, word) in story.words.iter().enumerate() {
            let class = word.class.map(|class| format!("Class={}", class.name()));
            let glued = story
                .words
                .get(j + 1)
                .is_some_and(|next| next.glued)
                .then(|| "SpaceAfter=No".to_owned());
            let misc: Vec<String> = class.into_iter().chain(glued).collect();
            let misc = if misc.is_empty() {
                "_".to_owned()
            } else {
                misc.join("|")
            };
            writeln!(
                text,
                "{}\t{}\t{}\t{}\t_\t_\t_\t_\t_\t{misc}",
                j + 1,
                word.form,
                word.lemma,
                word.tag.name()
            )?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// Names and pixels of the default images: one property at a time, and a mosaic of each kind.
pub(crate) fn pictures() -> Vec<(String, Vec<f32>)> {
    let mut random = Random::new(SEED);
    let side = SIDE as f32;
    let mut pictures = vec![
        (
            "hue-gradient".to_owned(),
            stimuli::paint(|x, _| stimuli::color(x / side * TAU, 0.9, 0.9)),
        ),
        (
            "hue-wheel".to_owned(),
            stimuli::paint(|x, y| {
                let (dx, dy) = (x - side / 2.0, side / 2.0 - y);
                stimuli::color(dy.atan2(dx).rem_euclid(TAU), (dx.hypot(dy) / side * 2.0).min(1.0), 0.9)
            }),
        ),
        ("brightness-gradient".to_owned(), stimuli::paint(|x, _| [x / side; 3])),
        (
            "hue-brightness".to_owned(),
            stimuli::paint(|x, y| stimuli::color(x / side * TAU, 0.9, 1.0 - 0.9 * y / side)),
        ),
    ];
    for degrees in [0.0f32, 22.5, 45.0, 67.5, 90.0, 112.5, 135.0, 157.5] {
        let paint = Paint {
            orientation: degrees.to_radians(),
            frequency: 0.15,
            contrast: 0.8,
            ..Paint::GREY
        };
        pictures.push((
            format!("grating-{:03}", degrees as usize),
            stimuli::paint_cells(&[paint; GRID * GRID]),
        ));
    }
    for (name, rings) in [("coarse", 3.0), ("medium", 6.0), ("fine", 12.0)] {
        let pixels = stimuli::paint_rings(rings / side, 0.8, PI / 2.0, (side / 2.0, side / 2.0));
        pictures.push((format!("rings-{name}"), pixels));
    }
    // The frequency grows from left to right; its phase is the integral.
    let sweep = |x: f32| 2.0 * x + 7.0 * x * x;
    pictures.push((
        "frequency-sweep".to_owned(),
        stimuli::paint(|x, _| [0.5 + 0.4 * (TAU * sweep(x / side)).sin(); 3]),
    ));
    for (i, name) in ["disc-east", "square-south", "disc-west", "square-north"]
        .iter()
        .enumerate()
    {
        let pixels = stimuli::paint_shape(i as f32 * PI / 2.0, name.starts_with("disc"), i % 2 == 0);
        pictures.push(((*name).to_owned(), pixels));
    }
    use Property::{Brightness, Hue, Orientation};
    let mosaics = [
        ("mosaic-hue-orientation", Hue, Orientation),
        ("mosaic-orientation-hue", Orientation, Hue),
        ("mosaic-brightness-orientation", Brightness, Orientation),
        ("mosaic-orientation-brightness", Orientation, Brightness),
    ];
    pictures
        .extend(mosaics.map(|(name, cue, answer)| (name.to_owned(), stimuli::mosaic(cue, answer, &mut random).pixels)));
    pictures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_sentences_are_not_trained_on() {
        let kept: HashSet<String> = held_out().iter().map(Story::text).collect();
        assert_eq!(kept.len(), SENTENCES);
        // The seed of the default input is the one that would meet all of them.
        assert!(
            training_stories(SEED)
                .take(2000)
                .all(|story| !kept.contains(&story.text()))
        );
    }

    #[test]
    fn agreement_cases_have_a_misleading_noun() {
        let cases = agreement_across_a_noun();
        assert_eq!(cases.len(), 300);
        for case in cases {
            let last = case.before.split(' ').next_back().unwrap();
            // What is no count noun, such as `bread`, is singular.
            let plural = crate::lexicon::NOUNS.iter().any(|noun| noun.plural == last);
            let singular_verb = case.verb == "is" || case.verb == "was";
            assert_eq!(plural, singular_verb, "{} {}", case.before, case.verb);
        }
    }

    #[test]
    fn the_tags_file_gives_back_the_text() {
        let stories = held_out();
        let file = conllu(&stories).unwrap();
        let blocks: Vec<&str> = file.trim_end().split("\n\n").collect();
        assert_eq!(blocks.len(), stories.len());
        for (block, story) in blocks.iter().zip(&stories) {
            let mut text = String::new();
            for line in block.lines().filter(|line| !line.starts_with('#')) {
                let fields: Vec<&str> = line.split('\t').collect();
                assert_eq!(fields.len(), 10);
                text.push_str(fields[1]);
                if !fields[9].contains("SpaceAfter=No") {
                    text.push(' ');
                }
            }
            assert_eq!(text.trim_end(), story.text());
        }
    }

    #[test]
    fn there_are_24_pictures_of_different_names() {
        let names: HashSet<String> = pictures().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 24);
    }
}
