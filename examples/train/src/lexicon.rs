//! The words of the corpus: forms, parts of speech, classes of meaning, polarity.
//!
//! Small enough to read, large enough that a model has something to learn: verbs choose subjects and objects by
//! class (`bakers eat cakes`, lamps do not), and some forms belong to two parts of speech (`cook`, `watch`,
//! `light`, `cooks`, `watches`), which only their neighbors tell apart.

/// What a noun means, as far as verbs and adjectives care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Person,
    Animal,
    Food,
    Object,
    Place,
    /// Names of towns.
    Town,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Animal => "animal",
            Self::Food => "food",
            Self::Object => "object",
            Self::Place => "place",
            Self::Town => "town",
        }
    }
}

/// Opinion carried by a word, and by a whole story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentiment {
    Positive,
    Neutral,
    Negative,
}

impl Sentiment {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Neutral => "neutral",
            Self::Negative => "negative",
        }
    }

    /// What `not` makes of it.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Positive => Self::Negative,
            Self::Neutral => Self::Neutral,
            Self::Negative => Self::Positive,
        }
    }
}

/// Grammatical gender of a person or a thing, which its pronouns repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gender {
    Feminine,
    Masculine,
    Neuter,
}

/// A noun: singular, plural, class, gender.
pub(crate) struct Noun {
    pub(crate) singular: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) class: Class,
    pub(crate) gender: Gender,
}

const fn noun(singular: &'static str, plural: &'static str, class: Class, gender: Gender) -> Noun {
    Noun {
        singular,
        plural,
        class,
        gender,
    }
}

use Class::{Animal, Food, Object, Person, Place};
use Gender::{Feminine, Masculine, Neuter};
use Sentiment::{Negative, Neutral, Positive};

pub(crate) const NOUNS: &[Noun] = &[
    noun("woman", "women", Person, Feminine),
    noun("girl", "girls", Person, Feminine),
    noun("queen", "queens", Person, Feminine),
    noun("sister", "sisters", Person, Feminine),
    noun("man", "men", Person, Masculine),
    noun("boy", "boys", Person, Masculine),
    noun("king", "kings", Person, Masculine),
    noun("brother", "brothers", Person, Masculine),
    noun("teacher", "teachers", Person, Neuter),
    noun("doctor", "doctors", Person, Neuter),
    noun("farmer", "farmers", Person, Neuter),
    noun("sailor", "sailors", Person, Neuter),
    noun("cook", "cooks", Person, Neuter),
    noun("student", "students", Person, Neuter),
    noun("child", "children", Person, Neuter),
    noun("dog", "dogs", Animal, Neuter),
    noun("cat", "cats", Animal, Neuter),
    noun("bird", "birds", Animal, Neuter),
    noun("horse", "horses", Animal, Neuter),
    noun("wolf", "wolves", Animal, Neuter),
    noun("mouse", "mice", Animal, Neuter),
    noun("fox", "foxes", Animal, Neuter),
    noun("rabbit", "rabbits", Animal, Neuter),
    noun("goat", "goats", Animal, Neuter),
    noun("bear", "bears", Animal, Neuter),
    noun("apple", "apples", Food, Neuter),
    noun("egg", "eggs", Food, Neuter),
    noun("cake", "cakes", Food, Neuter),
    noun("pie", "pies", Food, Neuter),
    noun("pear", "pears", Food, Neuter),
    noun("potato", "potatoes", Food, Neuter),
    noun("carrot", "carrots", Food, Neuter),
    noun("onion", "onions", Food, Neuter),
    noun("book", "books", Object, Neuter),
    noun("letter", "letters", Object, Neuter),
    noun("map", "maps", Object, Neuter),
    noun("key", "keys", Object, Neuter),
    noun("lamp", "lamps", Object, Neuter),
    noun("light", "lights", Object, Neuter),
    noun("watch", "watches", Object, Neuter),
    noun("cup", "cups", Object, Neuter),
    noun("hat", "hats", Object, Neuter),
    noun("coat", "coats", Object, Neuter),
    noun("box", "boxes", Object, Neuter),
    noun("knife", "knives", Object, Neuter),
    noun("basket", "baskets", Object, Neuter),
    noun("picture", "pictures", Object, Neuter),
    noun("chair", "chairs", Object, Neuter),
    noun("bell", "bells", Object, Neuter),
    noun("house", "houses", Place, Neuter),
    noun("garden", "gardens", Place, Neuter),
    noun("school", "schools", Place, Neuter),
    noun("river", "rivers", Place, Neuter),
    noun("village", "villages", Place, Neuter),
    noun("bridge", "bridges", Place, Neuter),
    noun("market", "markets", Place, Neuter),
    noun("station", "stations", Place, Neuter),
    noun("forest", "forests", Place, Neuter),
    noun("castle", "castles", Place, Neuter),
    noun("kitchen", "kitchens", Place, Neuter),
    noun("tower", "towers", Place, Neuter),
];

/// Food that is not counted: always singular, never `a`.
pub(crate) const MASS_NOUNS: &[&str] = &["bread", "soup", "tea", "milk", "cheese", "rice"];

pub(crate) const TOWNS: &[&str] = &[
    "Paris", "London", "Rome", "Berlin", "Vienna", "Madrid", "Oslo", "Dublin",
];

pub(crate) const WOMEN: &[&str] = &[
    "Anna", "Clara", "Emma", "Julia", "Laura", "Maria", "Nina", "Rosa", "Sara", "Eva", "Lucy", "Alice",
];
pub(crate) const MEN: &[&str] = &[
    "Ben", "David", "Felix", "Henry", "Jack", "Leo", "Martin", "Oscar", "Paul", "Simon", "Tom", "Victor",
];
pub(crate) const SURNAMES: &[&str] = &[
    "Carter", "Davis", "Evans", "Hughes", "Jones", "Morgan", "Parker", "Scott", "Taylor", "Walsh", "Wilson", "Murphy",
];

/// A verb: base form, third person singular, past.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    pub(crate) base: &'static str,
    pub(crate) third: &'static str,
    pub(crate) past: &'static str,
    /// Who does it.
    pub(crate) subjects: &'static [Class],
    /// What it is done to; empty for intransitive verbs.
    pub(crate) objects: &'static [Class],
    pub(crate) sentiment: Sentiment,
}

const ANIMATE: &[Class] = &[Person, Animal];
const PEOPLE: &[Class] = &[Person];
const THINGS: &[Class] = &[Food, Object];
const ANYTHING: &[Class] = &[Person, Animal, Food, Object];

const fn verb(forms: [&'static str; 3], subjects: &'static [Class], objects: &'static [Class]) -> Verb {
    Verb {
        base: forms[0],
        third: forms[1],
        past: forms[2],
        subjects,
        objects,
        sentiment: Neutral,
    }
}

const fn felt(sentiment: Sentiment, forms: [&'static str; 3]) -> Verb {
    Verb {
        base: forms[0],
        third: forms[1],
        past: forms[2],
        subjects: PEOPLE,
        objects: ANYTHING,
        sentiment,
    }
}

pub(crate) const VERBS: &[Verb] = &[
    verb(["sleep", "sleeps", "slept"], ANIMATE, &[]),
    verb(["run", "runs", "ran"], ANIMATE, &[]),
    verb(["wait", "waits", "waited"], ANIMATE, &[]),
    verb(["swim", "swims", "swam"], ANIMATE, &[]),
    verb(["rest", "rests", "rested"], ANIMATE, &[]),
    verb(["jump", "jumps", "jumped"], ANIMATE, &[]),
    verb(["sing", "sings", "sang"], PEOPLE, &[]),
    verb(["work", "works", "worked"], PEOPLE, &[]),
    verb(["dance", "dances", "danced"], PEOPLE, &[]),
    verb(["see", "sees", "saw"], ANIMATE, ANYTHING),
    verb(["find", "finds", "found"], ANIMATE, ANYTHING),
    verb(["watch", "watches", "watched"], ANIMATE, ANIMATE),
    verb(["follow", "follows", "followed"], ANIMATE, ANIMATE),
    verb(["chase", "chases", "chased"], &[Animal], &[Animal]),
    verb(["meet", "meets", "met"], PEOPLE, PEOPLE),
    verb(["help", "helps", "helped"], PEOPLE, ANIMATE),
    verb(["teach", "teaches", "taught"], PEOPLE, PEOPLE),
    verb(["visit", "visits", "visited"], PEOPLE, &[Person, Place]),
    verb(["carry", "carries", "carried"], PEOPLE, THINGS),
    verb(["buy", "buys", "bought"], PEOPLE, THINGS),
    verb(["sell", "sells", "sold"], PEOPLE, THINGS),
    verb(["need", "needs", "needed"], PEOPLE, THINGS),
    verb(["paint", "paints", "painted"], PEOPLE, &[Object, Place]),
    verb(["clean", "cleans", "cleaned"], PEOPLE, &[Object, Place]),
    verb(["lose", "loses", "lost"], PEOPLE, &[Object]),
    verb(["eat", "eats", "ate"], ANIMATE, &[Food]),
    verb(["cook", "cooks", "cooked"], PEOPLE, &[Food]),
    verb(["taste", "tastes", "tasted"], PEOPLE, &[Food]),
    felt(Positive, ["love", "loves", "loved"]),
    felt(Positive, ["enjoy", "enjoys", "enjoyed"]),
    felt(Positive, ["admire", "admires", "admired"]),
    felt(Positive, ["praise", "praises", "praised"]),
    felt(Negative, ["hate", "hates", "hated"]),
    felt(Negative, ["fear", "fears", "feared"]),
    felt(Negative, ["ruin", "ruins", "ruined"]),
    felt(Negative, ["blame", "blames", "blamed"]),
];

/// Verbs that give something to somebody.
pub(crate) const GIVING: &[Verb] = &[
    verb(["give", "gives", "gave"], PEOPLE, THINGS),
    verb(["send", "sends", "sent"], PEOPLE, THINGS),
    verb(["show", "shows", "showed"], PEOPLE, THINGS),
];

/// Verbs that introduce a clause with `that`.
pub(crate) const THINKING: &[Verb] = &[
    verb(["think", "thinks", "thought"], PEOPLE, &[]),
    verb(["know", "knows", "knew"], PEOPLE, &[]),
    verb(["believe", "believes", "believed"], PEOPLE, &[]),
];

/// Verbs beside a quotation.
pub(crate) const SAYING: &[Verb] = &[
    verb(["say", "says", "said"], PEOPLE, &[]),
    verb(["answer", "answers", "answered"], PEOPLE, &[]),
    verb(["whisper", "whispers", "whispered"], PEOPLE, &[]),
];

/// The verb of a quoted question.
pub(crate) const ASK: Verb = verb(["ask", "asks", "asked"], PEOPLE, &[]);
/// The verb of a quotation that was heard before.
pub(crate) const REPEAT: Verb = verb(["repeat", "repeats", "repeated"], PEOPLE, &[]);
pub(crate) const WRITE: Verb = verb(["write", "writes", "wrote"], PEOPLE, &[]);
pub(crate) const LIVE: Verb = verb(["live", "lives", "lived"], PEOPLE, &[]);
pub(crate) const BUY: Verb = verb(["buy", "buys", "bought"], PEOPLE, THINGS);
pub(crate) const SELL: Verb = verb(["sell", "sells", "sold"], PEOPLE, THINGS);
pub(crate) const RING: Verb = verb(["ring", "rings", "rang"], &[Object], &[]);

/// An adjective and the classes of noun it goes with.
pub(crate) struct Adjective {
    pub(crate) form: &'static str,
    pub(crate) sentiment: Sentiment,
    pub(crate) of: &'static [Class],
}

const fn adjective(form: &'static str, sentiment: Sentiment, of: &'static [Class]) -> Adjective {
    Adjective { form, sentiment, of }
}

const SOLID: &[Class] = &[Object, Place];
const ALL: &[Class] = &[Person, Animal, Food, Object, Place];

pub(crate) const ADJECTIVES: &[Adjective] = &[
    adjective("old", Neutral, ALL),
    adjective("small", Neutral, ALL),
    adjective("large", Neutral, ALL),
    adjective("young", Neutral, ANIMATE),
    adjective("tall", Neutral, PEOPLE),
    adjective("quiet", Neutral, &[Person, Animal, Place]),
    adjective("hungry", Neutral, ANIMATE),
    adjective("tired", Neutral, ANIMATE),
    adjective("black", Neutral, &[Animal, Object]),
    adjective("white", Neutral, &[Animal, Object, Place]),
    adjective("grey", Neutral, &[Animal, Object, Place]),
    adjective("red", Neutral, &[Food, Object, Place]),
    adjective("green", Neutral, &[Food, Object, Place]),
    adjective("blue", Neutral, SOLID),
    adjective("empty", Neutral, SOLID),
    adjective("new", Neutral, SOLID),
    adjective("wooden", Neutral, SOLID),
    adjective("heavy", Neutral, THINGS),
    adjective("light", Neutral, THINGS),
    adjective("warm", Neutral, &[Food, Place]),
    adjective("cold", Neutral, &[Food, Place]),
    adjective("good", Positive, ALL),
    adjective("lovely", Positive, ALL),
    adjective("wonderful", Positive, ALL),
    adjective("beautiful", Positive, ALL),
    adjective("excellent", Positive, THINGS),
    adjective("delicious", Positive, &[Food]),
    adjective("perfect", Positive, SOLID),
    adjective("kind", Positive, PEOPLE),
    adjective("happy", Positive, ANIMATE),
    adjective("brave", Positive, ANIMATE),
    adjective("clever", Positive, ANIMATE),
    adjective("gentle", Positive, ANIMATE),
    adjective("bad", Negative, ALL),
    adjective("terrible", Negative, ALL),
    adjective("horrible", Negative, ALL),
    adjective("ugly", Negative, ALL),
    adjective("awful", Negative, THINGS),
    adjective("rotten", Negative, &[Food]),
    adjective("broken", Negative, SOLID),
    adjective("rude", Negative, PEOPLE),
    adjective("sad", Negative, ANIMATE),
    adjective("cruel", Negative, ANIMATE),
    adjective("angry", Negative, ANIMATE),
    adjective("lazy", Negative, ANIMATE),
];

/// Adverbs of manner.
pub(crate) const MANNER: &[(&str, Sentiment)] = &[
    ("quietly", Neutral),
    ("slowly", Neutral),
    ("quickly", Neutral),
    ("again", Neutral),
    ("together", Neutral),
    ("happily", Positive),
    ("gladly", Positive),
    ("beautifully", Positive),
    ("badly", Negative),
    ("sadly", Negative),
    ("angrily", Negative),
];

/// Adverbs before a verb.
pub(crate) const FREQUENCY: &[&str] = &["always", "often", "sometimes", "never"];
/// Adverbs before an adjective.
pub(crate) const DEGREE: &[&str] = &["very", "really", "quite", "so"];
/// Prepositions of place.
pub(crate) const SPACE: &[&str] = &["near", "behind", "beside", "in", "outside"];
/// Subordinating conjunctions that take a whole clause.
pub(crate) const SUBORDINATE: &[&str] = &["when", "while", "because", "before", "after", "although"];
pub(crate) const DAYS: &[&str] = &[
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// Numerals from two on; the word at index `i` is `i + 2`.
pub(crate) const NUMERALS: &[&str] = &[
    "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
];
