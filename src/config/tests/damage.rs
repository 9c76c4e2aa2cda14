//! Files with random damage: they load or are reported, and the schema never refuses what loads.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{load, schema};

use super::schema::merged;
use super::{fixtures, no_env};

/// How many files are damaged.
const ROUNDS: usize = 3_000;

/// What is thrown into a text.
const PIECES: &[&str] = &[
    "\n", " ", "- ", ": ", "{", "}", "[", "]", "\"", "'", "&a ", "*a", "!t ", "#", "|\n", "\t", "ü", "\r\n", "${X",
    "null", "<<: ", "? ",
];

/// What a value is replaced by.
const WORDS: &[&str] = &[
    "0",
    "1",
    "5",
    "1.5",
    "-1",
    "2s",
    "500ms",
    "1h",
    "0s",
    "10MiB",
    "64k",
    "20%",
    "0%",
    "true",
    "false",
    "yes",
    "off",
    "auto",
    "tcp",
    "/health",
    "a:80",
    "[a:80, b:80]",
    "[]",
    "{}",
    "backend",
    "app",
    "*",
    "\"*\"",
    "https://a.example",
    "${X:-1}",
    "gunicorn",
    "pm2 restart a",
    "HUP",
    "sigterm",
    "200-299",
    "200,204",
    "3/h",
    "3 / 10 m",
    "503",
    "10.0.0.0/8",
    "json",
    "::1",
    "\"[::1]:80\"",
    "\":80\"",
    "1e3",
    "0x10",
    "010",
    "\"5\"",
    "~",
    "10 MiB",
    "1 h",
    "A",
    "X-A",
];

/// Small numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn files_with_random_damage_load_or_are_reported() {
    let read = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let good: Vec<String> = fixtures("good_config", 6).iter().map(read).collect();
    let bad: Vec<String> = fixtures("bad_config", 30).iter().map(read).collect();
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    // A folder of its own: some damage includes whatever is beside the file.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("remora.yaml");
    let (mut dice, mut refused) = (Dice(54), 0);
    for round in 0..ROUNDS {
        let from = if round % 2 == 0 { &good } else { &bad };
        let yaml = damaged(&from[round / 2 % from.len()], &mut dice);
        fs::write(&path, &yaml).unwrap();
        if is_refused(&path) {
            refused += 1;
        } else {
            let accepted = serde_yaml::from_str(&yaml).ok().is_none_or(|json| validator.is_valid(&merged(json)));
            assert!(accepted, "the schema refuses what loads:\n{yaml}");
        }
    }
    assert!(ROUNDS / 2 < refused && refused < ROUNDS * 97 / 100, "{refused} of {ROUNDS} were refused");
}

fn is_refused(path: &Path) -> bool {
    let Err(report) = load(path, &no_env) else { return false };
    let text = report.to_string();
    let shown = text.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(shown, report.problems(), "{text}");
    true
}

fn damaged(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(2) {
        let at = dice.below(chars.len() + 1);
        if dice.below(3) == 0 {
            let until = (at + dice.below(4)).min(chars.len());
            chars.splice(at..until, PIECES[dice.below(PIECES.len())].chars());
            continue;
        }
        // The value round this place: what stands between a space or bracket and the next.
        let ends = |c: &char| matches!(c, ' ' | ',' | '{' | '}' | '[' | ']' | '\n');
        let start = chars[..at].iter().rposition(ends).map_or(0, |start| start + 1);
        let until = chars[at..].iter().position(ends).map_or(chars.len(), |length| at + length);
        chars.splice(start..until, WORDS[dice.below(WORDS.len())].chars());
    }
    chars.into_iter().collect()
}
