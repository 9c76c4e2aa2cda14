//! A README typed by a machine: its `sh` blocks are run, and where a `text` block follows, that is what has to be seen.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::compose::{root, text};

/// Longest wait until commands that only look see what the README promises.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stack's README. Its commands run in its folder.
pub struct Readme {
    folder: PathBuf,
    text: String,
    environment: Vec<(String, String)>,
}

impl Readme {
    /// `deploy/NAME/README.md`. Compose calls the project `remora-NAME`, and its `REMORA_PORT` is the port.
    pub fn of(name: &str, port: u16) -> Self {
        let folder = root().join("deploy").join(name);
        let text = std::fs::read_to_string(folder.join("README.md")).unwrap();
        // The builder that is in every Docker.
        let readme = Self { folder, text, environment: Vec::new() }.with("DOCKER_BUILDKIT", "0");
        readme.with("COMPOSE_PROJECT_NAME", &format!("remora-{name}")).with("REMORA_PORT", &port.to_string())
    }

    /// Sets a variable of the commands' environment.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads one thing for another, in commands and in what they print: a port that is free here.
    pub fn reading(mut self, written: &str, meant: &str) -> Self {
        assert!(self.text.contains(written), "the README does not say `{written}`");
        self.text = self.text.replace(written, meant);
        self
    }

    /// Does what stands under a heading.
    ///
    /// # Panics
    /// When a command fails of which nothing is promised, or a promise is not kept.
    pub async fn follow(&self, heading: &str) {
        let start = Instant::now();
        let blocks = self.blocks(heading);
        assert!(!blocks.is_empty(), "no commands under `{heading}`");
        for (commands, promised) in &blocks {
            self.run(heading, commands, promised.as_deref()).await;
        }
        println!("README, {heading}: {} blocks as typed, {:.1} s", blocks.len(), start.elapsed().as_secs_f64());
    }

    async fn run(&self, heading: &str, commands: &str, promised: Option<&str>) {
        let start = Instant::now();
        // What changes something is typed once. What only looks may look again, as a reader does.
        let looks =
            ["curl", "for", "docker-compose ps", "docker-compose exec"].iter().any(|word| commands.starts_with(word));
        loop {
            let script = format!("exec 2>&1\nset -e\n{commands}");
            let mut bash = Command::new("timeout");
            bash.args(["300", "bash", "-c", &script]).current_dir(&self.folder);
            let environment = self.environment.iter().map(|(name, value)| (name, value));
            let output = bash.envs(environment).output().unwrap();
            let seen = text(&output.stdout);
            let kept = promised.map_or(output.status.success(), |promised| shows(&seen, promised));
            if kept {
                return;
            }
            let wanted = promised.unwrap_or("(success)");
            let can_come = looks && start.elapsed() < PATIENCE;
            assert!(can_come, "{heading}\n--- typed\n{commands}\n--- promised\n{wanted}\n--- seen\n{seen}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The `sh` blocks under a heading, each with the `text` block after it.
    fn blocks(&self, heading: &str) -> Vec<(String, Option<String>)> {
        let mut blocks: Vec<(String, Option<String>)> = Vec::new();
        let (mut here, mut fence, mut block) = (false, None, String::new());
        for line in self.text.lines() {
            match (fence, line.strip_prefix("```")) {
                (None, None) if line.starts_with('#') => here = line.trim_start_matches('#').trim() == heading,
                (None, None) => {}
                (None, Some(kind)) => fence = Some(kind),
                (Some(_), None) => block.extend([line, "\n"]),
                (Some(kind), Some(_)) => {
                    let block = std::mem::take(&mut block);
                    match (here, kind) {
                        (true, "sh") => blocks.push((block, None)),
                        (true, "text") => blocks.last_mut().unwrap().1 = Some(block),
                        _ => {}
                    }
                    fence = None;
                }
            }
        }
        blocks
    }
}

/// An image: the variable's where it is set, else the public one if it is here, else the one that scripts/images.sh makes.
pub fn image(variable: &str, public: &str, made_here: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let looked = Command::new("docker").args(["image", "inspect", public]).output().unwrap();
        if looked.status.success() { public.to_owned() } else { made_here.to_owned() }
    })
}

/// Whether the lines of `promised` are among those seen, in that order; `…` stands for anything, as do more or fewer spaces.
fn shows(seen: &str, promised: &str) -> bool {
    let mut seen = seen.lines().map(plain);
    promised.lines().map(plain).all(|wanted| seen.any(|line| fits(&line, &wanted)))
}

fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits(line: &str, wanted: &str) -> bool {
    let mut pieces = wanted.split('…');
    let Some(mut left) = pieces.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let pieces: Vec<_> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return left.is_empty() };
    for piece in middle {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

#[test]
fn a_promise_is_kept_or_not() {
    #[rustfmt::skip]
    let rows = [
        // seen                     promised        kept
        ("a  b\nc d\n",             "a b\nc…\n",    true),
        ("a b\nc d\n",              "c…\na b\n",    false),
        ("{\"by\":\"1f\"}\n",       "{\"by\":\"…\"}", true),
        ("x up 3s\ny\n",            "…up…\n",       true),
        ("x up 3s\n",               "up…\n",        false),
        ("ab\n",                    "ab…b\n",       false),
        ("one\n",                   "one\none\n",   false),
    ];
    for (seen, promised, kept) in rows {
        assert_eq!(shows(seen, promised), kept, "{promised} in {seen}");
    }
}
