//! The tables, as Markdown: on the screen line by line, and in `target/healing/RESULTS.md`.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One sickness.
pub struct Row {
    pub name: String,
    /// Seconds since the fault.
    pub out: Option<f64>,
    pub heal_starts: Option<f64>,
    pub healed: Option<f64>,
    pub serves: Option<f64>,
    pub last_harm: Option<Duration>,
    pub sent: usize,
    pub failed: usize,
    pub slow: usize,
    pub container: &'static str,
    pub note: String,
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    lines: Vec<String>,
    problems: Vec<String>,
}

const HEAD: &str = "| case | out of rotation | heal starts | check passes | serves again | last harm | failed \
                    | slower than 1 s | of | container | |\n|---|---|---|---|---|---|---|---|---|---|---|";

fn seconds(time: Option<f64>) -> String {
    time.map_or_else(|| "–".into(), |time| format!("{time:.1} s"))
}

impl Row {
    fn text(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            seconds(self.out),
            seconds(self.heal_starts),
            seconds(self.healed),
            seconds(self.serves),
            seconds(self.last_harm.map(|time| time.as_secs_f64())),
            self.failed,
            self.slow,
            self.sent,
            self.container,
            self.note.replace('|', "/")
        )
    }
}

impl Report {
    pub fn row(&mut self, row: Row) {
        println!("{}", row.text());
        self.rows.push(row);
        self.write();
    }

    /// A finding in a sentence.
    pub fn line(&mut self, name: &str, text: &str) {
        println!("{name}: {text}");
        self.lines.push(format!("| {name} | {} |", text.replace('|', "/")));
        self.write();
    }

    /// What ends the run as a failure, once everything was run.
    pub fn problem(&mut self, name: &str, text: &str) {
        println!("PROBLEM {name}: {text}");
        self.problems.push(format!("{name}: {text}"));
    }

    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.lines.is_empty()
    }

    /// The tables so far.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.rows.is_empty() {
            let rows: Vec<String> = self.rows.iter().map(Row::text).collect();
            let _never_fails = writeln!(text, "{HEAD}\n{}\n", rows.join("\n"));
        }
        if !self.lines.is_empty() {
            let _never_fails = writeln!(text, "| scenario | |\n|---|---|\n{}", self.lines.join("\n"));
        }
        text
    }

    /// After each row: a run that is broken off has said what it knows.
    fn write(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/healing");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("RESULTS.md"), self.text()).unwrap();
    }
}
