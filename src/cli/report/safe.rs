//! What a report may hold: statuses, refusals and texts without their secrets. Pure, but for the environment's values.

use std::path::PathBuf;

use serde_json::Value;

use crate::admin::Status;
use crate::types::{line_without_secrets, message_without_users};

/// Shorter values of variables are no secrets, but found everywhere.
const VALUE_LEAST: usize = 4;
/// Values that are no secrets, and words of every text.
const WORDS: [&str; 10] = ["true", "false", "auto", "none", "null", "http", "https", "json", "debug", "info"];

/// The variables that the files name, with their values.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<(String, String)>);

impl Secrets {
    pub(super) fn of(texts: &[(PathBuf, Result<String, String>)]) -> Self {
        Self::with(texts.iter().filter_map(|(_, text)| text.as_deref().ok()), &|name| std::env::var(name).ok())
    }

    fn with<'t>(texts: impl Iterator<Item = &'t str>, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut found = Vec::new();
        for text in texts {
            for piece in text.split("${").skip(1) {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let name = piece.split(|c| !is_name(c)).next().unwrap_or_default();
                let value = env(name).filter(|value| VALUE_LEAST <= value.len() && !WORDS.contains(&value.as_str()));
                found.extend(value.map(|value| (value, format!("${{{name}}}"))));
            }
        }
        // The longer first: one may be a part of another.
        found.sort_by(|(one, _), (other, _)| other.len().cmp(&one.len()).then(one.cmp(other)));
        found.dedup();
        Self(found)
    }

    /// The text without anything that looks like a secret, and with variables instead of their values.
    pub(super) fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, name) in &self.0 {
            for value in [value.clone(), escaped(value)] {
                text = text.replace(&value, name);
            }
        }
        let lines = text.lines().map(|line| line_without_secrets(&message_without_users(line)));
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}

/// As a value stands in JSON and in escaped lines.
fn escaped(value: &str) -> String {
    Value::from(value).to_string().trim_matches('"').to_owned()
}

/// A status without what containers and commands printed, and without lines of the file.
pub(super) fn status(mut status: Box<Status>) -> Box<Status> {
    heals(&mut status.heals);
    if let Some(reload) = &mut status.process.last_reload {
        reload.error = reload.error.as_deref().map(report);
    }
    status
}

/// Heals without what containers and commands printed, which may be anything.
pub(super) fn heals(heals: &mut Value) {
    for heal in heals.as_array_mut().into_iter().flatten() {
        let Some(heal) = heal.as_object_mut() else { continue };
        heal.remove("logs");
        for step in heal.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten() {
            step.as_object_mut().map(|step| step.remove("output"));
        }
    }
}

/// A refusal without the lines of the file that it shows.
pub(super) fn report(text: &str) -> String {
    text.lines().filter(|line| !is_snippet(line)).collect::<Vec<_>>().join("\n")
}

/// `12 | to: api`, `   |     ^^^`.
fn is_snippet(line: &str) -> bool {
    line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
}

/// The same in a line of the log, behind its time and part.
pub(super) fn is_snippet_in_log(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(_, message)| is_snippet(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_their_values() {
        let env = |name: &str| match name {
            "KEY" => Some("plain word".to_owned()),
            "LONG" => Some("plain word and more".to_owned()),
            "SHORT" => Some("80".to_owned()),
            "WORD" => Some("true".to_owned()),
            "QUOTED" => Some("a\"b\\c".to_owned()),
            _ => None,
        };
        let file = "a: ${KEY}${LONG:-x} ${SHORT} ${WORD} ${NONE} ${QUOTED}";
        let secrets = Secrets::with([file].into_iter(), &env);
        assert_eq!(
            secrets.without("x plain word and more, plain word, 80 true, \"a\\\"b\\\\c\""),
            "x ${LONG}, ${KEY}, 80 true, \"${QUOTED}\"\n"
        );
    }

    #[test]
    fn lines_of_the_file_are_not_shown() {
        let refused = "error: no\n --> a.yaml:3:7\n  |\n3 | a: s3cret\n  |    ^^^\n  = help: yes\n\n1 problem.";
        assert_eq!(report(refused), "error: no\n --> a.yaml:3:7\n  = help: yes\n\n1 problem.");
        assert!(is_snippet_in_log("2026-11-28T19:02:26.481Z ERROR reload: 5 | routes: { /: s3cret }"));
        assert!(!is_snippet_in_log("2026-11-28T19:02:26.481Z ERROR reload: error: no upstream is named `x`"));
    }
}
