//! What is computed: a decoding per source, the heads that align, and blame.

use std::{error::Error, path::Path};

use attn_sdk::{
    Progress,
    core::progress::step,
    embedded,
    study::decoding::{
        AlignmentHead, BlameParams, Decoder, Decoding, DecodingParams, ErrorRate, Links, Rank, Reference, Shift,
        StateIndex, Unit, alignment_error_rate, alignment_heads, read_pharaoh,
    },
};

use crate::{
    options::{Line, Options},
    saved,
};

/// Most sources over which the window scores heads, and embedded dates that are added to a single source.
pub(crate) const SCORED: usize = 60;
/// Embedded dates among which the clean run of a blame is looked for.
const REFERENCES: usize = 400;

/// A source and what became of it.
pub(crate) struct Run {
    /// Its line, counted from 1.
    pub(crate) line: usize,
    pub(crate) source: String,
    pub(crate) result: Result<Decoding, String>,
    /// Links between words.
    pub(crate) links: Links,
    /// How likely the text of `--rank` is at every step.
    pub(crate) ranks: Vec<Rank>,
    /// Whether it is one of the sources; that of `--explain` may stand beside them.
    pub(crate) listed: bool,
    /// What failed beside the decoding: its blame, its plots.
    pub(crate) failures: Vec<String>,
}

impl Run {
    fn new(line: usize, source: String, result: Result<Decoding, String>, listed: bool) -> Self {
        Self {
            line,
            source,
            result,
            links: Links::default(),
            ranks: Vec::new(),
            listed,
            failures: Vec::new(),
        }
    }

    /// The decoding, if it has a hypothesis.
    fn written(&self) -> Option<&Decoding> {
        let decoding = self.result.as_ref().ok();
        decoding.filter(|decoding| !decoding.hypotheses.is_empty())
    }

    /// Links its words by the heads that align.
    fn link(&mut self, shift: Shift) {
        let Some(decoding) = self.written() else { return };
        match decoding.alignment(0, &decoding.aligning(), shift, Unit::Words) {
            Ok(links) => self.links = links,
            Err(error) => self.failures.push(format!("alignment: {error}")),
        }
    }
}

#[derive(Default)]
pub(crate) struct Session {
    pub(crate) runs: Vec<Run>,
    pub(crate) heads: Vec<AlignmentHead>,
    /// Against given alignments.
    pub(crate) error_rate: Option<ErrorRate>,
    /// What failed of all runs together.
    pub(crate) lost: Vec<String>,
}

impl Session {
    /// All that failed, a line each.
    pub(crate) fn failures(&self) -> impl Iterator<Item = String> + '_ {
        let of_runs = self.runs.iter().flat_map(|run| {
            let all = run.result.as_ref().err().into_iter().chain(&run.failures);
            all.map(|failure| format!("line {}: {failure}", run.line))
        });
        of_runs.chain(self.lost.iter().cloned())
    }

    /// What a reader must know of the runs, a line each.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> + '_ {
        self.runs.iter().flat_map(|run| {
            let notes = run.result.iter().flat_map(|decoding| &decoding.notes);
            notes.map(|note| format!("line {}: {note}", run.line))
        })
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
    let mut session = Session::default();
    for (number, saved) in (1..).zip(saved::read(path)?.runs) {
        session.heads.clone_from(&saved.run.alignment_heads);
        let source = saved.run.source.text.clone();
        let mut run = Run::new(saved.line.unwrap_or(number), source, Ok(saved.run), true);
        run.link(options.shifted());
        session.runs.push(run);
    }
    Ok(session)
}

pub(crate) fn run(options: &Options, progress: &dyn Progress) -> Result<Session, Box<dyn Error>> {
    if let Some(path) = &options.open {
        return opened(options, path);
    }
    let mut lines = options.lines()?;
    let given = options.given_alignments()?;
    let given = given.map(|(path, text)| {
        let read = read_pharaoh(&text);
        read.map_err(|error| format!("{}, {error}", path.display()))
    });
    let given: Option<Vec<Reference>> = given.transpose()?;
    if let Some(given) = given.as_ref().filter(|given| given.len() != lines.len()) {
        let (lines, found) = (lines.len(), given.len());
        return Err(format!("--alignments: expected {lines} lines, one per source, found {found}").into());
    }
    let listed = lines.len();
    if let Some(explained) = &options.explain
        && lines.iter().all(|line| line.source != *explained)
    {
        lines.push(Line::new(listed + 1, explained));
    }
    let decoder = options.decoder()?;
    let params = options.params(&decoder)?;
    let index = options.open_index(progress)?;
    let mut session = Session::default();
    let total = lines.len();
    for (done, line) in lines.into_iter().enumerate() {
        step(progress, "sources", done, total)?;
        let decode = || -> Result<Decoding, attn_sdk::Error> {
            let forced = line.target.as_ref();
            let forced = forced.map(|target| Options::forcing(&params, &decoder, target));
            let params = forced.transpose()?.unwrap_or_else(|| params.clone());
            decoder.decode(&line.source, &params, progress)
        };
        let result = match line.wrong.as_ref().map_or_else(|| Ok(decode()), Err) {
            Err(wrong) => Err(wrong.clone()),
            Ok(Err(error)) if error.is_cancelled() => return Err("stopped before all sources were decoded".into()),
            Ok(result) => result.map_err(|error| error.to_string()),
        };
        let mut run = Run::new(line.number, line.source, result, done < listed);
        if let (Some(index), Ok(decoding)) = (&index, &mut run.result)
            && !decoding.hypotheses.is_empty()
        {
            match index.neighborhood(decoding, 0, &options.near(), progress) {
                Ok(near) => decoding.neighborhood = Some(near),
                Err(error) if error.is_cancelled() => return Err("stopped before all sources were decoded".into()),
                Err(error) => run.failures.push(format!("neighbors: {error}")),
            }
        }
        if let (Some(text), Some(decoding)) = (&options.rank, run.written()) {
            match decoder.rank_everywhere(decoding, 0, text, progress) {
                Ok(ranks) => run.ranks = ranks,
                Err(error) if error.is_cancelled() => return Err("stopped before all sources were decoded".into()),
                Err(error) => run.failures.push(format!("--rank: {error}")),
            }
        }
        session.runs.push(run);
    }
    let _ = progress.update("sources", total, total);
    align(&mut session, options, &decoder, &params, given.as_deref(), progress)?;
    let known = known_sources(options, index.as_ref())?;
    explain(&mut session, options, &decoder, &params, known, progress)?;
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
    // Given alignments are of the sources alone, and of those only that were decoded.
    let aligned: Vec<usize> = (0..session.runs.len())
        .filter(|&at| session.runs[at].written().is_some() && (given.is_none() || session.runs[at].listed))
        .collect();
    let kept: Option<Vec<Reference>> = given.map(|given| {
        let kept = aligned.iter().filter_map(|&at| given.get(at));
        kept.cloned().collect()
    });
    // One source says little of a head; the embedded model has more.
    let more = if options.model.is_none() && kept.is_none() {
        decoded(decoder, params, &dates(), progress)?
    } else {
        Vec::new()
    };
    let runs = aligned.iter().filter_map(|&at| session.runs[at].written());
    let all: Vec<&Decoding> = runs.chain(&more).collect();
    match alignment_heads(&all, kept.as_deref(), options.shifted(), options.seed) {
        Ok(heads) => session.heads = heads,
        Err(error) => session.lost.push(format!("alignment heads: {error}")),
    }
    for run in &mut session.runs {
        if let Ok(decoding) = &mut run.result {
            decoding.alignment_heads.clone_from(&session.heads);
        }
        run.link(options.shifted());
    }
    session.error_rate = kept.map(|kept| {
        let links: Vec<Links> = aligned.iter().map(|&at| session.runs[at].links.clone()).collect();
        alignment_error_rate(&links, &kept)
    });
    Ok(())
}

/// The heads that align, over sources that are decoded for this with one beam. Those that fail are left out.
pub(crate) fn score_heads(
    decoder: &Decoder,
    params: &DecodingParams,
    sources: &[String],
    shift: Shift,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<AlignmentHead>, Box<dyn Error>> {
    let decodings = decoded(decoder, params, sources, progress)?;
    let all: Vec<&Decoding> = decodings.iter().collect();
    Ok(alignment_heads(&all, None, shift, seed)?)
}

fn decoded(
    decoder: &Decoder,
    params: &DecodingParams,
    sources: &[String],
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
    for (done, source) in sources.iter().enumerate() {
        step(progress, "alignment heads", done, sources.len())?;
        match decoder.decode(source, &params, progress) {
            Err(error) if error.is_cancelled() => return Err(error.into()),
            // What cannot be read says nothing of heads.
            found => decodings.extend(found.ok().filter(|found| !found.hypotheses.is_empty())),
        }
    }
    let _ = progress.update("alignment heads", sources.len(), sources.len());
    Ok(decodings)
}

fn explain(
    session: &mut Session,
    options: &Options,
    decoder: &Decoder,
    params: &DecodingParams,
    mut references: Vec<String>,
    progress: &dyn Progress,
) -> Result<(), Box<dyn Error>> {
    let (Some(source), Some(expected)) = (&options.explain, &options.expected) else {
        return Ok(());
    };
    references.extend(session.runs.iter().map(|run| run.source.clone()));
    let settings = BlameParams {
        references,
        seed: options.seed,
        ..BlameParams::default()
    };
    let Some(run) = session.runs.iter_mut().find(|run| run.source == *source) else {
        return Ok(());
    };
    let Ok(decoding) = &mut run.result else { return Ok(()) };
    match decoder.blame(source, expected, params, &settings, progress) {
        Ok(blame) => decoding.blame = Some(blame),
        Err(error) if error.is_cancelled() => return Err("stopped before the cause was found".into()),
        Err(error) => run.failures.push(format!("--explain, --expected: {error}")),
    }
    Ok(())
}

/// Sources beside those that are decoded, for blame: those of the index, and embedded dates for the embedded model.
pub(crate) fn known_sources(options: &Options, index: Option<&StateIndex>) -> Result<Vec<String>, attn_sdk::Error> {
    let mut sources = match index {
        Some(index) => index.sources(REFERENCES)?,
        None => Vec::new(),
    };
    if options.model.is_none() {
        let dates = embedded::dates().take(REFERENCES);
        sources.extend(dates.map(|line| line.split('\t').next().unwrap_or_default().to_owned()));
    }
    Ok(sources)
}

/// Embedded dates over which heads are scored.
pub(crate) fn dates() -> Vec<String> {
    let sources = embedded::dates().take(SCORED);
    sources
        .map(|line| line.split('\t').next().unwrap_or_default().to_owned())
        .collect()
}
