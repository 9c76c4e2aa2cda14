//! Reads a file and those it includes, and decides what they mean together.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::changed::ChangedDefault;
use super::check::{self, Files};
use super::env::{Env, expand};
use super::include::{self, IncludedFiles, RefusedInclude};
use super::kept::KeptFiles;
use super::merge::merged;
use super::model::Config;
use super::outline::{NoOutline, Outline};
use super::place::{FileId, Place, TextSpan};
use super::problem::{Problem, Problems};
use super::proof::{Prove, unproven};
use super::raw::{RawFile, RawFragment};
use super::read::{Item, expand_all, field, one_or_many, open, text};
use super::report::{Report, Warning};
use super::source::{FILES_MAX, Sources, Unreadable, read, read_all};
use super::tree::{self, SyntaxError};
use super::words::quoted;

/// A configuration and what it was made from.
#[derive(Debug)]
pub struct LoadedFiles {
    /// What the files mean.
    pub config: Config,
    /// The files that were read, the main one first.
    pub files: Vec<PathBuf>,
    /// Folders in which a change may change the configuration: those of the files, and those where an `include:` pattern
    /// may find more. All of them exist; none need be watched recursively.
    pub watch: Vec<PathBuf>,
    /// Equal for equal texts of equal files: tells whether anything changed, and names a version for people.
    pub digest: u64,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Warning>,
    /// The texts themselves.
    pub kept: KeptFiles,
    /// Defaults that this version changed and that the files do not say themselves.
    pub changed_defaults: Vec<ChangedDefault>,
}

/// Loads a file and those it includes. Reads the file system and, through `env`, variables; nothing else.
///
/// # Errors
/// With every problem of every file at once. A name that does not resolve is none: it may appear later.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<LoadedFiles, Report> {
    load_from(path, Texts::OnDisk, env, &unproven)
}

/// Like [`load`], and has somebody look into the files of certificates, as the process will when it starts.
///
/// # Errors
/// As [`load`].
pub fn load_proving(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    prove: Prove<'_>,
) -> Result<LoadedFiles, Report> {
    load_from(path, Texts::OnDisk, env, prove)
}

/// Like [`load`], for a text that is not in a file; `path` is what reports call it, and what `include:` is relative to.
///
/// # Errors
/// As [`load`].
pub fn load_text(path: &Path, text: String, env: &dyn Fn(&str) -> Option<String>) -> Result<LoadedFiles, Report> {
    load_from(path, Texts::Given(Some(Ok(text))), env, &unproven)
}

/// Like [`load_text`], for a text that is still to be read, such as standard input.
///
/// # Errors
/// As [`load`].
pub fn load_from_reader(
    path: &Path,
    reader: impl Read,
    env: &dyn Fn(&str) -> Option<String>,
    prove: Prove<'_>,
) -> Result<LoadedFiles, Report> {
    load_from(path, Texts::Given(Some(read_all(reader))), env, prove)
}

/// Like [`load`], from texts that were kept; no file is read.
///
/// # Errors
/// As [`load`], and where a text is missing.
pub fn load_kept(path: &Path, kept: &KeptFiles, env: &dyn Fn(&str) -> Option<String>) -> Result<LoadedFiles, Report> {
    load_from(path, Texts::Kept(kept), env, &unproven)
}

/// Where the texts come from.
enum Texts<'k> {
    OnDisk,
    /// The main file's text, until it is taken; the others are on disk.
    Given(Option<Result<String, Unreadable>>),
    Kept(&'k KeptFiles),
}

impl Texts<'_> {
    fn read(&mut self, path: &Path) -> Result<String, Unreadable> {
        match self {
            Self::OnDisk => read(path),
            Self::Given(main) => main.take().unwrap_or_else(|| read(path)),
            Self::Kept(kept) => kept.text(path),
        }
    }

    fn find(&self, pattern: &str, folder: &Path) -> Result<IncludedFiles, RefusedInclude> {
        match self {
            Self::OnDisk | Self::Given(_) => include::find(pattern, folder),
            Self::Kept(kept) => include::find_kept(pattern, kept),
        }
    }
}

fn load_from(
    path: &Path,
    texts: Texts<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    prove: Prove<'_>,
) -> Result<LoadedFiles, Report> {
    let mut loading = Loading {
        sources: Sources::default(),
        problems: Problems::default(),
        watch: BTreeSet::new(),
        texts,
        kept: KeptFiles::default(),
        env,
        prove,
    };
    let config = loading.config(path);
    let Loading { sources, problems, watch, kept, .. } = loading;
    let watch: Vec<PathBuf> = watch.into_iter().collect();
    match config {
        Some((config, changed_defaults)) if problems.errors.is_empty() => Ok(LoadedFiles {
            config,
            files: sources.iter().map(|source| source.path.clone()).collect(),
            watch,
            digest: digest(&sources),
            warnings: problems.warnings.iter().map(|problem| Warning::new(problem, &sources)).collect(),
            kept,
            changed_defaults,
        }),
        _ => Err(Report::new(problems, sources, watch, kept)),
    }
}

struct Loading<'e> {
    sources: Sources,
    problems: Problems,
    watch: BTreeSet<PathBuf>,
    texts: Texts<'e>,
    kept: KeptFiles,
    env: Env<'e>,
    prove: Prove<'e>,
}

impl Loading<'_> {
    fn config(&mut self, path: &Path) -> Option<(Config, Vec<ChangedDefault>)> {
        let id = self.sources.add(path);
        self.watch.insert(include::folder_of(path));
        let at = self.parse_file(id, path)?;
        let mut raw: RawFile = open(&at, "a map with `routes:` and `upstreams:`", &mut self.problems)?;
        let mut files = Files {
            folder: include::folder_of(path),
            main: (RawFile::default(), at),
            included: Vec::new(),
            incomplete: false,
        };
        if let Some(include) = field!(raw.include, files.main.1) {
            for item in one_or_many(&include) {
                self.include(&item, path, &mut files);
            }
        }
        files.main.0 = raw;
        check::config(files, self.prove, &mut self.problems)
    }

    /// Reads every file that one line of `include:` names.
    fn include(&mut self, item: &Item, from: &Path, files: &mut Files) {
        let Some(pattern) = text(item, &mut self.problems) else {
            files.incomplete = true;
            return;
        };
        let found = match self.texts.find(&pattern, &include::folder_of(from)) {
            Ok(found) => found,
            Err(refused) => {
                files.incomplete = true;
                self.watch.extend(refused.folders);
                self.problems.add::<()>(Problem::new(&item.place, refused.message).help(refused.help));
                return;
            }
        };
        self.watch.extend(found.folders);
        self.kept.found(&pattern, &found.files);
        if found.files.is_empty() {
            let problem = Problem::new(&item.place, format!("no file matches {}", quoted(&pattern)));
            self.problems.warn(problem.help("ignore this if the files will be added later"));
        }
        for path in found.files {
            if self.sources.contains(&path) {
                continue;
            }
            if self.sources.len() == FILES_MAX {
                let problem = Problem::new(&item.place, format!("there are more than {FILES_MAX} files"));
                self.problems.add::<()>(problem.help("include fewer files"));
                return;
            }
            let id = self.sources.add(&path);
            match self.fragment(id, &path) {
                Some(fragment) => files.included.push(fragment),
                None => files.incomplete = true,
            }
        }
    }

    fn fragment(&mut self, id: FileId, path: &Path) -> Option<(RawFragment, Item)> {
        let at = self.parse_file(id, path)?;
        let (kept, misplaced) = include::split(at);
        for item in misplaced {
            let problem = Problem::new(
                &item.place.of_key(),
                format!("{} is only allowed in the main file", quoted(item.place.name())),
            );
            self.problems.add::<()>(problem.help("an included file may have only `upstreams:` and `routes:`"));
        }
        let raw = open(&kept, "a map with `upstreams:` or `routes:`", &mut self.problems)?;
        Some((raw, kept))
    }

    fn parse_file(&mut self, id: FileId, path: &Path) -> Option<Item> {
        let text = match self.texts.read(path) {
            Ok(text) => text,
            Err(Unreadable { message, help }) => {
                return self.problems.add(Problem::new(&Place::file(id), message).help(help));
            }
        };
        self.kept.keep(path, &text);
        let env = self.env;
        let expanded = |key: &str| expand(key, env).unwrap_or_else(|_| key.to_owned());
        let outline = Outline::of(&text, &expanded);
        let source = self.sources.get_mut(id)?;
        source.text = text;
        let text = source.text.as_str();
        match outline {
            Ok((outline, twice)) => {
                source.outline = outline;
                for twice in twice {
                    let place = Place::span(id, twice.second);
                    let problem = Problem::new(&place, format!("the key {} is written twice", quoted(&twice.key)));
                    let problem = problem.other("first written", &Place::span(id, twice.first));
                    self.problems.add::<()>(problem.help("remove one of the two"));
                }
            }
            Err(none) => return self.problems.add(no_outline(none, id, text)),
        }
        let value = match tree::parse(text) {
            Ok(value) => value,
            Err(error) => return self.problems.add(syntax(&error, id)),
        };
        if value.is_null() {
            let problem = Problem::new(&Place::file(id), "the file is empty");
            return self
                .problems
                .add(problem.help("write `routes:` and `upstreams:`; an editor may still be saving it"));
        }
        let whole = merged(Item { value, place: Place::root(id) }, &mut self.problems);
        Some(expand_all(whole, self.env, &mut self.problems))
    }
}

fn no_outline(none: NoOutline, id: FileId, text: &str) -> Problem {
    let at = |span: TextSpan| Place::span(id, span);
    match none {
        NoOutline::Syntax { message, span } => match tree::syntax_error(text) {
            Some(error) => syntax(&error, id),
            None => Problem::new(&at(span), message),
        },
        NoOutline::TooDeep(span) => Problem::new(&at(span), "lists and maps are nested too deeply")
            .help("no key needs more than a few levels; remove some"),
        NoOutline::TooMany(span) => {
            Problem::new(&at(span), "the file has more than 100000 values, counting each use of an alias")
                .help("use fewer aliases, or split the file with `include:`")
        }
        NoOutline::SecondDocument(span) => Problem::new(&at(span), "a second document starts here")
            .help("remove the line `---`, or put the rest in a file of its own under `include:`"),
    }
}

fn syntax(error: &SyntaxError, id: FileId) -> Problem {
    let place = match error.at {
        Some((line, column)) => Place::span(id, TextSpan::point(line, column)),
        None => Place::file(id),
    };
    let problem = Problem::new(&place, format!("invalid YAML: {}", error.message));
    problem.help(error.help.unwrap_or("check this line and the one above"))
}

fn digest(sources: &Sources) -> u64 {
    let mut hasher = DefaultHasher::new();
    for source in sources.iter() {
        source.path.hash(&mut hasher);
        source.text.hash(&mut hasher);
    }
    hasher.finish()
}
