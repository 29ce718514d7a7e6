//! Phrases and clauses of the corpus: a small generative grammar of English.
//!
//! The agreement phenomena are the ones by which language models are usually probed: number across an intervening
//! phrase or relative clause (Linzen, Dupoux and Goldberg 2016, "Assessing the Ability of LSTMs to Learn
//! Syntax-Sensitive Dependencies"), gender of pronouns, negation. [`stories`](crate::stories) arranges the clauses.

use crate::{
    lexicon::{
        ADJECTIVES, Class, DEGREE, FREQUENCY, Gender, MANNER, MASS_NOUNS, MEN, NOUNS, NUMERALS, Noun, SPACE, SURNAMES,
        Sentiment, TOWNS, VERBS, Verb, WOMEN,
    },
    random::Random,
};

/// Universal part-of-speech tags, <https://universaldependencies.org/u/pos/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tag {
    Adj,
    Adp,
    Adv,
    Aux,
    Cconj,
    Det,
    Noun,
    Num,
    Part,
    Pron,
    Propn,
    Punct,
    Sconj,
    Verb,
}

impl Tag {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adj => "ADJ",
            Self::Adp => "ADP",
            Self::Adv => "ADV",
            Self::Aux => "AUX",
            Self::Cconj => "CCONJ",
            Self::Det => "DET",
            Self::Noun => "NOUN",
            Self::Num => "NUM",
            Self::Part => "PART",
            Self::Pron => "PRON",
            Self::Propn => "PROPN",
            Self::Punct => "PUNCT",
            Self::Sconj => "SCONJ",
            Self::Verb => "VERB",
        }
    }
}

/// A word or a punctuation mark, as it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) form: String,
    pub(crate) lemma: String,
    pub(crate) tag: Tag,
    /// Class of meaning, for nouns and names.
    pub(crate) class: Option<Class>,
    /// Whether no space separates it from the word before.
    pub(crate) glued: bool,
}

/// What a verb agrees with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// `I`
    First,
    Singular,
    /// Also `you`.
    Plural,
}

/// Somebody or something that was mentioned and can be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Referent {
    pub(crate) number: Number,
    pub(crate) gender: Gender,
    pub(crate) class: Class,
}

/// A person with a first name and a surname.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) surname: &'static str,
    pub(crate) gender: Gender,
}

impl Person {
    pub(crate) fn referent(self) -> Referent {
        Referent {
            number: Number::Singular,
            gender: self.gender,
            class: Class::Person,
        }
    }
}

/// The forms of a personal pronoun.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Case {
    Subject,
    Object,
    Possessive,
}

/// A text being written, clause by clause.
pub(crate) struct Draft<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) words: Vec<Word>,
    /// The only polarity that its words may have.
    pub(crate) tone: Sentiment,
    /// How many words (with their negation) have that polarity.
    pub(crate) opinions: usize,
    pub(crate) past: bool,
    capital: bool,
    glue: bool,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(random: &'a mut Random, tone: Sentiment) -> Self {
        let past = random.chance(0.4);
        Self {
            random,
            words: Vec::new(),
            tone,
            opinions: 0,
            past,
            capital: true,
            glue: false,
        }
    }

    /// Writes one word.
    pub(crate) fn word(&mut self, form: &str, lemma: &str, tag: Tag, class: Option<Class>) {
        let mut form = form.to_owned();
        if std::mem::take(&mut self.capital) {
            form[..1].make_ascii_uppercase();
        }
        self.words.push(Word {
            form,
            lemma: lemma.to_owned(),
            tag,
            class,
            glued: std::mem::take(&mut self.glue),
        });
    }

    /// Writes one word that is its own lemma.
    pub(crate) fn plain(&mut self, form: &str, tag: Tag) {
        self.word(form, form, tag, None);
    }

    /// Writes a mark that follows the word before it; after a full stop or question mark a sentence starts.
    pub(crate) fn mark(&mut self, mark: &str) {
        self.glue = true;
        let capital = matches!(mark, "." | "?");
        self.capital = false;
        self.plain(mark, Tag::Punct);
        self.capital = capital;
    }

    /// Opens a quotation, which starts like a sentence.
    pub(crate) fn open_quote(&mut self) {
        self.capital = false;
        self.plain("\"", Tag::Punct);
        self.capital = true;
        self.glue = true;
    }

    /// Closes a quotation. What follows starts a sentence only if the quotation ended one and `ends` says so.
    pub(crate) fn close_quote(&mut self, ends: bool) {
        self.mark("\"");
        self.capital = ends;
    }

    /// Writes again what was written from `start` to `end`, as it was.
    pub(crate) fn echo(&mut self, start: usize, end: usize) {
        let mut copy = self.words[start..end].to_vec();
        if let Some(first) = copy.first_mut() {
            first.glued = std::mem::take(&mut self.glue);
        }
        self.capital = false;
        self.words.extend(copy);
    }

    pub(crate) fn person(&mut self) -> Person {
        let (name, gender) = if self.random.chance(0.5) {
            (*self.random.pick(WOMEN), Gender::Feminine)
        } else {
            (*self.random.pick(MEN), Gender::Masculine)
        };
        let surname = *self.random.pick(SURNAMES);
        Person { name, surname, gender }
    }

    /// Two people: another name and another gender, so that a pronoun tells which of them is meant.
    pub(crate) fn couple(&mut self) -> (Person, Person) {
        let first = self.person();
        loop {
            let second = self.person();
            if second.gender != first.gender && second.surname != first.surname {
                return (first, second);
            }
        }
    }

    pub(crate) fn name(&mut self, person: Person) -> Referent {
        self.word(person.name, person.name, Tag::Propn, Some(Class::Person));
        person.referent()
    }

    pub(crate) fn full_name(&mut self, person: Person) -> Referent {
        self.name(person);
        self.word(person.surname, person.surname, Tag::Propn, Some(Class::Person));
        person.referent()
    }

    pub(crate) fn town(&mut self) {
        let town = *self.random.pick(TOWNS);
        self.word(town, town, Tag::Propn, Some(Class::Town));
    }

    pub(crate) fn pronoun(&mut self, of: Referent, case: Case) {
        let forms = match (of.number, of.gender) {
            (Number::First, _) => ["I", "me", "my"],
            (Number::Plural, _) => ["they", "them", "their"],
            (Number::Singular, Gender::Feminine) => ["she", "her", "her"],
            (Number::Singular, Gender::Masculine) => ["he", "him", "his"],
            (Number::Singular, Gender::Neuter) => ["it", "it", "its"],
        };
        let (form, lemma) = match case {
            Case::Subject => (forms[0], forms[0]),
            Case::Object => (forms[1], forms[0]),
            Case::Possessive => (forms[2], forms[2]),
        };
        self.word(form, lemma, Tag::Pron, None);
    }

    pub(crate) fn verb(&mut self, verb: &Verb, number: Number) {
        let form = match (self.past, number) {
            (true, _) => verb.past,
            (false, Number::Singular) => verb.third,
            (false, _) => verb.base,
        };
        self.opinion(verb.sentiment);
        self.word(form, verb.base, Tag::Verb, None);
    }

    /// The verb after `do`: no agreement, no tense.
    pub(crate) fn base_verb(&mut self, verb: &Verb) {
        self.opinion(verb.sentiment);
        self.word(verb.base, verb.base, Tag::Verb, None);
    }

    pub(crate) fn be(&mut self, number: Number) {
        let form = match (self.past, number) {
            (true, Number::Plural) => "were",
            (true, _) => "was",
            (false, Number::First) => "am",
            (false, Number::Singular) => "is",
            (false, Number::Plural) => "are",
        };
        self.word(form, "be", Tag::Aux, None);
    }

    pub(crate) fn auxiliary_do(&mut self, number: Number) {
        let form = match (self.past, number) {
            (true, _) => "did",
            (false, Number::Singular) => "does",
            (false, _) => "do",
        };
        self.word(form, "do", Tag::Aux, None);
    }

    fn opinion(&mut self, sentiment: Sentiment) {
        self.opinions += usize::from(sentiment != Sentiment::Neutral);
    }

    /// A noun whose class is in `classes`.
    pub(crate) fn noun(&mut self, classes: &[Class]) -> &'static Noun {
        loop {
            let noun = self.random.pick(NOUNS);
            if classes.contains(&noun.class) {
                return noun;
            }
        }
    }

    pub(crate) fn number(&mut self) -> Number {
        if self.random.chance(0.5) {
            Number::Singular
        } else {
            Number::Plural
        }
    }

    pub(crate) fn noun_form(&mut self, noun: &Noun, number: Number) {
        let form = if number == Number::Plural {
            noun.plural
        } else {
            noun.singular
        };
        self.word(form, noun.singular, Tag::Noun, Some(noun.class));
    }

    /// An adjective for the class, of the given polarity. Every class has some of each.
    fn adjective(&mut self, class: Class, sentiment: Sentiment, but: &str) -> &'static str {
        loop {
            let adjective = self.random.pick(ADJECTIVES);
            // No `light lights`.
            if adjective.of.contains(&class) && adjective.sentiment == sentiment && adjective.form != but {
                return adjective.form;
            }
        }
    }

    /// The polarity of the next adjective: the text's own or none.
    fn some_tone(&mut self) -> Sentiment {
        if self.random.chance(0.75) {
            self.tone
        } else {
            Sentiment::Neutral
        }
    }

    /// `the old dog`, `these dogs`, `her key`: a noun with what precedes it.
    pub(crate) fn noun_phrase(&mut self, classes: &[Class], number: Number, owner: Option<Referent>) -> Referent {
        if number == Number::Singular && classes.contains(&Class::Food) && self.random.chance(0.12) {
            return self.mass_phrase();
        }
        let noun = self.noun(classes);
        let sentiment = self.some_tone();
        let adjective = self
            .random
            .chance(0.35)
            .then(|| self.adjective(noun.class, sentiment, noun.singular));
        let plural = number == Number::Plural;
        match (owner, plural) {
            (Some(owner), _) if self.random.chance(0.5) => self.pronoun(owner, Case::Possessive),
            (_, false) => match self.random.below(20) {
                0..11 => self.plain("the", Tag::Det),
                11..16 => {
                    let next = adjective.unwrap_or(noun.singular);
                    let article = if next.starts_with(['a', 'e', 'i', 'o', 'u']) {
                        "an"
                    } else {
                        "a"
                    };
                    self.word(article, "a", Tag::Det, None);
                }
                16 => self.plain("this", Tag::Det),
                17 => self.plain("that", Tag::Det),
                18 => self.plain("every", Tag::Det),
                _ => self.plain("another", Tag::Det),
            },
            (_, true) => match self.random.below(20) {
                0..10 => self.plain("the", Tag::Det),
                10..12 => self.plain("some", Tag::Det),
                12..14 => self.word("these", "this", Tag::Det, None),
                14..16 => self.word("those", "that", Tag::Det, None),
                16 => self.plain("many", Tag::Adj),
                _ => {
                    let numeral = *self.random.pick(NUMERALS);
                    self.plain(numeral, Tag::Num);
                }
            },
        }
        if let Some(adjective) = adjective {
            self.opinion(sentiment);
            self.plain(adjective, Tag::Adj);
        }
        self.noun_form(noun, number);
        Referent {
            number,
            gender: noun.gender,
            class: noun.class,
        }
    }

    /// `the warm soup`
    fn mass_phrase(&mut self) -> Referent {
        self.plain("the", Tag::Det);
        if self.random.chance(0.3) {
            let sentiment = self.some_tone();
            let adjective = self.adjective(Class::Food, sentiment, "");
            self.opinion(sentiment);
            self.plain(adjective, Tag::Adj);
        }
        let noun = *self.random.pick(MASS_NOUNS);
        self.word(noun, noun, Tag::Noun, Some(Class::Food));
        Referent {
            number: Number::Singular,
            gender: Gender::Neuter,
            class: Class::Food,
        }
    }

    /// `near the old house`
    pub(crate) fn place(&mut self) {
        let preposition = *self.random.pick(SPACE);
        self.plain(preposition, Tag::Adp);
        let number = self.number();
        self.noun_phrase(&[Class::Place], number, None);
    }

    /// A subject, often with a phrase or a clause between its noun and the verb that must agree with it.
    pub(crate) fn subject(&mut self, classes: &[Class]) -> Referent {
        let people = classes.contains(&Class::Person);
        if people && self.random.chance(0.25) {
            let person = self.person();
            return self.name(person);
        }
        if people && self.random.chance(0.07) {
            return self.two_names();
        }
        let number = self.number();
        let head = self.noun_phrase(classes, number, None);
        match self.random.below(10) {
            0..2 if head.class != Class::Place => self.place(),
            2..4 => self.relative_clause(head),
            _ => {}
        }
        head
    }

    /// `Anna and Ben`
    pub(crate) fn two_names(&mut self) -> Referent {
        let (first, second) = self.couple();
        self.name(first);
        self.plain("and", Tag::Cconj);
        self.name(second);
        Referent {
            number: Number::Plural,
            gender: Gender::Neuter,
            class: Class::Person,
        }
    }

    /// `who sings`, `that the boys chase`: the verb agrees with the head in the first and not in the second.
    fn relative_clause(&mut self, head: Referent) {
        let relative = if head.class == Class::Person { "who" } else { "that" };
        let animate = matches!(head.class, Class::Person | Class::Animal);
        self.plain(relative, Tag::Pron);
        if animate && self.random.chance(0.6) {
            let verb = self.neutral_verb(|verb| verb.subjects.contains(&head.class));
            self.verb(&verb, head.number);
            self.object(&verb, None);
        } else {
            let verb = self.neutral_verb(|verb| verb.objects.contains(&head.class));
            let number = self.number();
            let subject = self.noun_phrase(verb.subjects, number, None);
            self.verb(&verb, subject.number);
        }
    }

    fn neutral_verb(&mut self, fits: impl Fn(&Verb) -> bool) -> Verb {
        loop {
            let verb = self.random.pick(VERBS);
            if verb.sentiment == Sentiment::Neutral && fits(verb) {
                return *verb;
            }
        }
    }

    /// The object of a verb that has one, often owned by the subject.
    pub(crate) fn object(&mut self, verb: &Verb, owner: Option<Referent>) {
        if verb.objects.is_empty() {
            return;
        }
        if verb.objects.contains(&Class::Person) && self.random.chance(0.2) {
            let person = self.person();
            self.name(person);
            return;
        }
        let number = self.number();
        self.noun_phrase(verb.objects, number, owner);
    }

    /// A verb that `class` can be the subject of, of the text's polarity or of none.
    pub(crate) fn verb_for(&mut self, class: Class) -> Verb {
        let felt = self.tone != Sentiment::Neutral && class == Class::Person && self.random.chance(0.4);
        let wanted = if felt { self.tone } else { Sentiment::Neutral };
        loop {
            let verb = self.random.pick(VERBS);
            if verb.sentiment == wanted && verb.subjects.contains(&class) {
                return *verb;
            }
        }
    }

    /// What is said of a subject: `sleeps quietly`, `does not see the dog`, `is very old`, `are in the garden`.
    pub(crate) fn predicate(&mut self, subject: Referent) {
        let animate = matches!(subject.class, Class::Person | Class::Animal);
        if !animate || self.random.chance(0.3) {
            return self.state(subject);
        }
        let verb = self.verb_for(subject.class);
        if verb.sentiment == Sentiment::Neutral && self.random.chance(0.1) {
            self.auxiliary_do(subject.number);
            self.plain("not", Tag::Part);
            self.base_verb(&verb);
        } else {
            if verb.sentiment == Sentiment::Neutral && self.random.chance(0.1) {
                let adverb = *self.random.pick(FREQUENCY);
                self.plain(adverb, Tag::Adv);
            }
            self.verb(&verb, subject.number);
        }
        let owner = (subject.class == Class::Person && known_gender(subject)).then_some(subject);
        self.object(&verb, owner);
        if verb.objects.is_empty() {
            if self.random.chance(0.35) {
                self.manner();
            }
            if self.random.chance(0.3) {
                self.place();
            }
        }
    }

    /// `is very old`, `are not kind`, `was in the garden`
    pub(crate) fn state(&mut self, subject: Referent) {
        self.be(subject.number);
        if subject.class != Class::Place && self.random.chance(0.2) {
            return self.place();
        }
        let negated = self.random.chance(0.15);
        let sentiment = self.some_tone();
        if negated {
            self.plain("not", Tag::Part);
        }
        if self.random.chance(0.3) {
            let degree = *self.random.pick(DEGREE);
            self.plain(degree, Tag::Adv);
        }
        let adjective = self.adjective(subject.class, if negated { sentiment.negated() } else { sentiment }, "");
        self.opinion(sentiment);
        self.plain(adjective, Tag::Adj);
    }

    /// `quietly`
    pub(crate) fn manner(&mut self) {
        let (adverb, sentiment) = loop {
            let &(adverb, sentiment) = self.random.pick(MANNER);
            if sentiment == Sentiment::Neutral || sentiment == self.tone {
                break (adverb, sentiment);
            }
        };
        self.opinion(sentiment);
        self.plain(adverb, Tag::Adv);
    }

    /// A subject of any class with its predicate.
    pub(crate) fn clause(&mut self) -> Referent {
        use Class::{Animal, Food, Object, Person, Place};
        let classes: &[Class] = match self.random.below(10) {
            0..5 => &[Person],
            5..8 => &[Animal],
            8 => &[Food, Object],
            _ => &[Object, Place],
        };
        let subject = self.subject(classes);
        self.predicate(subject);
        subject
    }
}

/// Whether a pronoun can take this up: `the teacher` alone does not say whether `she` or `he`.
pub(crate) fn known_gender(referent: Referent) -> bool {
    referent.number != Number::Singular || referent.class != Class::Person || referent.gender != Gender::Neuter
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::lexicon::NOUNS;

    /// Number of a form, found in the lexicon and not in the grammar.
    fn is_plural(forms: &BTreeMap<&str, bool>, word: &Word) -> bool {
        forms.get(word.form.to_lowercase().as_str()).copied().unwrap_or(false)
    }

    #[test]
    fn verbs_agree_with_the_head_of_the_subject_and_not_with_the_noun_next_to_them() {
        let numbers: BTreeMap<&str, bool> = NOUNS
            .iter()
            .flat_map(|noun| [(noun.singular, false), (noun.plural, true)])
            .collect();
        let third: Vec<&str> = VERBS.iter().map(|verb| verb.third).collect();
        let mut random = Random::new(23);
        let (mut seen, mut misleading) = (0, 0);
        for _ in 0..4000 {
            let mut draft = Draft::new(&mut random, Sentiment::Neutral);
            let subject = draft.subject(&[Class::Person, Class::Animal]);
            let end = draft.words.len();
            draft.predicate(subject);
            let past = draft.past;
            let (subject, predicate) = draft.words.split_at(end);
            let nouns: Vec<&Word> = subject
                .iter()
                .filter(|word| matches!(word.tag, Tag::Noun | Tag::Propn))
                .collect();
            let plural = is_plural(&numbers, nouns[0]) || (nouns.len() == 2 && subject[1].form == "and");
            let verb = predicate
                .iter()
                .find(|word| matches!(word.tag, Tag::Verb | Tag::Aux))
                .unwrap();
            let text: Vec<&str> = subject.iter().chain(predicate).map(|word| word.form.as_str()).collect();
            match (past, verb.lemma.as_str()) {
                (true, "be") => assert_eq!(verb.form == "were", plural, "{text:?}"),
                (true, _) => continue,
                (false, "be") => assert_eq!(verb.form == "are", plural, "{text:?}"),
                (false, "do") => assert_eq!(verb.form == "do", plural, "{text:?}"),
                (false, _) => assert_eq!(third.contains(&verb.form.as_str()), !plural, "{text:?}"),
            }
            seen += 1;
            misleading +=
                usize::from(is_plural(&numbers, nouns[nouns.len() - 1]) != plural && subject[1].form != "and");
        }
        assert!(seen > 2000 && misleading > 250, "{seen} {misleading}");
    }

    #[test]
    fn the_verb_of_a_relative_clause_agrees_with_what_it_is_about() {
        let numbers: BTreeMap<&str, bool> = NOUNS
            .iter()
            .flat_map(|noun| [(noun.singular, false), (noun.plural, true)])
            .collect();
        let mut random = Random::new(29);
        let mut seen = 0;
        for _ in 0..4000 {
            let mut draft = Draft::new(&mut random, Sentiment::Neutral);
            draft.past = false;
            draft.clause();
            for window in draft.words.windows(3) {
                if window[1].tag == Tag::Pron
                    && ["who", "that"].contains(&window[1].form.as_str())
                    && window[2].tag == Tag::Verb
                {
                    let third = VERBS.iter().any(|verb| verb.third == window[2].form);
                    assert_eq!(third, !is_plural(&numbers, &window[0]), "{window:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 200, "{seen}");
    }
}
