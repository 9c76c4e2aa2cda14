//! Problems as a person reads them: the place, the line itself underlined, and what to do.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::kept::KeptFiles;
use super::place::{FileId, Place, PlaceKind, TextSpan};
use super::problem::{Problem, Problems};
use super::source::{Source, Sources};
use super::words::plain;
use crate::types::{message_without_users, with_user_covered};

/// Most problems that are written out.
const SHOWN_MAX: usize = 100;
/// Most characters of a line that are shown.
const LINE_MAX: usize = 300;

/// Why a configuration was refused: every problem of its files.
pub struct Report {
    problems: Vec<Problem>,
    further: usize,
    sources: Sources,
    watch: Vec<PathBuf>,
    kept: Box<KeptFiles>,
}

/// Something that is allowed but probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    place: String,
    message: String,
    help: Option<String>,
}

impl Report {
    pub(super) fn new(problems: Problems, sources: Sources, watch: Vec<PathBuf>, kept: KeptFiles) -> Self {
        let Problems { errors: mut problems, further, .. } = problems;
        problems.sort_by_cached_key(|problem| {
            let span = span(&problem.at, &sources);
            (problem.at.file, span.map(|span| (span.line, span.column)))
        });
        // An alias repeats what it stands for, and with it what is wrong there.
        let mut told = HashSet::new();
        problems.retain(|problem| match span(&problem.at, &sources) {
            Some(span) => told.insert((problem.at.file, span, problem.message.clone())),
            None => true,
        });
        Self { problems, further, sources, watch, kept: Box::new(kept) }
    }

    /// How many problems there are; at least one.
    pub fn problems(&self) -> usize {
        self.problems.len() + self.further
    }

    /// The files that were read or should have been: a change to one of them may mend the configuration.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(|source| source.path.as_path())
    }

    /// The folders to watch; see [`LoadedFiles::watch`](super::LoadedFiles::watch).
    pub fn watch(&self) -> &[PathBuf] {
        &self.watch
    }

    /// The texts that were read.
    pub fn kept(&self) -> &KeptFiles {
        &self.kept
    }

    /// One line: the first problem with its place, and how many more there are. Neither a line of the file nor an address
    /// with a password is in it.
    pub fn brief(&self) -> String {
        let Some(first) = self.problems.first() else { return "refused".to_owned() };
        let more = match self.problems() - 1 {
            0 => String::new(),
            1 => " (and 1 more problem)".to_owned(),
            more => format!(" (and {more} more problems)"),
        };
        format!("{}: {}{more}", shown(&first.at, &self.sources), without_passwords(&plain_line(&first.message)))
    }

    /// The whole report, for a terminal that shows colours or for one that does not.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for problem in self.problems.iter().take(SHOWN_MAX) {
            text.push_str(&self.one(problem, &renderer));
            text.push_str("\n\n");
        }
        match self.problems() {
            1 => text.push_str("1 problem."),
            count if count <= SHOWN_MAX => text.push_str(&format!("{count} problems.")),
            count => text.push_str(&format!("{count} problems; the first {SHOWN_MAX} are shown.")),
        }
        text
    }

    fn one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(plain_line(&problem.message));
        let group = match self.sources.get(problem.at.file) {
            Some(source) => located(title, source, span(&problem.at, &self.sources)),
            None => Group::with_title(title),
        };
        let other = problem.other.as_ref().map(|(what, place)| format!("{what} at {}", shown(place, &self.sources)));
        let group = group.elements(other.map(|text| Level::NOTE.message(text)));
        let group = group.elements(problem.help.as_deref().map(|help| Level::HELP.message(plain_line(help))));
        renderer.render(&[group])
    }
}

/// Adds the file, and the line where it is known.
fn located<'a>(title: annotate_snippets::Title<'a>, source: &'a Source, span: Option<TextSpan>) -> Group<'a> {
    let line = span.and_then(|span| line_of(span, &source.text));
    let path = source.shown.as_str();
    let Some((span, line)) = line else { return title.element(Origin::path(path)) };
    let line = covered(line);
    let offset = |column: usize| line.char_indices().nth(column).map(|(offset, _)| offset);
    let start = offset(span.column).unwrap_or(line.len());
    if LINE_MAX < start {
        return title.element(Origin::path(path).line(span.line).char_column(span.column + 1));
    }
    let line = offset(LINE_MAX).and_then(|end| line.get(..end)).unwrap_or(&line).to_owned();
    let end = if span.end_line == span.line { offset(span.end_column) } else { None };
    let end = end.unwrap_or(line.len()).min(line.trim_end().len()).max(start);
    let annotation = AnnotationKind::Primary.span(start..end);
    title.element(Snippet::source(line).path(path).line_start(span.line).annotation(annotation))
}

/// The line without the passwords of URLs and the paths of webhooks in it, as long as before.
fn covered(line: &str) -> String {
    let line = with_user_covered(line);
    let is_webhook = line.contains("webhook") || line.trim_start().starts_with("alerts");
    let Some((before, rest)) = line.split_once("://").filter(|_| is_webhook) else { return line };
    let start = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let end = rest.find(|c: char| c.is_whitespace() || "\"'`,}".contains(c)).unwrap_or(rest.len()).max(start);
    format!("{before}://{}{}{}", &rest[..start], "*".repeat(rest[start..end].chars().count()), &rest[end..])
}

/// The line of a place; what is missing at the end of a text is shown behind its last line.
fn line_of(span: TextSpan, text: &str) -> Option<(TextSpan, &str)> {
    if let Some(line) = text.lines().nth(span.line.saturating_sub(1)) {
        return Some((span, line));
    }
    let (index, line) = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).last()?;
    Some((TextSpan::point(index + 1, line.trim_end().chars().count()), line))
}

/// Messages are one line each and show no password, whatever a file or a variable holds.
fn plain_line(text: &str) -> String {
    message_without_users(text)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// What stands in backticks and may be an address with a password, `user:password@host`, is left out.
fn without_passwords(message: &str) -> String {
    let parts = message.split('`').enumerate();
    let shown: Vec<_> =
        parts.map(|(index, part)| if index % 2 == 1 && part.contains('@') { "…" } else { part }).collect();
    shown.join("`")
}

fn span(place: &Place, sources: &Sources) -> Option<TextSpan> {
    let outline = &sources.get(place.file)?.outline;
    match &place.target {
        PlaceKind::File => None,
        PlaceKind::Span(span) => Some(*span),
        PlaceKind::Value(path) => outline.value(path),
        PlaceKind::Key(path) => outline.key(path),
    }
}

/// `conf/remora.yaml:12:3`.
pub(super) fn shown(place: &Place, sources: &Sources) -> String {
    let FileId(_) = place.file;
    let file = sources.get(place.file).map_or("", |source| source.shown.as_str());
    match span(place, sources) {
        Some(span) => format!("{file}:{}:{}", span.line, span.column + 1),
        None => file.to_owned(),
    }
}

impl Warning {
    pub(super) fn new(problem: &Problem, sources: &Sources) -> Self {
        let help = problem.help.as_deref().map(|help| plain(&message_without_users(help)));
        Self { place: shown(&problem.at, sources), message: plain_line(&problem.message), help }
    }
}

impl fmt::Display for Warning {
    /// One line: `conf/remora.yaml:12:3: what is odd; what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    /// As [`Report::render`] without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_is_left_out() {
        #[rustfmt::skip]
        let rows = [
            ("no upstream is named `apii`",                  "no upstream is named `apii`"),
            ("`mysql://u:secret@db:3306` is not an address", "`…` is not an address"),
            ("`a` and `b@c` and `d`",                        "`a` and `…` and `d`"),
            ("nothing quoted",                               "nothing quoted"),
        ];
        for (message, expected) in rows {
            assert_eq!(without_passwords(message), expected);
        }
    }
}
