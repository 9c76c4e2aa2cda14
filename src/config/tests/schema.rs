//! The schema against the checker: the same keys, and the same answer wherever a schema can tell.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::config::keys::keys_of;
use crate::config::raw::*;
use crate::config::schema;

use super::fixtures;

fn json(path: &Path) -> Option<Value> {
    serde_yaml::from_slice(&std::fs::read(path).unwrap()).ok().map(merged)
}

/// With `<<` resolved, as editors do before they look at the schema.
pub(super) fn merged(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            let added = match map.remove("<<").map(merged) {
                Some(Value::Array(maps)) => maps,
                added => added.into_iter().collect(),
            };
            let mut map: serde_json::Map<_, _> = map.into_iter().map(|(key, value)| (key, merged(value))).collect();
            for (key, value) in added.iter().filter_map(Value::as_object).flatten() {
                map.entry(key).or_insert_with(|| value.clone());
            }
            Value::Object(map)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(merged).collect()),
        other => other,
    }
}

/// Every schema below one, itself included.
fn each(schema: &Value, see: &mut dyn FnMut(&Value)) {
    see(schema);
    match schema {
        Value::Object(map) => map.values().for_each(|below| each(below, see)),
        Value::Array(items) => items.iter().for_each(|below| each(below, see)),
        _ => {}
    }
}

#[test]
fn an_editor_shows_words_and_no_patterns() {
    let mut seen = 0;
    each(&schema(), &mut |schema| {
        if schema["type"] == "string" && schema["pattern"].is_string() {
            let says = schema["patternErrorMessage"].as_str().unwrap_or_default();
            assert!(says.starts_with("Write ") && says.ends_with('.'), "{schema}");
            assert_eq!(schema["errorMessage"], says, "{schema}");
            seen += 1;
        }
    });
    assert!(20 <= seen, "only {seen} patterns");
    let level = serde_json::to_string(&schema()["$defs"]["Log"]["properties"]["level"]).unwrap();
    assert!(level.contains(r#""enum":["off","error","warn","info","debug","trace"]"#), "{level}");
}

#[test]
fn good_files_are_valid_and_bad_ones_as_they_say() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for path in fixtures("good_config", 6) {
        let errors: Vec<String> = validator.iter_errors(&json(&path).unwrap()).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
    let (mut refused, mut accepted, mut wrong) = (0, 0, Vec::new());
    for path in fixtures("bad_config", 30) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let says = text.lines().next().and_then(|line| line.strip_prefix("# schema: ")).unwrap_or_default();
        let found = match json(&path) {
            None => "cannot read it",
            Some(json) if validator.is_valid(&json) => "accepts",
            Some(_) => "refuses",
        };
        if found != says {
            wrong.push(format!("the schema {found} {}, which says that it {says}", path.display()));
        }
        refused += usize::from(found == "refuses");
        accepted += usize::from(found == "accepts");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(15 <= refused && 5 <= accepted, "{refused} refused, {accepted} accepted");
}

#[test]
fn the_schema_and_the_checker_know_the_same_keys() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut checked: BTreeSet<&str> = BTreeSet::new();
    let mut same = |name: &'static str, keys: &[&str]| {
        let place = if name == "File" { &schema } else { &definitions[name] };
        let properties: BTreeSet<&str> = place["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(properties, keys.iter().copied().collect(), "{name}");
        assert_eq!(place["additionalProperties"], Value::Bool(false), "{name}");
        for (key, property) in place["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}.{key} has no description");
        }
        checked.insert(name);
    };
    same("File", keys_of::<RawFile>());
    same("ListenLong", keys_of::<RawListen>());
    same("TlsLong", keys_of::<RawTls>());
    same("Certificate", keys_of::<RawCertificate>());
    same("Log", keys_of::<RawLog>());
    same("AccessLogLong", keys_of::<RawAccessLog>());
    same("JournalLong", keys_of::<RawJournal>());
    same("AlertsLong", keys_of::<RawAlerts>());
    same("DockerSocket", keys_of::<RawDocker>());
    same("Limits", keys_of::<RawLimits>());
    same("Route", keys_of::<RawRoute>());
    same("RouteLimits", keys_of::<RawRouteLimits>());
    same("Auth", keys_of::<RawAuth>());
    same("CorsLong", keys_of::<RawCors>());
    same("Upstream", keys_of::<RawUpstream>());
    same("Server", keys_of::<RawServer>());
    same("CheckLong", keys_of::<RawCheck>());
    same("Timeouts", keys_of::<RawTimeouts>());
    same("RetryLong", keys_of::<RawRetry>());
    same("HealLong", keys_of::<RawHeal>());
    same("StepLong", keys_of::<RawStep>());
    let with_keys = definitions.iter().filter(|(_, schema)| schema.get("properties").is_some());
    for (name, _) in with_keys {
        assert!(checked.contains(name.as_str()), "{name} is in the schema and not in this test");
    }
    let file: BTreeSet<&str> = keys_of::<RawFile>().iter().copied().collect();
    assert!(keys_of::<RawFragment>().iter().all(|key| file.contains(key)));
}

#[test]
fn the_schema_is_of_the_stated_draft() {
    assert_eq!(schema()["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::draft202012::meta::is_valid(&schema()));
}
