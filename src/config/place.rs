//! Where in the files something stands: a path of keys, turned into a line and a column only when it is shown.

use super::words::quoted;

/// One of the files that were read, by its index in [`Sources`](super::source::Sources).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId(pub usize);

/// One step down in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Item(usize),
}

/// Lines and columns of characters: lines count from 1, columns from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TextSpan {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl TextSpan {
    /// True when nothing is there to underline, as for a key without a value.
    pub(super) fn is_empty(&self) -> bool {
        (self.line, self.column) == (self.end_line, self.end_column)
    }

    /// A single place, where nothing longer can be underlined.
    pub(super) fn point(line: usize, column: usize) -> Self {
        Self { line, column, end_line: line, end_column: column + 1 }
    }
}

/// What a place points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceKind {
    /// The file as a whole.
    File,
    /// The value at a path.
    Value(Vec<Segment>),
    /// The key at a path.
    Key(Vec<Segment>),
    /// Lines and columns that are known already.
    Span(TextSpan),
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: FileId,
    pub target: PlaceKind,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(file: FileId) -> Self {
        Self { file, target: PlaceKind::File }
    }

    /// The outermost value of a file.
    pub(super) fn root(file: FileId) -> Self {
        Self { file, target: PlaceKind::Value(Vec::new()) }
    }

    /// Lines and columns of a file.
    pub(super) fn span(file: FileId, span: TextSpan) -> Self {
        Self { file, target: PlaceKind::Span(span) }
    }

    /// The value below a key.
    pub(super) fn key(&self, key: &str) -> Self {
        self.below(Segment::Key(key.to_owned()))
    }

    /// The value at an index of a list.
    pub(super) fn item(&self, index: usize) -> Self {
        self.below(Segment::Item(index))
    }

    /// The key of this value rather than the value.
    pub(super) fn of_key(&self) -> Self {
        match &self.target {
            PlaceKind::Value(path) => Self { file: self.file, target: PlaceKind::Key(path.clone()) },
            PlaceKind::File | PlaceKind::Key(_) | PlaceKind::Span(_) => self.clone(),
        }
    }

    /// The nearest key above, for messages: `every` of `upstreams.backend.check.every`.
    pub(super) fn name(&self) -> &str {
        let path = match &self.target {
            PlaceKind::Value(path) | PlaceKind::Key(path) => path.as_slice(),
            PlaceKind::File | PlaceKind::Span(_) => &[],
        };
        let key = path.iter().rev().find_map(|segment| match segment {
            Segment::Key(key) => Some(key.as_str()),
            Segment::Item(_) => None,
        });
        key.unwrap_or("the file")
    }

    /// What messages call it: its own key, in backticks.
    pub(super) fn shown(&self) -> String {
        match &self.target {
            PlaceKind::Value(path) | PlaceKind::Key(path) if path.is_empty() => "the file".into(),
            PlaceKind::File | PlaceKind::Span(_) => "the file".into(),
            PlaceKind::Value(_) | PlaceKind::Key(_) if self.is_item() => "this entry".into(),
            PlaceKind::Value(_) | PlaceKind::Key(_) => quoted(self.name()),
        }
    }

    /// True for an item of a list, which has no name of its own.
    pub(super) fn is_item(&self) -> bool {
        matches!(&self.target, PlaceKind::Value(path) if matches!(path.last(), Some(Segment::Item(_))))
    }

    fn below(&self, segment: Segment) -> Self {
        let mut path = match &self.target {
            PlaceKind::Value(path) | PlaceKind::Key(path) => path.clone(),
            PlaceKind::File | PlaceKind::Span(_) => Vec::new(),
        };
        path.push(segment);
        Self { file: self.file, target: PlaceKind::Value(path) }
    }
}
