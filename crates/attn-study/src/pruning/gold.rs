//! What a head of classes is asked for, and how a gold answer says it.

use std::sync::Arc;

use attn_analyze::training::{Gold, Log, Task};
use attn_core::Token;
use attn_models::{Model, Problem, attribute::Labels};

/// Classes that a message names.
const NAMED: usize = 12;

/// What a head of classes is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    problem: Problem,
    classes: &'a [String],
}

impl<'a> Asked<'a> {
    /// What the checkpoint says; where it says nothing, the task of the log, then one of the classes. `None` of a model without a
    /// head of classes.
    pub(super) fn of(model: &'a Model, task: Option<Task>) -> Option<Self> {
        let classes = model.labels();
        let by_task = match task {
            Some(Task::MultiLabel) => Problem::Labels,
            Some(Task::Regression) => Problem::Number,
            _ => Problem::Class,
        };
        (!classes.is_empty()).then(|| Self {
            problem: model.problem().unwrap_or(by_task),
            classes,
        })
    }

    /// What it needs to be right, for messages.
    pub(super) fn expected(&self) -> String {
        let mut names = self
            .classes
            .iter()
            .take(NAMED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if let more @ 1.. = self.classes.len().saturating_sub(NAMED) {
            names = format!("{names} and {more} more");
        }
        match self.problem {
            Problem::Class => format!("one of its classes ({names})"),
            Problem::Labels => format!("0 or 1 for each of its {} labels ({names})", self.classes.len()),
            Problem::Number if self.classes.len() == 1 => "a number".to_owned(),
            Problem::Number => format!("a number for each of its {} outputs ({names})", self.classes.len()),
        }
    }

    /// A label as a text: a class by its name or number; a number, several between `,`; labels by their names or numbers, between `+`
    /// or `,`, or `none`.
    pub(super) fn text(&self, label: &str) -> Option<Labels> {
        match self.problem {
            Problem::Class => class_of(self.classes, label).map(Labels::Class),
            Problem::Number => {
                let number = |text: &str| text.trim().parse::<f32>().ok().filter(|number| number.is_finite());
                let numbers: Vec<f32> = label.split(',').map(number).collect::<Option<_>>()?;
                (numbers.len() == self.classes.len()).then_some(Labels::Numbers(numbers))
            }
            Problem::Labels => {
                let mut set = vec![false; self.classes.len()];
                // A name may hold a sign that separates.
                let parts: Vec<&str> = match class_of(self.classes, label) {
                    Some(_) => vec![label],
                    None => label.split(['+', ',']).map(str::trim).collect(),
                };
                if !matches!(parts[..], ["" | "none"]) {
                    for part in parts {
                        *set.get_mut(class_of(self.classes, part)? as usize)? = true;
                    }
                }
                Some(Labels::Set(set))
            }
        }
    }

    /// The gold answer of an example of a log.
    pub(super) fn gold(&self, log: &Log, example: usize) -> Option<Labels> {
        let gold = &log.examples().get(example)?.gold;
        match self.problem {
            Problem::Class => class_of(self.classes, &log.gold(example)).map(Labels::Class),
            Problem::Number => {
                let numbers = gold.numbers()?;
                self.in_order(log, &numbers).map(Labels::Numbers)
            }
            Problem::Labels => {
                let Gold::List(list) = gold else { return None };
                if list.iter().any(|label| !(0..=1).contains(label)) {
                    return None;
                }
                let set: Vec<bool> = list.iter().map(|label| *label == 1).collect();
                self.in_order(log, &set).map(Labels::Set)
            }
        }
    }

    /// A value per output of the model: by name where the log names them as the model does, else in their order.
    fn in_order<T: Copy>(&self, log: &Log, values: &[T]) -> Option<Vec<T>> {
        let place = |name: &String| log.labels().iter().position(|label| **label == **name);
        let places: Option<Vec<usize>> = self.classes.iter().map(place).collect();
        let places = places.unwrap_or_else(|| (0..values.len()).collect());
        let found: Vec<T> = places.iter().filter_map(|&place| values.get(place).copied()).collect();
        (found.len() == self.classes.len() && values.len() == found.len()).then_some(found)
    }
}

/// Classes of tokens for a model that classifies them: one per token that the model reads, or one per token of text, or one per
/// word, which is that of the word's first token. Negative ones do not count. Classes go by name where the log names all of the
/// model's, else by number. `None` for another number of classes, and for one that the model does not have.
pub(super) fn of_tokens(
    classes: &[String],
    names: &[Arc<str>],
    list: &[i32],
    tokens: &[Token],
) -> Option<Vec<Option<u32>>> {
    let place = |class: &String| names.iter().position(|name| **name == **class);
    let places: Option<Vec<usize>> = classes.iter().map(place).collect();
    let class = |number: &i32| -> Option<Option<u32>> {
        let Ok(number) = usize::try_from(*number) else {
            return Some(None);
        };
        let class = match &places {
            Some(places) => places.iter().position(|place| *place == number)?,
            None => Some(number).filter(|number| *number < classes.len())?,
        };
        u32::try_from(class).ok().map(Some)
    };
    let wanted = list.iter().map(class).collect::<Option<Vec<_>>>()?;
    if wanted.len() == tokens.len() {
        return Some(wanted);
    }
    let mut labels = vec![None; tokens.len()];
    let text: Vec<usize> = (0..tokens.len()).filter(|&at| !tokens[at].special).collect();
    let first = |at: &usize| *at == 0 || tokens[*at].word != tokens[*at - 1].word;
    let firsts: Vec<usize> = text.iter().copied().filter(first).collect();
    let asked = [text, firsts].into_iter().find(|places| places.len() == wanted.len())?;
    asked.into_iter().zip(wanted).for_each(|(at, class)| labels[at] = class);
    Some(labels)
}

/// A class by its name, or by its number where no class has that name.
pub(super) fn class_of(classes: &[String], label: &str) -> Option<u32> {
    let by_name = classes.iter().position(|name| name == label);
    let number = || {
        label
            .trim()
            .parse::<usize>()
            .ok()
            .filter(|&class| class < classes.len())
    };
    by_name.or_else(number).and_then(|class| u32::try_from(class).ok())
}

#[cfg(test)]
mod tests {
    use attn_analyze::training::LogReader;

    use super::*;

    #[test]
    fn classes_are_known_by_name_and_by_number() {
        let classes = ["no", "yes"].map(str::to_owned);
        assert_eq!(
            ["yes", "1", "0 ", "2", "maybe"].map(|label| class_of(&classes, label)),
            [Some(1), Some(1), Some(0), None, None]
        );
    }

    #[test]
    fn tokens_have_the_classes_of_their_tokens_or_words() {
        let token = |word: Option<usize>| Token {
            word,
            special: word.is_none(),
            ..Token::new("t")
        };
        // [CLS] one-two(2 pieces) three [SEP]
        let tokens = [None, Some(0), Some(0), Some(1), None].map(token);
        let classes = ["O", "PER"].map(str::to_owned);
        let of = |names: &[&str], list: &[i32]| {
            let names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
            of_tokens(&classes, &names, list, &tokens)
        };
        let all = vec![None, Some(1), None, Some(0), None];
        assert_eq!(of(&[], &[-100, 1, -100, 0, -100]), Some(all.clone()), "every token");
        assert_eq!(of(&[], &[1, -1, 0]), Some(all.clone()), "tokens of text");
        assert_eq!(of(&[], &[1, 0]), Some(all.clone()), "words");
        assert_eq!(of(&["PER", "x", "O"], &[0, 2]), Some(all), "by name");
        assert_eq!((of(&[], &[1]), of(&[], &[1, 2])), (None, None));
        assert_eq!(of(&["PER", "x", "O"], &[1, 2]), None, "the model has no such class");
    }

    #[test]
    fn texts_say_labels_and_numbers() {
        let classes = ["bird", "cat", "salt + pepper"].map(str::to_owned);
        let asked = |problem| Asked {
            problem,
            classes: &classes,
        };
        let set = |label| match asked(Problem::Labels).text(label) {
            Some(Labels::Set(set)) => Some(set.iter().map(|&holds| u8::from(holds)).collect::<Vec<_>>()),
            _ => None,
        };
        assert_eq!(set("bird + cat"), Some(vec![1, 1, 0]));
        assert_eq!(set("0,2"), Some(vec![1, 0, 1]));
        assert_eq!(set("salt + pepper"), Some(vec![0, 0, 1]));
        assert_eq!(set("none"), Some(vec![0, 0, 0]));
        assert_eq!(set("dog"), None);
        let numbers = |label| asked(Problem::Number).text(label);
        assert_eq!(numbers(" -2.5, 3,0.5"), Some(Labels::Numbers(vec![-2.5, 3.0, 0.5])));
        assert_eq!(
            [numbers("1, NaN, 2"), numbers("1, 2"), numbers("1")],
            [None, None, None]
        );
    }

    #[test]
    fn labels_of_a_log_are_found_by_their_names() {
        let mut reader = LogReader::default();
        let lines = br#"{"kind":"run","format":1,"labels":["b","a"],"task":"multi_label"}
{"kind":"prediction","id":"x","epoch":1,"gold":[1,0],"logits":[2.0,-1.0]}
{"kind":"prediction","id":"y","epoch":1,"gold":[1,0,1],"logits":[2.0,-1.0,0.5]}"#;
        reader.push(&mut reader.file("log.jsonl"), lines, &()).unwrap();
        let log = reader.into_log();
        let gold = |classes: [&str; 2], at| {
            let classes = classes.map(str::to_owned);
            let problem = Problem::Labels;
            Asked {
                problem,
                classes: &classes,
            }
            .gold(&log, at)
        };
        assert_eq!(gold(["a", "b"], 0), Some(Labels::Set(vec![false, true])));
        assert_eq!(gold(["c", "d"], 0), Some(Labels::Set(vec![true, false])));
        assert_eq!(gold(["a", "b"], 1), None);
    }
}
