//! Values with their places, and how a map of known keys is opened.

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

use super::env::{Env, expand};
use super::habits;
use super::keys::keys_of;
use super::place::Place;
use super::problem::{Problem, Problems};
use super::tree::scalar_text;
use super::words::{listed, nearest, plain, quoted};

/// A value of the file and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub value: Value,
    pub place: Place,
}

/// The form a value is written in.
pub(super) enum Form {
    /// A text, number or boolean.
    Text(String),
    List(Vec<Item>),
    Map,
    /// No value, or one with a tag.
    Nothing,
}

impl Item {
    /// The item below a key that is known to be there.
    pub(super) fn key(&self, key: &str, value: Value) -> Self {
        Self { value, place: self.place.key(key) }
    }

    pub(super) fn form(&self) -> Form {
        match &self.value {
            Value::Sequence(items) => Form::List(self.items(items)),
            Value::Mapping(_) => Form::Map,
            Value::Null | Value::Tagged(_) => Form::Nothing,
            scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => match scalar_text(scalar) {
                Some(text) => Form::Text(text),
                None => Form::Nothing,
            },
        }
    }

    /// The keys and values of a map in the order of the file; empty for anything else.
    pub(super) fn entries(&self) -> Vec<(String, Self)> {
        let Value::Mapping(map) = &self.value else { return Vec::new() };
        map.iter()
            .filter_map(|(key, value)| scalar_text(key).map(|key| (key.clone(), self.key(&key, value.clone()))))
            .collect()
    }

    /// True when nothing is written behind the key.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.value, Value::Null)
    }

    /// Records that this form is not understood here. `forms` says what is.
    pub(super) fn wrong_form<T>(&self, forms: &str, problems: &mut Problems) -> Option<T> {
        let form = match &self.value {
            Value::Null => "has no value",
            Value::Bool(_) | Value::Number(_) | Value::String(_) => "is a single value",
            Value::Sequence(_) => "is a list",
            Value::Mapping(_) => "is a map",
            Value::Tagged(_) => "has a YAML tag",
        };
        let message = format!("{} {form}", self.place.shown());
        problems.add(Problem::new(&self.place, message).help(format!("write {forms}")))
    }

    fn items(&self, items: &[Value]) -> Vec<Self> {
        let item = |(index, value): (usize, &Value)| Self { value: value.clone(), place: self.place.item(index) };
        items.iter().enumerate().map(item).collect()
    }
}

/// The value of a field of a raw map, as an [`Item`] with its place.
macro_rules! field {
    ($raw:ident . $key:ident, $at:expr) => {
        $raw.$key.take().map(|value| $at.key(stringify!($key), value))
    };
}
pub(super) use field;

/// Opens a map whose keys are the fields of `T`. Each unknown key and each key without a value is a problem; the rest is
/// read all the same.
pub(super) fn open<T: DeserializeOwned>(item: &Item, forms: &str, problems: &mut Problems) -> Option<T> {
    let Value::Mapping(map) = &item.value else { return item.wrong_form(forms, problems) };
    let known = keys_of::<T>();
    let mut kept = Mapping::new();
    for (key, value) in map {
        let text = scalar_text(key).unwrap_or_default();
        if !known.contains(&text.as_str()) {
            unknown_key(item, &text, known, problems);
        } else if value.is_null() {
            let place = item.place.key(&text);
            let problem = Problem::new(&place, format!("{} has no value", quoted(&text)));
            problems.add::<()>(problem.help("give it a value or remove the key"));
        } else {
            kept.insert(key.clone(), value.clone());
        }
    }
    match serde_yaml::from_value(Value::Mapping(kept)) {
        Ok(raw) => Some(raw),
        Err(error) => problems.add(Problem::new(&item.place, error.to_string())),
    }
}

fn unknown_key(item: &Item, key: &str, known: &[&str], problems: &mut Problems) {
    let place = item.place.key(key).of_key();
    let problem = Problem::new(&place, format!("unknown key {}", quoted(key)));
    if problems.is_full() {
        problems.add::<()>(problem);
        return;
    }
    let (missing, otherwise) = (habits::missing_key(key, known), habits::written_otherwise(key, known));
    if missing.is_some() || otherwise.is_some() {
        // What this key stands for may be just what is called missing here.
        problems.lose(&item.place.of_key());
    }
    problems.add::<()>(match (missing, otherwise, nearest(key, known.iter().copied())) {
        (Some(missing), _, _) => missing.problem(&place, key),
        (None, Some(help), _) => problem.help(help),
        (None, None, Some(near)) => problem.help(format!("did you mean `{near}`?")),
        (None, None, None) => {
            let valid = listed(known.iter().copied()).replace(" or ", " and ");
            problem.help(format!("the valid keys are {valid}"))
        }
    });
}

/// Expands the variables of every text below a value, keys included.
pub(super) fn expand_all(item: Item, env: Env<'_>, problems: &mut Problems) -> Item {
    let place = item.place;
    let value = match item.value {
        Value::String(text) => Value::String(expand(&text, env).unwrap_or_else(|error| {
            problems.tell::<()>(&place, &error);
            problems.lose(&place);
            text
        })),
        Value::Sequence(items) => {
            let expanded = items
                .into_iter()
                .enumerate()
                .map(|(index, value)| expand_all(Item { value, place: place.item(index) }, env, problems).value);
            Value::Sequence(expanded.collect())
        }
        Value::Mapping(map) => Value::Mapping(expand_map(map, &place, env, problems)),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Tagged(_)) => other,
    };
    Item { value, place }
}

fn expand_map(map: Mapping, place: &Place, env: Env<'_>, problems: &mut Problems) -> Mapping {
    let mut expanded = Mapping::new();
    for (key, value) in map {
        let text = scalar_text(&key).unwrap_or_default();
        let name = expand(&text, env).unwrap_or_else(|error| {
            let place = place.key(&text).of_key();
            problems.tell::<()>(&place, &error);
            problems.lose(&place);
            text
        });
        let value = expand_all(Item { value, place: place.key(&name) }, env, problems).value;
        // Two keys that become equal are found by the outline.
        expanded.entry(Value::String(name)).or_insert(value);
    }
    expanded
}

/// A text that may be written as a number or boolean.
pub(super) fn text(item: &Item, problems: &mut Problems) -> Option<String> {
    match item.form() {
        Form::Text(text) => Some(text),
        Form::List(_) | Form::Map | Form::Nothing => item.wrong_form("one value", problems),
    }
}

/// A list, or one value that stands for a list of one.
pub(super) fn one_or_many(item: &Item) -> Vec<Item> {
    match item.form() {
        Form::List(items) => items,
        Form::Text(_) | Form::Map | Form::Nothing => vec![item.clone()],
    }
}

/// One of a closed set of words.
pub(super) fn choice<T: Copy>(item: &Item, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let text = text(item, problems)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let help = match nearest(&text, words.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write {}", listed(words.iter().map(|(word, _)| *word))),
    };
    let message = format!("`{}` is not one of the values of `{}`", plain(&text), item.place.name());
    problems.add(Problem::new(&item.place, message).help(help))
}

/// `true` or `false`.
pub(super) fn flag(item: Option<Item>, default: bool, problems: &mut Problems) -> Option<bool> {
    let Some(item) = item else { return Some(default) };
    let text = text(&item, problems)?;
    let meant = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => true,
        "false" | "no" | "off" | "0" => false,
        _ => {
            let message =
                format!("{} is {}, which is neither true nor false", quoted(item.place.name()), quoted(&text));
            return problems.add(Problem::new(&item.place, message).help("write `true` or `false`"));
        }
    };
    if text == meant.to_string() {
        return Some(meant);
    }
    let message = format!("{} is {}, which YAML reads as a string", quoted(item.place.name()), quoted(&text));
    problems.add(Problem::new(&item.place, message).help(format!("write `{meant}`")))
}
