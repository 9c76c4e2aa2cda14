//! Text → values. Unlike the parser's own type it lets a key stand twice, so that one such key does not hide what else
//! is wrong; the outline reports it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::value::{Tag, TaggedValue};
use serde_yaml::{Mapping, Value};

/// A value whose keys are all texts and whose first of two equal keys counts.
struct Tree(Value);

/// Why a text is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// What is wrong, without the place.
    pub message: String,
    /// What to do, where the message alone would puzzle.
    pub help: Option<&'static str>,
    /// Line from 1 and column from 0.
    pub at: Option<(usize, usize)>,
}

/// Parses one document.
pub(super) fn parse(text: &str) -> Result<Value, SyntaxError> {
    serde_yaml::from_str::<Tree>(text).map(|tree| tree.0).map_err(|error| said(&error))
}

/// Why a text is not YAML in this parser's words, which builds nothing meanwhile; `None` where it sees no fault.
pub(super) fn syntax_error(text: &str) -> Option<SyntaxError> {
    serde_yaml::from_str::<serde::de::IgnoredAny>(text).err().map(|error| said(&error))
}

fn said(error: &serde_yaml::Error) -> SyntaxError {
    let at = error.location().map(|location| (location.line(), location.column().saturating_sub(1)));
    let message = without_place(&error.to_string());
    let help = help(&message);
    SyntaxError { message, help, at }
}

/// Drops every ` at line 3 column 5` but keeps what stands round it.
fn without_place(message: &str) -> String {
    let mut kept = String::new();
    let mut rest = message;
    while let Some(start) = rest.find(" at line ") {
        let (before, from) = rest.split_at(start);
        kept.push_str(before);
        let after = from.trim_start_matches(" at line ").trim_start_matches(|c: char| c.is_ascii_digit());
        rest = after.strip_prefix(" column ").unwrap_or(after).trim_start_matches(|c: char| c.is_ascii_digit());
    }
    kept.push_str(rest);
    kept
}

/// The usual cause of the parser's usual complaints.
fn help(message: &str) -> Option<&'static str> {
    #[rustfmt::skip]
    let causes = [
        ("mapping values are not allowed", "a value that contains `: ` needs quotes, or the line above has the wrong indentation"),
        ("scanning an alias", "a `*` starts an alias in YAML; put the value in quotes: `\"*\"`"),
        ("unknown anchor", "a `*` starts an alias in YAML; put the value in quotes: `\"*\"`"),
        ("cannot start any token", "indent with spaces, not tabs, and put a value that starts with `@`, `%` or a backtick in quotes"),
        ("did not find expected ',' or", "a bracket `{` or `[` is not closed, or a comma is missing"),
        ("did not find expected key", "check the indentation of this line and the one above"),
        ("could not find expected ':'", "a key needs `: ` and a value"),
        ("while scanning a quoted scalar", "a quote is not closed"),
        ("recursion limit", "use fewer nested levels"),
    ];
    causes.into_iter().find_map(|(said, help)| message.contains(said).then_some(help))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(Self)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, inner) = tagged.variant::<String>()?;
        let Tree(value) = inner.newtype_variant()?;
        Ok(Value::Tagged(Box::new(TaggedValue { tag: Tag::new(tag), value })))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Mapping::new();
        while let Some((Tree(key), Tree(value))) = entries.next_entry()? {
            let Some(key) = scalar_text(&key) else {
                return Err(serde::de::Error::custom("a key must be a plain string"));
            };
            map.entry(Value::String(key)).or_insert(value);
        }
        Ok(Value::Mapping(map))
    }
}

/// A text, number or boolean as text: wherever a text is expected, `80` and `"80"` are the same.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_out_of_messages() {
        let text = "did not find expected key at line 3 column 2, while parsing a block mapping at line 1 column 1";
        assert_eq!(without_place(text), "did not find expected key, while parsing a block mapping");
    }

    #[test]
    fn the_first_of_two_keys_counts() {
        let value = parse("a: 1\nb: 2\na: 3\n").unwrap();
        assert_eq!(value.get("a"), Some(&Value::Number(1.into())));
        assert_eq!(parse("80: x\ntrue: y\n").unwrap().as_mapping().unwrap().len(), 2);
    }
}
