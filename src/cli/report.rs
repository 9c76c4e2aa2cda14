//! `remora report [FILE]`: one text to send with a question, which its sender can read first. Works while no edge runs.

mod safe;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use chrono::DateTime;
use serde_json::Value;

use crate::admin::Status;
use crate::config::model::DockerSpec;
use crate::config::{self, Report};
use crate::docker::{Docker, DockerAbout};
use crate::front::tls;
use crate::heal::{Journal, journal_path};
use crate::telemetry::{one_line, rfc3339};

use super::client::{self, Admin};
use super::exit::Exit;
use super::view::{self, Look};
use super::{file, terminal};
use safe::Secrets;

/// The edge answers from memory.
const WITHIN: Duration = Duration::from_secs(5);
/// How far back events go.
const SPAN: Duration = Duration::from_secs(3_600);
/// The view of the status in it.
const LOOK: Look = Look { colour: false, utf8: true, width: 140 };

/// Write a report to send with a question: status, last hour of events, configuration without secrets, versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora report > report.md
  remora report --output report.md
  remora report conf/remora.yaml")]
pub(super) struct ReportArguments {
    /// Configuration file [default: that of the running edge, else as for `run`]
    file: Option<PathBuf>,
    /// Write it to this file, which must not exist yet [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    admin: Admin,
}

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<Exit> {
    let edge = EdgeAnswers::ask(arguments.admin.address()?);
    let named = arguments.file.clone().or_else(|| edge.file());
    let files = file::choose(named.as_deref()).map(|file| FilesOnDisk::read(&file)).map_err(|none| none.to_string());
    let docker = files.as_ref().map_or(DockerSpec::Auto, |files| files.docker.clone());
    let secrets = files.as_ref().map(|files| Secrets::of(&files.texts)).unwrap_or_default();
    let text = secrets.without(&assemble(&edge, &files, &about_docker(&docker)));
    let Some(path) = &arguments.output else {
        terminal::say(text.trim_end())?;
        return Ok(Exit::Done);
    };
    let named = || format!("cannot write {}", path.display());
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(named)?;
    output.write_all(text.as_bytes()).with_context(named)?;
    terminal::complain(&format!("wrote {}; read it before you send it", path.display()));
    Ok(Exit::Done)
}

/// What the running edge says; nothing where none runs.
struct EdgeAnswers {
    status: Result<Box<Status>, String>,
    lines: Vec<String>,
}

impl EdgeAnswers {
    fn ask(address: SocketAddr) -> Self {
        let get = |path| match client::ask(address, "GET", path, WITHIN) {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(format!("the edge at {address} responded {}", answer.status)),
            Err(error) => Err(error.to_string()),
        };
        let status = get("/status").and_then(|body| {
            serde_json::from_str(&body)
                .map_err(|_| "cannot parse the edge's response; is it another version?".to_owned())
        });
        let lines = get("/events").ok().and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        Self { status: status.map(safe::status), lines }
    }

    fn file(&self) -> Option<PathBuf> {
        let file = self.status.as_ref().ok()?.process.config_file.as_ref()?;
        Some(PathBuf::from(file)).filter(|file| file.exists())
    }
}

/// The configuration on disk.
struct FilesOnDisk {
    /// Each file that was read, and its text.
    texts: Vec<(PathBuf, Result<String, String>)>,
    /// What `remora check` says.
    checked: String,
    docker: DockerSpec,
    /// Heals as they were written down.
    heals: Vec<Value>,
}

impl FilesOnDisk {
    fn read(file: &Path) -> Self {
        let loaded = config::load_proving(file, &|name| std::env::var(name).ok(), &tls::prove);
        let texts = |paths: Vec<PathBuf>| {
            let read = |path: PathBuf| {
                let text = fs::read_to_string(&path).map_err(|error| error.to_string());
                (path, text)
            };
            paths.into_iter().map(read).collect()
        };
        match loaded {
            Ok(loaded) => {
                let warnings = loaded.warnings.iter().map(ToString::to_string).chain(file::doubts(&loaded.config));
                let journal = journal_path(&loaded.config.process.journal);
                Self {
                    texts: texts(loaded.files),
                    checked: std::iter::once("valid".to_owned()).chain(warnings).collect::<Vec<_>>().join("\n"),
                    docker: loaded.config.process.docker,
                    heals: journal.map(recorded).unwrap_or_default(),
                }
            }
            Err(report) => Self {
                texts: texts(Report::files(&report).map(Path::to_owned).collect()),
                checked: safe::report(&report.to_string()),
                docker: DockerSpec::Auto,
                heals: Vec::new(),
            },
        }
    }
}

fn recorded(path: &Path) -> Vec<Value> {
    let mut heals = serde_json::to_value(Journal::recorded(path).entries()).unwrap_or_default();
    safe::heals(&mut heals);
    match heals {
        Value::Array(mut heals) => {
            heals.reverse();
            heals
        }
        _ => Vec::new(),
    }
}

fn about_docker(spec: &DockerSpec) -> Result<DockerAbout, String> {
    let ask = async { Docker::connect(spec).about().await.map_err(|error| error.to_string()) };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(ask),
        Err(error) => Err(error.to_string()),
    }
}

fn assemble(edge: &EdgeAnswers, files: &Result<FilesOnDisk, String>, docker: &Result<DockerAbout, String>) -> String {
    let mut text = String::from("# Remora report\n\n");
    let _ = writeln!(
        text,
        "Made at {}. Passwords, tokens, webhook URLs, headers, values of variables, comments, what containers and commands \
         printed, and what looks random are left out (`***`). Read it before you send it.",
        rfc3339(SystemTime::now())
    );
    versions(&mut text, edge, docker);
    status(&mut text, edge);
    events(&mut text, edge, files);
    configuration(&mut text, files);
    if let Ok(status) = &edge.status {
        section(&mut text, "Status as JSON", "json", &serde_json::to_string_pretty(status).unwrap_or_default());
    }
    text
}

fn versions(text: &mut String, edge: &EdgeAnswers, docker: &Result<DockerAbout, String>) {
    let own = env!("CARGO_PKG_VERSION");
    let running = match &edge.status {
        Ok(status) => format!("remora {}, generation {}", status.process.version, status.process.generation),
        Err(why) => format!("no status: {why}"),
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let system =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.strip_prefix("MemTotal:")).unwrap_or("unknown").trim();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let _ = writeln!(text, "\n## Versions\n\n- edge: {}\n- this command: remora {own}", one_line(&running));
    let _ = writeln!(text, "- kernel: Linux {} {}", read("/proc/sys/kernel/osrelease").trim(), std::env::consts::ARCH);
    let _ = writeln!(text, "- system: {system}, {cores} cores, {memory} of memory");
    match docker {
        Ok(DockerAbout { engine, api, system, labels }) => {
            let _ = writeln!(text, "- Docker: engine {engine}, API {api}, {system}");
            for (name, value) in labels {
                let _ = writeln!(text, "- {name}: {}", one_line(value));
            }
        }
        Err(why) => _ = writeln!(text, "- Docker: {}", one_line(why)),
    }
}

fn status(text: &mut String, edge: &EdgeAnswers) {
    let shown = match &edge.status {
        Ok(status) => view::render(status, LOOK, SystemTime::now()),
        Err(why) => why.clone(),
    };
    section(text, "Status", "text", &shown);
}

fn events(text: &mut String, edge: &EdgeAnswers, files: &Result<FilesOnDisk, String>) {
    let lines = edge.lines.iter().filter(|line| !safe::is_snippet_in_log(line)).map(|line| one_line(line));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let none = "none: they are kept by the running edge";
    section(text, "Log of the last hour", "text", if lines.is_empty() { none } else { &lines });
    let running = edge.status.as_ref().ok().and_then(|status| status.heals.as_array()).map(Vec::as_slice);
    let recorded = || files.as_ref().map(|files| files.heals.as_slice()).unwrap_or_default();
    let heals = running.unwrap_or_else(recorded).iter().filter(|heal| is_recent(heal)).map(heal_lines);
    let heals = heals.collect::<Vec<_>>().join("\n");
    section(text, "Heals of the last hour", "text", if heals.is_empty() { "none" } else { &heals });
}

fn is_recent(heal: &Value) -> bool {
    let started = heal["started_at"].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    started.is_some_and(|at| SystemTime::from(at).elapsed().is_ok_and(|age| age <= SPAN))
}

fn heal_lines(heal: &Value) -> String {
    let word = |value: &Value| one_line(value.as_str().unwrap_or_default());
    let mut text = format!(
        "{} {} {} ({}), asked by {}: {}\n  {} after {} ms",
        word(&heal["started_at"]),
        word(&heal["upstream"]),
        word(&heal["backend"]),
        word(&heal["container"]),
        word(&heal["asked_by"]),
        word(&heal["cause"]),
        word(&heal["result"]),
        heal["took_ms"]
    );
    for step in heal["steps"].as_array().into_iter().flatten() {
        let _ = write!(text, "\n  - {}: {}, {}", word(&step["step"]), word(&step["result"]), word(&step["outcome"]));
    }
    text
}

fn configuration(text: &mut String, files: &Result<FilesOnDisk, String>) {
    let files = match files {
        Ok(files) => files,
        Err(why) => return section(text, "Configuration", "text", why),
    };
    section(text, "Configuration: what `remora check` says", "text", &files.checked);
    for (path, read) in &files.texts {
        let shown = match read.as_ref().map(|text| config::disclosed(text)) {
            Ok(Ok(shown)) => shown,
            Ok(Err(_)) => "# no valid YAML, so nothing of it is shown".to_owned(),
            Err(why) => format!("# {}", one_line(why)),
        };
        section(text, &format!("Configuration: {}", one_line(&path.display().to_string())), "yaml", &shown);
    }
}

/// A title and a block, which nothing in it can end.
fn section(text: &mut String, title: &str, kind: &str, block: &str) {
    let block = block.trim_end().replace("```", "'''");
    let _ = writeln!(text, "\n## {title}\n\n```{kind}\n{block}\n```");
}
