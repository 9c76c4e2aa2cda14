//! Where every key and value of a file stands: a second parse that keeps marks and expands nothing.
//!
//! It also bounds what the first parse may build, and finds keys that are written twice.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span as Marked};

use super::place::{Segment, TextSpan};

/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 32;
/// Most brackets that are open at once, those in texts and comments included. Both parsers take a time that grows with the
/// square of it, long before they tell how deep they are.
const BRACKETS_MAX: usize = 1_000;
/// Most values of one file, counting those that aliases repeat.
const VALUES_MAX: usize = 100_000;

/// The places of a file's keys and values.
#[derive(Debug, Default)]
pub(super) struct Outline {
    root: Option<Arc<Node>>,
}

#[derive(Debug)]
struct Node {
    span: TextSpan,
    inner: Inner,
    /// How many values it holds, itself included.
    values: usize,
}

#[derive(Debug)]
enum Inner {
    Scalar,
    List(Vec<Arc<Node>>),
    Map(Vec<MapEntry>),
}

#[derive(Debug)]
struct MapEntry {
    key: String,
    key_span: TextSpan,
    value: Arc<Node>,
}

/// A key that is written twice in one map.
#[derive(Debug)]
pub(super) struct Twice {
    pub key: String,
    pub first: TextSpan,
    pub second: TextSpan,
}

/// Why a file has no outline.
#[derive(Debug)]
pub(super) enum NoOutline {
    /// It is not YAML; the parser of values may say why in better words.
    Syntax { message: String, span: TextSpan },
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep(TextSpan),
    /// More than [`VALUES_MAX`] values.
    TooMany(TextSpan),
    /// A second document.
    SecondDocument(TextSpan),
}

impl Outline {
    /// Reads a file's places. Keys are recorded as `expand` leaves them, as in the values.
    pub(super) fn of(text: &str, expand: &dyn Fn(&str) -> String) -> Result<(Self, Vec<Twice>), NoOutline> {
        if let Some(span) = too_many_brackets(text) {
            return Err(NoOutline::TooDeep(span));
        }
        let mut reading = OutlineBuilder {
            expand,
            open: Vec::new(),
            anchors: HashMap::new(),
            twice: Vec::new(),
            root: None,
            values: 0,
        };
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, marked) = event.map_err(|error| NoOutline::Syntax {
                message: error.info().to_owned(),
                span: TextSpan::point(error.marker().line(), error.marker().col()),
            })?;
            if matches!(event, Event::DocumentStart(_)) {
                documents += 1;
                if documents == 2 {
                    return Err(NoOutline::SecondDocument(span(&marked)));
                }
            }
            reading.event(event, span(&marked))?;
        }
        Ok((Self { root: reading.root }, reading.twice))
    }

    /// The place of a value: itself where it is short, else its key.
    pub(super) fn value(&self, path: &[Segment]) -> Option<TextSpan> {
        let node = self.node(path)?;
        match node.inner {
            Inner::Scalar if !node.span.is_empty() => Some(node.span),
            Inner::Scalar | Inner::List(_) | Inner::Map(_) => match path.last() {
                Some(Segment::Key(_)) => self.key(path),
                Some(Segment::Item(_)) | None => Some(node.first_line()),
            },
        }
    }

    /// The place of the key of a value.
    pub(super) fn key(&self, path: &[Segment]) -> Option<TextSpan> {
        let (last, above) = path.split_last()?;
        match (last, &self.node(above)?.inner) {
            (Segment::Key(key), Inner::Map(entries)) => entry_of(entries, key).map(|entry| entry.key_span),
            _ => self.value(path),
        }
    }

    fn node(&self, path: &[Segment]) -> Option<&Node> {
        let mut node = self.root.as_deref()?;
        for segment in path {
            node = match (segment, &node.inner) {
                (Segment::Key(key), Inner::Map(entries)) => &entry_of(entries, key)?.value,
                (Segment::Item(index), Inner::List(items)) => items.get(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }
}

/// The entry of a key: one that is written out, else one that `<<` merges in.
fn entry_of<'n>(entries: &'n [MapEntry], key: &str) -> Option<&'n MapEntry> {
    if let Some(written) = entries.iter().find(|entry| entry.key == key) {
        return Some(written);
    }
    let merged = &entries.iter().find(|entry| entry.key == "<<")?.value;
    let maps = match &merged.inner {
        Inner::List(maps) => maps.as_slice(),
        Inner::Map(_) | Inner::Scalar => std::slice::from_ref(merged),
    };
    maps.iter().find_map(|map| match &map.inner {
        Inner::Map(entries) => entry_of(entries, key),
        Inner::List(_) | Inner::Scalar => None,
    })
}

impl Node {
    /// Something to underline in the first line: a first key, a first item, or the opening bracket.
    fn first_line(&self) -> TextSpan {
        match &self.inner {
            Inner::Scalar => self.span,
            Inner::List(items) => items.first().map_or(self.span, |item| item.first_line()),
            Inner::Map(entries) => entries.first().map_or(self.span, |entry| entry.key_span),
        }
    }
}

/// A list or map whose end has not been seen.
struct Open {
    span: TextSpan,
    anchor: usize,
    values: usize,
    inner: Inner,
    /// The keys of a map so far.
    keys: HashMap<String, TextSpan>,
    /// A key whose value has not been seen.
    key: Option<(String, TextSpan)>,
}

struct OutlineBuilder<'e> {
    expand: &'e dyn Fn(&str) -> String,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    twice: Vec<Twice>,
    root: Option<Arc<Node>>,
    values: usize,
}

impl OutlineBuilder<'_> {
    fn event(&mut self, event: Event<'_>, at: TextSpan) -> Result<(), NoOutline> {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                if self.wants_key() {
                    self.key(&text, at);
                    return Ok(());
                }
                self.place(Node { span: at, inner: Inner::Scalar, values: 1 }, anchor, at)?;
            }
            Event::Alias(id) => self.alias(id, at)?,
            Event::SequenceStart(anchor, _) => self.begin(Inner::List(Vec::new()), anchor, at)?,
            Event::MappingStart(anchor, _) => self.begin(Inner::Map(Vec::new()), anchor, at)?,
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.inner, Inner::Map(_)) && open.key.is_none())
    }

    fn key(&mut self, text: &str, at: TextSpan) {
        let key = (self.expand)(text);
        let Some(open) = self.open.last_mut() else { return };
        match open.keys.get(&key) {
            Some(&first) => self.twice.push(Twice { key: key.clone(), first, second: at }),
            None => {
                open.keys.insert(key.clone(), at);
            }
        }
        open.key = Some((key, at));
    }

    fn alias(&mut self, id: usize, at: TextSpan) -> Result<(), NoOutline> {
        if self.wants_key() {
            self.key("*", at);
            return Ok(());
        }
        let node = match self.anchors.get(&id) {
            Some(node) => node.clone(),
            None => Arc::new(Node { span: at, inner: Inner::Scalar, values: 1 }),
        };
        self.attach(node, at)
    }

    fn begin(&mut self, inner: Inner, anchor: usize, at: TextSpan) -> Result<(), NoOutline> {
        if self.wants_key() {
            return Err(NoOutline::Syntax { message: "a list or map cannot be a key".into(), span: at });
        }
        if DEPTH_MAX <= self.open.len() {
            return Err(NoOutline::TooDeep(at));
        }
        self.open.push(Open { span: at, anchor, values: 1, inner, keys: HashMap::new(), key: None });
        Ok(())
    }

    fn end(&mut self) -> Result<(), NoOutline> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (span, anchor) = (open.span, open.anchor);
        self.values -= open.values - 1;
        self.place(Node { span, inner: open.inner, values: open.values }, anchor, span)
    }

    fn place(&mut self, node: Node, anchor: usize, at: TextSpan) -> Result<(), NoOutline> {
        let node = Arc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node, at)
    }

    fn attach(&mut self, node: Arc<Node>, at: TextSpan) -> Result<(), NoOutline> {
        self.values += node.values;
        if VALUES_MAX < self.values {
            return Err(NoOutline::TooMany(at));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.values += node.values;
        match &mut open.inner {
            Inner::Scalar => {}
            Inner::List(items) => items.push(node),
            Inner::Map(entries) => {
                if let Some((key, key_span)) = open.key.take() {
                    entries.push(MapEntry { key, key_span, value: node });
                }
            }
        }
        Ok(())
    }
}

fn too_many_brackets(text: &str) -> Option<TextSpan> {
    let mut open = 0_usize;
    for (index, line) in text.lines().enumerate() {
        for (column, c) in line.chars().enumerate() {
            match c {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
            if BRACKETS_MAX < open {
                return Some(TextSpan::point(index + 1, column));
            }
        }
    }
    None
}

fn span(marked: &Marked) -> TextSpan {
    TextSpan {
        line: marked.start.line(),
        column: marked.start.col(),
        end_line: marked.end.line(),
        end_column: marked.end.col(),
    }
}
