//! What is computed: a decoding per source, the heads that align, and blame.

use std::{error::Error, path::Path};

use attn_sdk::{
    Progress,
    core::progress::step,
    embedded,
    study::decoding::{
        AlignmentHead, BlameParams, Decoder, Decoding, DecodingParams, ErrorRate, Links, Reference, Shift, Unit,
        alignment_error_rate, alignment_heads, read_pharaoh,
    },
};

use crate::options::Options;

/// Embedded dates over which heads are scored, and among which the clean run of a blame is looked for.
const DATES: usize = 60;

/// A source and what became of it.
pub(crate) struct Run {
    /// Its line, counted from 1.
    pub(crate) line: usize,
    pub(crate) source: String,
    pub(crate) result: Result<Decoding, String>,
    /// Links between words.
    pub(crate) links: Links,
}

pub(crate) struct Session {
    pub(crate) runs: Vec<Run>,
    pub(crate) heads: Vec<AlignmentHead>,
    /// Against given alignments.
    pub(crate) error_rate: Option<ErrorRate>,
}

impl Session {
    pub(crate) fn failures(&self) -> usize {
        self.runs.iter().filter(|run| run.result.is_err()).count()
    }

    /// A line per source: what was written, or why nothing was.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.runs.iter().map(|run| match &run.result {
            Ok(decoding) => {
                let target = decoding.hypotheses.first().map_or("", |found| found.row.text.as_str());
                format!("{}\t{target}", run.source)
            }
            Err(error) => format!("line {}: {error}", run.line),
        })
    }
}

/// A session from a saved file.
fn opened(options: &Options, path: &Path) -> Result<Session, Box<dyn Error>> {
    let mut session = Session {
        runs: Vec::new(),
        heads: Vec::new(),
        error_rate: None,
    };
    for (line, decoding) in (1..).zip(Options::saved(path)?) {
        session.heads.clone_from(&decoding.alignment_heads);
        let links = match decoding.hypotheses.is_empty() {
            true => Links::default(),
            false => decoding.alignment(0, &decoding.aligning(), options.shifted(), Unit::Words)?,
        };
        session.runs.push(Run {
            line,
            source: decoding.source.text.clone(),
            result: Ok(decoding),
            links,
        });
    }
    Ok(session)
}

pub(crate) fn run(options: &Options, progress: &dyn Progress) -> Result<Session, Box<dyn Error>> {
    if let Some(path) = &options.open {
        return opened(options, path);
    }
    let lines = options.lines()?;
    let given = options
        .given_alignments()?
        .map(|text| read_pharaoh(&text))
        .transpose()?;
    if let Some(given) = given.as_ref().filter(|given| given.len() != lines.len()) {
        let (lines, found) = (lines.len(), given.len());
        return Err(format!("--alignments: expected {lines} lines, one per source, found {found}").into());
    }
    let decoder = options.decoder()?;
    let params = options.params(&decoder)?;
    let mut runs = Vec::with_capacity(lines.len());
    let total = lines.len();
    for (done, (line, source)) in lines.into_iter().enumerate() {
        step(progress, "sources", done, total)?;
        let result = decoder.decode(&source, &params, progress);
        if let Err(error) = &result
            && error.is_cancelled()
        {
            return Err("stopped before all sources were decoded".into());
        }
        runs.push(Run {
            line,
            source,
            result: result.map_err(|error| error.to_string()),
            links: Links::default(),
        });
    }
    let _ = progress.update("sources", total, total);
    let mut session = Session {
        runs,
        heads: Vec::new(),
        error_rate: None,
    };
    align(&mut session, options, &decoder, &params, given.as_deref(), progress)?;
    explain(&mut session, options, &decoder, &params, progress)?;
    Ok(session)
}

/// Finds the heads that align, and links the words of each source.
fn align(
    session: &mut Session,
    options: &Options,
    decoder: &Decoder,
    params: &DecodingParams,
    given: Option<&[Reference]>,
    progress: &dyn Progress,
) -> Result<(), Box<dyn Error>> {
    let good = |at: usize| session.runs[at].result.is_ok();
    let kept: Option<Vec<Reference>> = given.map(|given| {
        let given = given.iter().enumerate().filter(|(at, _)| good(*at));
        given.map(|(_, reference)| reference.clone()).collect()
    });
    // One source says little of a head; the embedded model has more.
    let more = if options.model.is_none() && kept.is_none() {
        decoded_dates(decoder, params, progress)?
    } else {
        Vec::new()
    };
    let all: Vec<&Decoding> = session
        .runs
        .iter()
        .filter_map(|run| run.result.as_ref().ok())
        .chain(&more)
        .collect();
    session.heads = alignment_heads(&all, kept.as_deref(), options.shifted(), options.seed)?;
    let mut links = Vec::new();
    for run in &mut session.runs {
        let Ok(decoding) = &mut run.result else { continue };
        decoding.alignment_heads = session.heads.clone();
        if decoding.hypotheses.is_empty() {
            continue;
        }
        run.links = decoding.alignment(0, &decoding.aligning(), options.shifted(), Unit::Words)?;
        links.push(run.links.clone());
    }
    session.error_rate = kept.map(|kept| alignment_error_rate(&links, &kept));
    Ok(())
}

/// The heads of the embedded model that align, over embedded dates.
pub(crate) fn score_heads(
    decoder: &Decoder,
    params: &DecodingParams,
    shift: Shift,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<AlignmentHead>, Box<dyn Error>> {
    let decodings = decoded_dates(decoder, params, progress)?;
    let all: Vec<&Decoding> = decodings.iter().collect();
    Ok(alignment_heads(&all, None, shift, seed)?)
}

fn decoded_dates(
    decoder: &Decoder,
    params: &DecodingParams,
    progress: &dyn Progress,
) -> Result<Vec<Decoding>, Box<dyn Error>> {
    let mut params = DecodingParams {
        shares: 0,
        top_k: 1,
        ..params.clone()
    };
    params.generation.beams = 1;
    params.generation.prefix.clear();
    let mut decodings = Vec::new();
    for (done, source) in dates().enumerate() {
        step(progress, "alignment heads", done, DATES)?;
        decodings.extend(decoder.decode(&source, &params, &()));
    }
    let _ = progress.update("alignment heads", DATES, DATES);
    Ok(decodings)
}

fn explain(
    session: &mut Session,
    options: &Options,
    decoder: &Decoder,
    params: &DecodingParams,
    progress: &dyn Progress,
) -> Result<(), Box<dyn Error>> {
    let (Some(source), Some(expected)) = (&options.explain, &options.expected) else {
        return Ok(());
    };
    let references: Vec<String> = if options.model.is_none() {
        dates().collect()
    } else {
        session.runs.iter().map(|run| run.source.clone()).collect()
    };
    let settings = BlameParams {
        references,
        seed: options.seed,
        ..BlameParams::default()
    };
    let blame = decoder.blame(source, expected, params, &settings, progress)?;
    let explained = session.runs.iter_mut().find(|run| run.source == *source);
    if let Some(Ok(decoding)) = explained.map(|run| &mut run.result) {
        decoding.blame = Some(blame);
    }
    Ok(())
}

/// Sources of embedded dates.
pub(crate) fn dates() -> impl Iterator<Item = String> {
    let sources = embedded::dates().take(DATES);
    sources.map(|line| line.split('\t').next().unwrap_or_default().to_owned())
}
