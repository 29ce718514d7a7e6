//! Sentences and very short stories of one to three clauses, each with its tags and its sentiment.
//!
//! The kinds of story give heads visible roles: full names that come again (only
//! the first mention tells which surname follows), lists and quotations that are repeated, pronouns that agree with a
//! name, quotation marks that must close.

use crate::{
    grammar::{Case, Draft, Number, Tag, Word, known_gender},
    lexicon::{
        ASK, BUY, Class, DAYS, GIVING, Gender, LIVE, NUMERALS, REPEAT, RING, SAYING, SELL, SUBORDINATE, Sentiment,
        THINKING, WRITE,
    },
    random::Random,
};

/// Fewest and most words of a story, punctuation included.
pub(crate) const LENGTH: std::ops::RangeInclusive<usize> = 5..=30;

/// A text with a tag for every word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Story {
    pub(crate) words: Vec<Word>,
    pub(crate) sentiment: Sentiment,
}

impl Story {
    /// The text with spaces and punctuation.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for word in &self.words {
            if !text.is_empty() && !word.glued {
                text.push(' ');
            }
            text.push_str(&word.form);
        }
        text
    }
}

/// An endless stream of stories, the same for the same seed.
pub(crate) struct Stories {
    random: Random,
}

impl Stories {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
        }
    }
}

impl Iterator for Stories {
    type Item = Story;

    fn next(&mut self) -> Option<Story> {
        loop {
            let tone = match self.random.below(20) {
                0..9 => Sentiment::Positive,
                9..18 => Sentiment::Negative,
                _ => Sentiment::Neutral,
            };
            let mut lot = self.random.below(KINDS.iter().map(|(weight, _)| weight).sum());
            let kind = KINDS.iter().find(|(weight, _)| {
                let found = lot < *weight;
                lot = lot.saturating_sub(*weight);
                found
            });
            let mut draft = Draft::new(&mut self.random, tone);
            if let Some((_, write)) = kind {
                write(&mut draft);
            }
            let sentiment = if draft.opinions > 0 { tone } else { Sentiment::Neutral };
            if LENGTH.contains(&draft.words.len()) {
                return Some(Story {
                    words: draft.words,
                    sentiment,
                });
            }
        }
    }
}

/// The kinds of story, with how often each is tried.
const KINDS: &[(usize, fn(&mut Draft<'_>))] = &[
    (20, statement),
    (8, contrast),
    (10, subordinate),
    (6, thought),
    (12, pronouns),
    (9, full_names),
    (10, quotation),
    (8, echo),
    (8, question),
    (5, gift),
    (5, there_are),
    (6, shopping),
    (7, list_again),
    (12, dictation),
    (3, calendar),
];

/// `The dogs near the house sleep quietly.`
fn statement(draft: &mut Draft<'_>) {
    draft.clause();
    draft.mark(".");
}

/// `The cat sleeps, but the dogs run.`
fn contrast(draft: &mut Draft<'_>) {
    draft.clause();
    draft.mark(",");
    let conjunction = *draft.random.pick(&["but", "and", "or"]);
    draft.plain(conjunction, Tag::Cconj);
    draft.clause();
    draft.mark(".");
}

/// `When the bell rings, Anna is tired.` `The boys run because they are happy.`
fn subordinate(draft: &mut Draft<'_>) {
    let conjunction = *draft.random.pick(SUBORDINATE);
    if draft.random.chance(0.3) {
        draft.plain(conjunction, Tag::Sconj);
        let number = draft.number();
        let bell = crate::lexicon::NOUNS.iter().find(|noun| noun.singular == "bell");
        if let Some(bell) = bell {
            draft.plain("the", Tag::Det);
            draft.noun_form(bell, number);
            draft.verb(&RING, number);
        }
        draft.mark(",");
        draft.clause();
    } else {
        let subject = draft.clause();
        draft.plain(conjunction, Tag::Sconj);
        if known_gender(subject) {
            draft.pronoun(subject, Case::Subject);
            draft.predicate(subject);
        } else {
            draft.clause();
        }
    }
    draft.mark(".");
}

/// `Anna thinks that the soup is cold.`
fn thought(draft: &mut Draft<'_>) {
    let subject = draft.subject(&[Class::Person]);
    let verb = *draft.random.pick(THINKING);
    draft.verb(&verb, subject.number);
    draft.plain("that", Tag::Sconj);
    draft.clause();
    draft.mark(".");
}

/// `Anna met Ben in the garden. She gave him her map, and he was happy.`
fn pronouns(draft: &mut Draft<'_>) {
    let (first, second) = draft.couple();
    draft.name(first);
    let meeting = draft.verb_for(Class::Person);
    draft.verb(&meeting, Number::Singular);
    if meeting.objects.contains(&Class::Person) {
        draft.name(second);
    } else {
        draft.object(&meeting, Some(first.referent()));
        draft.plain("with", Tag::Adp);
        draft.name(second);
    }
    if draft.random.chance(0.3) {
        draft.place();
    }
    draft.mark(".");
    let (subject, other) = if draft.random.chance(0.5) {
        (first, second)
    } else {
        (second, first)
    };
    draft.pronoun(subject.referent(), Case::Subject);
    if draft.random.chance(0.5) {
        let giving = *draft.random.pick(GIVING);
        draft.verb(&giving, Number::Singular);
        draft.pronoun(other.referent(), Case::Object);
        let number = draft.number();
        draft.noun_phrase(giving.objects, number, Some(subject.referent()));
    } else {
        draft.predicate(subject.referent());
    }
    if draft.random.chance(0.5) {
        draft.mark(",");
        draft.plain("and", Tag::Cconj);
        draft.pronoun(other.referent(), Case::Subject);
        draft.state(other.referent());
    }
    draft.mark(".");
}

/// `Anna Carter met Ben Davis in Paris. Ben Davis was tired, but Anna Carter was happy.`
fn full_names(draft: &mut Draft<'_>) {
    let (first, second) = draft.couple();
    draft.full_name(first);
    let verb = loop {
        let verb = draft.verb_for(Class::Person);
        if verb.objects.contains(&Class::Person) {
            break verb;
        }
    };
    draft.verb(&verb, Number::Singular);
    draft.full_name(second);
    if draft.random.chance(0.4) {
        draft.plain("in", Tag::Adp);
        draft.town();
    }
    draft.mark(".");
    let (one, other) = if draft.random.chance(0.5) {
        (first, second)
    } else {
        (second, first)
    };
    draft.full_name(one);
    draft.predicate(one.referent());
    if draft.random.chance(0.6) {
        draft.mark(",");
        let conjunction = *draft.random.pick(&["and", "but"]);
        draft.plain(conjunction, Tag::Cconj);
        draft.full_name(other);
        draft.predicate(other.referent());
    }
    draft.mark(".");
}

/// A clause somebody says, often about the speaker.
fn spoken_clause(draft: &mut Draft<'_>) {
    if draft.random.chance(0.35) {
        let speaker = crate::grammar::Referent {
            number: Number::First,
            gender: Gender::Neuter,
            class: Class::Person,
        };
        draft.pronoun(speaker, Case::Subject);
        draft.predicate(speaker);
    } else {
        draft.clause();
    }
}

/// Who speaks, after the verb: `said Anna`, `say Anna and Ben`.
fn speaker_after(draft: &mut Draft<'_>, verb: &crate::lexicon::Verb) {
    if draft.random.chance(0.15) {
        draft.verb(verb, Number::Plural);
        draft.two_names();
    } else {
        let person = draft.person();
        draft.verb(verb, Number::Singular);
        draft.name(person);
    }
}

/// `"The soup is cold," said Anna.` `Ben asked, "Where are the keys?"`
fn quotation(draft: &mut Draft<'_>) {
    let asks = draft.random.chance(0.3);
    let verb = if asks { ASK } else { *draft.random.pick(SAYING) };
    if draft.random.chance(0.6) {
        draft.open_quote();
        if asks {
            question_clause(draft);
            draft.mark("?");
        } else {
            spoken_clause(draft);
            draft.mark(",");
        }
        draft.close_quote(false);
        speaker_after(draft, &verb);
        draft.mark(".");
    } else {
        let subject = draft.subject(&[Class::Person]);
        draft.verb(&verb, subject.number);
        draft.mark(",");
        draft.open_quote();
        if asks {
            question_clause(draft);
            draft.mark("?");
        } else {
            spoken_clause(draft);
            draft.mark(".");
        }
        draft.close_quote(true);
    }
}

/// `"The dogs sleep," said Anna. "The dogs sleep," repeated Ben.`
fn echo(draft: &mut Draft<'_>) {
    draft.open_quote();
    let start = draft.words.len();
    spoken_clause(draft);
    let end = draft.words.len();
    draft.mark(",");
    draft.close_quote(false);
    let verb = *draft.random.pick(SAYING);
    speaker_after(draft, &verb);
    draft.mark(".");
    draft.open_quote();
    draft.echo(start, end);
    draft.mark(",");
    draft.close_quote(false);
    speaker_after(draft, &REPEAT);
    draft.mark(".");
}

fn question(draft: &mut Draft<'_>) {
    question_clause(draft);
    draft.mark("?");
}

/// `Do the dogs near the tower sleep`, `is the soup warm`, `where are the keys`, `who carries the lamp`
fn question_clause(draft: &mut Draft<'_>) {
    let number = draft.number();
    match draft.random.below(5) {
        0 | 1 => {
            draft.auxiliary_do(number);
            let subject = draft.noun_phrase(&[Class::Person, Class::Animal], number, None);
            if draft.random.chance(0.4) {
                draft.place();
            }
            let verb = draft.verb_for(subject.class);
            draft.base_verb(&verb);
            draft.object(&verb, None);
        }
        2 => {
            draft.be(number);
            draft.noun_phrase(&[Class::Person, Class::Animal, Class::Object], number, None);
            draft.place();
        }
        3 => {
            draft.plain("where", Tag::Adv);
            draft.be(number);
            draft.noun_phrase(&[Class::Person, Class::Animal, Class::Object], number, None);
        }
        _ => {
            draft.plain("who", Tag::Pron);
            let verb = draft.verb_for(Class::Person);
            draft.verb(&verb, Number::Singular);
            draft.object(&verb, None);
            if draft.random.chance(0.4) {
                draft.place();
            }
        }
    }
}

/// `Anna gave the boys her old map.` `Ben sends a letter to Clara.`
fn gift(draft: &mut Draft<'_>) {
    let (giver, taker) = draft.couple();
    let verb = *draft.random.pick(GIVING);
    let number = draft.number();
    draft.name(giver);
    draft.verb(&verb, Number::Singular);
    if draft.random.chance(0.5) {
        draft.name(taker);
        draft.noun_phrase(verb.objects, number, Some(giver.referent()));
    } else {
        draft.noun_phrase(verb.objects, number, Some(giver.referent()));
        draft.plain("to", Tag::Adp);
        draft.name(taker);
    }
    draft.mark(".");
}

/// How many there are: a word from two to twelve, or digits.
fn count(draft: &mut Draft<'_>) {
    if draft.random.chance(0.6) {
        let numeral = *draft.random.pick(NUMERALS);
        draft.plain(numeral, Tag::Num);
    } else {
        let digits = (2 + draft.random.below(98)).to_string();
        draft.plain(&digits, Tag::Num);
    }
}

/// `There are 12 birds in the garden.` `There is one key outside the house.`
fn there_are(draft: &mut Draft<'_>) {
    let number = draft.number();
    draft.plain("there", Tag::Pron);
    draft.be(number);
    if number == Number::Singular {
        draft.plain("one", Tag::Num);
    } else {
        count(draft);
    }
    let noun = draft.noun(&[Class::Person, Class::Animal, Class::Food, Class::Object]);
    draft.noun_form(noun, number);
    draft.place();
    draft.mark(".");
}

/// `Anna buys three apples, 12 eggs and two lamps.`
fn shopping(draft: &mut Draft<'_>) {
    let subject = draft.subject(&[Class::Person]);
    draft.verb(&BUY, subject.number);
    let items = 2 + draft.random.below(2);
    goods(draft, items, true);
    draft.mark(".");
}

/// `apples, keys and hats`, each with its count if `counted`; nothing comes twice.
fn goods(draft: &mut Draft<'_>, items: usize, counted: bool) {
    let mut named: Vec<&str> = Vec::new();
    while named.len() < items {
        let noun = draft.noun(&[Class::Food, Class::Object]);
        if named.contains(&noun.plural) {
            continue;
        }
        if !named.is_empty() && named.len() + 1 == items {
            draft.plain("and", Tag::Cconj);
        } else if !named.is_empty() {
            draft.mark(",");
        }
        if counted {
            count(draft);
        }
        draft.noun_form(noun, Number::Plural);
        named.push(noun.plural);
    }
}

/// `Anna bought maps, pears and bells. Ben sold maps, pears and bells.`
fn list_again(draft: &mut Draft<'_>) {
    let (buyer, seller) = draft.couple();
    draft.name(buyer);
    draft.verb(&BUY, Number::Singular);
    let start = draft.words.len();
    let items = 3 + draft.random.below(2);
    goods(draft, items, false);
    let end = draft.words.len();
    draft.mark(".");
    draft.name(seller);
    draft.verb(&SELL, Number::Singular);
    draft.echo(start, end);
    draft.mark(".");
}

/// `Anna said the numbers 4 8 1 5. Ben wrote 4 8 1 5.` `Eva says the words lamp goat river. Leo writes lamp goat river.`
fn dictation(draft: &mut Draft<'_>) {
    let (speaker, writer) = draft.couple();
    let numbers = draft.random.chance(0.3);
    draft.name(speaker);
    draft.verb(&SAYING[0], Number::Singular);
    draft.plain("the", Tag::Det);
    let (what, singular) = if numbers {
        ("numbers", "number")
    } else {
        ("words", "word")
    };
    draft.word(what, singular, Tag::Noun, None);
    let start = draft.words.len();
    for _ in 0..3 + draft.random.below(6) {
        if numbers {
            let digit = draft.random.below(10).to_string();
            draft.plain(&digit, Tag::Num);
        } else {
            let noun = draft.noun(&[Class::Person, Class::Animal, Class::Food, Class::Object, Class::Place]);
            draft.noun_form(noun, Number::Singular);
        }
    }
    let end = draft.words.len();
    draft.mark(".");
    draft.name(writer);
    draft.verb(&WRITE, Number::Singular);
    draft.echo(start, end);
    draft.mark(".");
}

/// `In 1987 Anna lived in Paris.` `On Monday the old dog sleeps.`
fn calendar(draft: &mut Draft<'_>) {
    if draft.random.chance(0.5) {
        draft.past = true;
        draft.plain("in", Tag::Adp);
        let year = (1900 + draft.random.below(130)).to_string();
        draft.plain(&year, Tag::Num);
        let subject = draft.subject(&[Class::Person]);
        draft.verb(&LIVE, subject.number);
        draft.plain("in", Tag::Adp);
        draft.town();
    } else {
        draft.plain("on", Tag::Adp);
        let day = *draft.random.pick(DAYS);
        draft.word(day, day, Tag::Propn, None);
        draft.clause();
    }
    draft.mark(".");
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::lexicon::{ADJECTIVES, MANNER, MEN, NOUNS, VERBS, WOMEN};

    fn some() -> Vec<Story> {
        Stories::new(17).take(5000).collect()
    }

    fn forms(story: &Story) -> Vec<String> {
        story.words.iter().map(|word| word.form.to_lowercase()).collect()
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(some()[..50], Stories::new(17).take(50).collect::<Vec<_>>()[..]);
        assert_ne!(some()[..50], Stories::new(18).take(50).collect::<Vec<_>>()[..]);
    }

    #[test]
    fn texts_are_written_as_a_person_would() {
        for story in some() {
            let text = story.text();
            assert!(LENGTH.contains(&story.words.len()), "{text}");
            assert!(text.starts_with(|c: char| c.is_uppercase() || c == '"'), "{text}");
            assert!(text.ends_with(['.', '?', '"']), "{text}");
            assert_eq!(text.matches('"').count() % 2, 0, "{text}");
            assert!(
                !text.contains("  ") && !text.contains(" .") && !text.contains(" ,") && !text.contains(" ?"),
                "{text}"
            );
            for (i, _) in text.match_indices([',', '.', '?']) {
                assert!(matches!(text.as_bytes().get(i + 1), None | Some(b' ' | b'"')), "{text}");
            }
            for sentence in text.split(". ") {
                assert!(
                    sentence.starts_with(|c: char| c.is_uppercase() || c == '"' || c.is_ascii_digit()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn words_are_those_of_the_text() {
        // Letters, digits and marks of the text, found without looking at the words.
        for story in some() {
            let mut found: Vec<String> = Vec::new();
            let mut inside = false;
            for c in story.text().chars() {
                if inside && c.is_alphanumeric() {
                    found.last_mut().unwrap().push(c);
                } else if c != ' ' {
                    found.push(c.to_string());
                }
                inside = c.is_alphanumeric();
            }
            let words: Vec<String> = story.words.iter().map(|word| word.form.clone()).collect();
            assert_eq!(found, words);
        }
    }

    #[test]
    fn a_few_hundred_words_are_used() {
        let words: BTreeSet<String> = Stories::new(1)
            .take(30_000)
            .flat_map(|story| forms(&story))
            .filter(|form| form.chars().all(char::is_alphabetic))
            .collect();
        assert!((400..=500).contains(&words.len()), "{}", words.len());
        for noun in NOUNS {
            assert!(
                words.contains(noun.singular) && words.contains(noun.plural),
                "{}",
                noun.singular
            );
        }
    }

    #[test]
    fn tags_agree_with_the_lexicon() {
        let mut tags_of: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for story in some() {
            for word in &story.words {
                tags_of
                    .entry(word.form.to_lowercase())
                    .or_default()
                    .insert(word.tag.name());
                let letters = word.form.chars().all(char::is_alphabetic);
                let digits = word.form.chars().all(|c| c.is_ascii_digit());
                match word.tag {
                    Tag::Punct => assert!(!letters && !digits, "{}", word.form),
                    Tag::Num => assert!(letters || digits, "{}", word.form),
                    _ => assert!(letters, "{}", word.form),
                }
            }
        }
        // Only the words meant to be ambiguous are.
        let ambiguous: Vec<&str> = tags_of
            .iter()
            .filter(|(_, tags)| tags.len() > 1)
            .map(|(form, _)| form.as_str())
            .collect();
        assert_eq!(ambiguous, ["cook", "cooks", "light", "that", "watch", "watches"]);
    }

    #[test]
    fn determiners_and_numerals_agree_with_their_noun() {
        let number_of: BTreeMap<&str, bool> = NOUNS
            .iter()
            .flat_map(|noun| [(noun.singular, false), (noun.plural, true)])
            .collect();
        let mut seen = 0;
        for story in some() {
            let forms = forms(&story);
            for (i, word) in story.words.iter().enumerate() {
                let plural = match (forms[i].as_str(), word.tag) {
                    ("a" | "an" | "this" | "every" | "another", _) | ("that", Tag::Det) => false,
                    ("these" | "those" | "some" | "many", _) => true,
                    (_, Tag::Num) => forms[i] != "one",
                    _ => continue,
                };
                // Past adjectives.
                let noun = (i + 1..story.words.len()).find(|&j| story.words[j].tag != Tag::Adj);
                let Some(noun) = noun.filter(|&j| story.words[j].tag == Tag::Noun) else {
                    // Numbers that count nothing: years and dictated digits.
                    assert_eq!(word.tag, Tag::Num, "{}", story.text());
                    continue;
                };
                assert_eq!(number_of[forms[noun].as_str()], plural, "{}", story.text());
                if forms[i] == "a" || forms[i] == "an" {
                    assert_eq!(
                        forms[i] == "an",
                        forms[i + 1].starts_with(['a', 'e', 'i', 'o', 'u']),
                        "{}",
                        story.text()
                    );
                }
                seen += 1;
            }
        }
        assert!(seen > 2000, "{seen}");
    }

    #[test]
    fn pronouns_have_somebody_of_their_gender_before_them() {
        let named = |story: &Story, end: usize, names: &[&str], nouns: &[&str]| {
            story.words[..end]
                .iter()
                .any(|word| names.contains(&word.form.as_str()) || nouns.contains(&word.lemma.as_str()))
        };
        let mut seen = 0;
        for story in some() {
            for (i, form) in forms(&story).iter().enumerate() {
                let fits = match form.as_str() {
                    "she" | "her" => named(&story, i, WOMEN, &["woman", "girl", "queen", "sister"]),
                    "he" | "him" | "his" => named(&story, i, MEN, &["man", "boy", "king", "brother"]),
                    _ => continue,
                };
                assert!(fits, "{form}: {}", story.text());
                seen += 1;
            }
        }
        assert!(seen > 1000, "{seen}");
    }

    #[test]
    fn sentiment_is_that_of_the_words() {
        let mut polarity: BTreeMap<(&str, Tag), Sentiment> = BTreeMap::new();
        polarity.extend(
            ADJECTIVES
                .iter()
                .map(|adjective| ((adjective.form, Tag::Adj), adjective.sentiment)),
        );
        polarity.extend(VERBS.iter().map(|verb| ((verb.base, Tag::Verb), verb.sentiment)));
        polarity.extend(MANNER.iter().map(|&(form, sentiment)| ((form, Tag::Adv), sentiment)));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for story in some() {
            let mut found = BTreeSet::new();
            let mut negated = false;
            for word in &story.words {
                let sentiment = polarity
                    .get(&(word.lemma.as_str(), word.tag))
                    .copied()
                    .unwrap_or(Sentiment::Neutral);
                if sentiment != Sentiment::Neutral {
                    found.insert(if negated { sentiment.negated() } else { sentiment }.name());
                }
                // `not` reaches over adverbs to the next word.
                negated = word.form == "not" || negated && word.tag == Tag::Adv;
            }
            let expected = found.pop_first().unwrap_or("neutral");
            assert!(found.is_empty(), "{}", story.text());
            assert_eq!(story.sentiment.name(), expected, "{}", story.text());
            *counts.entry(expected).or_default() += 1;
        }
        assert!(counts.values().all(|&count| count > 1000), "{counts:?}");
    }

    #[test]
    fn what_is_repeated_is_repeated_exactly() {
        let mut echoes = 0;
        for story in some() {
            let text = story.text();
            let parts: Vec<&str> = text.split('"').collect();
            if let [_, first, _, second, after] = parts[..] {
                assert!(after.contains("repeat"), "{text}");
                assert_eq!(first, second);
                echoes += 1;
            }
        }
        assert!(echoes > 50, "{echoes}");
    }
}
