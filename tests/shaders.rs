//! Every shader keeps a rule of WGSL that our shader compiler does not check but browsers do: operators whose order is
//! easily mistaken need parentheses (WGSL, section 8.18 "Operator Precedence and Associativity").
//!
//! Each crate validates its shaders whole in its own tests; `scripts/check-browser` compiles all of them in a browser, where
//! there is one.

use std::{fs, path::Path};

#[test]
fn operators_of_shaders_are_in_parentheses_where_browsers_demand_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut files = 0;
    for name in ["attn-render", "attn-project-gpu"] {
        for entry in fs::read_dir(crates.join(name).join("src/shaders")).unwrap() {
            let path = entry.unwrap().path();
            let faults = faults(&fs::read_to_string(&path).unwrap());
            assert!(faults.is_empty(), "{}: {}", path.display(), faults.join("; "));
            files += 1;
        }
    }
    assert!(files >= 12, "{files} shaders");
}

#[test]
fn the_rule_is_that_of_the_standard() {
    let valid = [
        "a + b * c - d / e % f",
        "(a << 4u) | b",
        "a | b | c",
        "a << b",
        "-a << ~b",
        "f(a | b, c << d) + 1",
        "a < b && c == d && !e",
        "a || b || c < d + e",
        "a + b < c << d",
        "(a & b) != 0u",
        "array<vec2<u32>, 4>(x << 1u, y)[i & 3u] >> 2u",
        "vec4<f32>(vec4(a.x & 0xFFFFu, a.x >> 16u))",
        "bitcast<u32>(a) & b",
        "&a",
        "x * -y",
        "x == *p",
    ];
    for text in valid {
        assert_eq!(faults(&format!("let a = {text};")), [""; 0], "{text}");
    }
    let invalid = [
        "u32(radius * 256.0) << 4u | shape",
        "a | b & c",
        "a ^ b | c",
        "a & b == c",
        "a + b << c",
        "a << b << c",
        "a << b + c",
        "a & b + c",
        "a < b < c",
        "a == b != c",
        "a && b || c",
        "a || b && c",
        "f(a, b << c | d)",
        "vec2<u32>(a << b | c, d).x",
        "a & b && c",
        "array<u32, (1 << 2 | 3)>()",
    ];
    for text in invalid {
        assert_eq!(faults(&format!("let a = {text};")).len(), 1, "{text}");
        assert_eq!(faults(&format!("if {text} {{ }}")).len(), 1, "if {text}");
    }
    // Declarations and statements are not expressions.
    let whole = "alias P = vec2<f32>; @group(0) @binding(1) var<storage, read> a: array<P>; // a << b | c
        fn f(p: ptr<function, u32>, q: vec2<vec3<f32>>) -> array<u32, 4> {
            for (var i = 0u; i < 4u && i >= 1u; i += 1u) { a[i] = x; *p = i; y >>= 1u; z |= 4u << 2u; }
            switch a & 1u { case 0u: { return b | c; } default: { let c: vec2<u32> = d; } }
            /* a << b | c /* nested */ a < b < c */ loop { break if a < b; }
        }";
    assert_eq!(faults(whole), [""; 0]);
}

/// Expressions that mix operators without the parentheses which the grammar demands.
fn faults(source: &str) -> Vec<String> {
    let tokens = tokens(source);
    let mut faults = Vec::new();
    // The operators of the expressions that are open: one expression more for every bracket.
    let mut open = vec![Vec::new()];
    let mut operand_before = false;
    for Token { text, kind } in tokens {
        let operand = kind == Kind::Operand || kind == Kind::Close;
        match kind {
            Kind::Operand => {}
            Kind::Open => open.push(Vec::new()),
            Kind::Close => {
                end(&mut open, &mut faults);
                open.pop();
            }
            Kind::End => end(&mut open, &mut faults),
            // A sign, an address or the value behind one, unless there is something to the left.
            Kind::Operator if !operand_before => {}
            Kind::Operator => {
                if let Some(operators) = open.last_mut() {
                    operators.push(text);
                }
            }
        }
        operand_before = operand;
    }
    end(&mut open, &mut faults);
    faults
}

/// Judges the innermost expression, which ends here.
fn end(open: &mut [Vec<&str>], faults: &mut Vec<String>) {
    let operators = open.last_mut().map(std::mem::take).unwrap_or_default();
    if !may_mix(&operators) {
        faults.push(format!("{} without parentheses", operators.join(" ")));
    }
}

/// Whether the grammar lets these operators follow each other, from the loosest to the tightest.
fn may_mix(operators: &[&str]) -> bool {
    let first_of = |of: &[&str]| operators.iter().copied().find(|operator| of.contains(operator));
    // Of bitwise and short-circuit operators only repetitions of one.
    if let Some(bitwise) = first_of(&["&", "|", "^"]) {
        return operators.iter().all(|operator| *operator == bitwise);
    }
    if let Some(short) = first_of(&["&&", "||"]) {
        let other = if short == "&&" { "||" } else { "&&" };
        return !operators.contains(&other) && operators.split(|operator| *operator == short).all(may_mix);
    }
    let comparisons: &[&str] = &["<", ">", "<=", ">=", "==", "!="];
    if first_of(comparisons).is_some() {
        let mut sides = operators.split(|operator| comparisons.contains(operator));
        return sides.clone().count() == 2 && sides.all(may_mix);
    }
    first_of(&["<<", ">>"]).is_none() || operators.len() == 1
}

#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Operand,
    Operator,
    /// Of a bracket or of a list of template parameters.
    Open,
    Close,
    /// Of an expression.
    End,
}

/// The tokens, without blanks and comments.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let pieces = pieces(source);
    let templates = templates(&pieces);
    let mut tokens = Vec::new();
    let mut next = 0;
    while let Some(&(at, mut text)) = pieces.get(next) {
        let template = templates.iter().find(|(index, _)| *index == next);
        if text == ">" && template.is_none() {
            // Put together what was cut in case it closed a template.
            let joined = [">>=", ">>", ">="]
                .into_iter()
                .find(|joined| source[at..].starts_with(joined));
            text = joined.unwrap_or(text);
            next += text.len() - 1;
        }
        let kind = match (template, text) {
            (Some((_, kind)), _) => *kind,
            (_, "(" | "[") => Kind::Open,
            (_, ")" | "]") => Kind::Close,
            (_, "{" | "}" | "," | ";" | ":" | "@" | "->" | "++" | "--") => Kind::End,
            (_, "return" | "if" | "switch" | "case" | "while") => Kind::End,
            (_, "<" | ">" | "<=" | ">=" | "==" | "!=") => Kind::Operator,
            _ if text.ends_with('=') => Kind::End,
            _ if is_word(text) => Kind::Operand,
            _ => Kind::Operator,
        };
        tokens.push(Token { text, kind });
        next += 1;
    }
    tokens
}

fn is_word(text: &str) -> bool {
    text.starts_with(in_word)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// The source in pieces and where they stand, without blanks and comments. `>` is always alone.
fn pieces(source: &str) -> Vec<(usize, &str)> {
    const SEVERAL: [&str; 21] = [
        "<<=", "->", "<<", "<=", "==", "!=", "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
        "//", "/*", "*/",
    ];
    let mut pieces = Vec::new();
    let (mut at, mut comments) = (0, 0);
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = match SEVERAL.into_iter().find(|several| rest.starts_with(several)) {
            Some("//") if comments == 0 => rest.find('\n').unwrap_or(rest.len()),
            Some(several) => several.len(),
            None if in_word(c) => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            None => c.len_utf8(),
        };
        match &rest[..length] {
            "/*" => comments += 1,
            "*/" => comments -= 1,
            piece if comments > 0 || piece.starts_with("//") || c.is_whitespace() => {}
            piece => pieces.push((at, piece)),
        }
        at += length;
    }
    pieces
}

/// The pieces that open and close lists of template parameters (WGSL, section 3.9 "Template Lists").
fn templates(pieces: &[(usize, &str)]) -> Vec<(usize, Kind)> {
    let mut found = Vec::new();
    // Candidates for an opening one, with the brackets around them.
    let mut pending: Vec<(usize, usize)> = Vec::new();
    let mut depth = 0;
    for (index, (_, piece)) in pieces.iter().enumerate() {
        match *piece {
            "<" if index > 0 && is_word(pieces[index - 1].1) => pending.push((index, depth)),
            ">" => {
                if let Some((opening, _)) = pending.pop_if(|(_, around)| *around == depth) {
                    found.extend([(opening, Kind::Open), (index, Kind::Close)]);
                }
            }
            "(" | "[" => depth += 1,
            ")" | "]" => {
                pending.retain(|(_, around)| *around < depth);
                depth = depth.saturating_sub(1);
            }
            "&&" | "||" => pending.retain(|(_, around)| *around < depth),
            "=" | ";" | "{" | ":" => {
                pending.clear();
                depth = 0;
            }
            _ => {}
        }
    }
    found
}
