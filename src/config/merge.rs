//! YAML's merge keys (`<<: *name`), and keys for the file's own use (`x-...`), both as in Compose files.

use serde_yaml::{Mapping, Value};

use super::place::Place;
use super::problem::{Problem, Problems};
use super::read::Item;

/// The key whose maps are merged into the map it stands in.
const MERGE: &str = "<<";

/// A file's outermost value without its `x-` keys, and with every `<<` resolved: a key that is written out wins over a
/// merged one, and of several merged maps the first wins.
pub(super) fn merged(item: Item, problems: &mut Problems) -> Item {
    let value = match item.value {
        Value::Mapping(map) => {
            let is_ours = |key: &Value| !key.as_str().is_some_and(|key| key.starts_with("x-"));
            Value::Mapping(map.into_iter().filter(|(key, _)| is_ours(key)).collect())
        }
        other => other,
    };
    Item { value: below(value, &item.place, problems), place: item.place }
}

/// The outline has bounded how deep this goes and how many values there are, those of aliases counted.
fn below(value: Value, at: &Place, problems: &mut Problems) -> Value {
    match value {
        Value::Mapping(map) => Value::Mapping(merge(map, at, problems)),
        Value::Sequence(items) => {
            let items = items.into_iter().enumerate();
            Value::Sequence(items.map(|(index, value)| below(value, &at.item(index), problems)).collect())
        }
        other => other,
    }
}

fn merge(map: Mapping, at: &Place, problems: &mut Problems) -> Mapping {
    let (mut whole, mut added) = (Mapping::new(), Vec::new());
    for (key, value) in map {
        let name = key.as_str().unwrap_or_default();
        let place = at.key(name);
        if name != MERGE {
            whole.insert(key, below(value, &place, problems));
            continue;
        }
        let values = match value {
            Value::Sequence(values) => values,
            one => vec![one],
        };
        for value in values {
            match below(value, &place, problems) {
                Value::Mapping(map) => added.push(map),
                _ => {
                    let problem = Problem::new(&place, "`<<` merges maps, and this is none");
                    problems
                        .add::<()>(problem.help("write `<<: *name`, where `&name` stands before the keys of a map"));
                }
            }
        }
    }
    for (key, value) in added.into_iter().flatten() {
        whole.entry(key).or_insert(value);
    }
    whole
}
