//! `remora doctor [FILE] [--json]`: whether what the file says about healing would work here, found out without doing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;

use crate::config::model::{Config, DockerSpec, HealSpec, ServerSpec, SidecarSpec, UpstreamSpec};
use crate::docker::{Docker, DockerError, FindError};
use crate::heal::{Feasibility, StepFinding, check_steps};
use crate::reload::{FileLoader, SINGLE_FILE, single_files};
use crate::sidecar::Sidecar;
use crate::telemetry::one_line;
use crate::upstream::{Lookup, SystemResolver, resolve_served};

use super::exit::Exit;
use super::{file, terminal};

/// How long a backend may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Check whether every heal step would work in the containers that exist now. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  remora doctor
  remora doctor remora.yaml --json")]
pub(super) struct DoctorArguments {
    /// Configuration file [default: /etc/remora/remora.yaml, else conf/remora.yaml]
    file: Option<PathBuf>,
    /// Print every finding as JSON
    #[arg(long)]
    json: bool,
}

/// What was found out about one backend, or about the edge itself.
#[derive(Debug, Serialize)]
struct BackendFindings {
    /// `None` is the edge itself.
    upstream: Option<String>,
    /// Its address, or the server as written where it has none.
    backend: Option<String>,
    container: Option<String>,
    findings: Vec<StepFinding>,
}

pub(super) fn run(arguments: &DoctorArguments) -> anyhow::Result<Exit> {
    let path = file::choose(arguments.file.as_deref())?;
    let loaded = match file::load(&FileLoader::new(path)) {
        Ok(loaded) => loaded,
        Err(report) => {
            terminal::complain(&report);
            return Ok(Exit::Refused);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows: Vec<BackendFindings> = mounts(&loaded.watch.files).into_iter().collect();
    rows.extend(runtime.block_on(look(&loaded.config)));
    let text = if arguments.json { serde_json::to_string_pretty(&rows)? } else { render(&rows) };
    terminal::say(text.trim_end())?;
    let is_broken = rows.iter().flat_map(|row| &row.findings).any(|one| one.verdict == Feasibility::Broken);
    Ok(if is_broken { Exit::Failed } else { Exit::Done })
}

/// Files of the configuration that are mounted one by one: their edits may never be seen.
fn mounts(files: &BTreeSet<PathBuf>) -> Option<BackendFindings> {
    let finding = |file: PathBuf| StepFinding {
        about: file.display().to_string(),
        verdict: Feasibility::Doubtful,
        note: SINGLE_FILE.to_owned(),
    };
    let findings: Vec<StepFinding> = single_files(files).into_iter().map(finding).collect();
    (!findings.is_empty()).then_some(BackendFindings { upstream: None, backend: None, container: None, findings })
}

async fn look(config: &Config) -> Vec<BackendFindings> {
    let eyes = match &config.process.docker {
        DockerSpec::Sidecar(spec) => {
            let docker = Docker::connect(&spec.daemon());
            if docker.ping().await.is_ok() { Eyes::Sidecar(docker) } else { Eyes::Edge }
        }
        whole => Eyes::Both(Docker::connect(whole)),
    };
    let mut rows = Vec::new();
    if let (Eyes::Edge, DockerSpec::Sidecar(spec)) = (&eyes, &config.process.docker) {
        rows.push(ask_sidecar(spec).await);
    }
    for upstream in config.site.upstreams.values() {
        let Some(heal) = &upstream.heal else { continue };
        if let Eyes::Sidecar(docker) = &eyes {
            rows.extend(look_at_members(docker, upstream, heal).await);
            continue;
        }
        let docker = if let Eyes::Both(docker) = &eyes { Some(docker) } else { None };
        for server in &upstream.servers {
            rows.extend(look_at_server(docker, upstream, heal, server).await);
        }
    }
    rows
}

/// What can be seen from where the doctor runs.
enum Eyes {
    /// Containers and their ports.
    Both(Docker),
    /// Containers: the Docker socket is here, and no network.
    Sidecar(Docker),
    /// Ports: the Docker socket is with the sidecar.
    Edge,
}

async fn ask_sidecar(spec: &SidecarSpec) -> BackendFindings {
    let sidecar = match Sidecar::at(spec.path.clone()).status().await {
        Ok(standing) => StepFinding {
            about: "sidecar".to_owned(),
            verdict: Feasibility::Works,
            note: format!("responds on {}; Docker: {}", spec.path.display(), standing.docker),
        },
        Err(error) => broken("sidecar", &error.to_string()),
    };
    let elsewhere =
        "from here, where there is no Docker socket; run this too: docker compose exec sidecar remora doctor";
    let inside = StepFinding {
        about: "containers".to_owned(),
        verdict: Feasibility::Doubtful,
        note: format!("not checked {elsewhere}"),
    };
    BackendFindings { upstream: None, backend: None, container: None, findings: vec![sidecar, inside] }
}

/// The containers of an upstream, as the sidecar would find them.
async fn look_at_members(docker: &Docker, upstream: &UpstreamSpec, heal: &HealSpec) -> Vec<BackendFindings> {
    let servers: Vec<_> = upstream.servers.iter().map(|server| server.address.clone()).collect();
    let written = || servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let members = match docker.members(&servers).await {
        Ok(members) if members.is_empty() => {
            let note = "no matching container: none of this project belongs to these servers";
            return vec![row_of(upstream, written(), None, vec![broken("container", note)])];
        }
        Ok(members) => members,
        Err(error) => return vec![row_of(upstream, written(), None, vec![broken("container", &error.to_string())])],
    };
    let mut rows = Vec::new();
    for (addresses, container) in members {
        let backend = addresses.first().map_or_else(written, ToString::to_string);
        let findings = check_steps(docker, &container, &heal.steps).await;
        rows.push(row_of(upstream, backend, Some(container.name.to_string()), findings));
    }
    rows
}

fn row_of(
    upstream: &UpstreamSpec,
    backend: String,
    container: Option<String>,
    findings: Vec<StepFinding>,
) -> BackendFindings {
    BackendFindings { upstream: Some(upstream.name.to_string()), backend: Some(backend), container, findings }
}

async fn look_at_server(
    docker: Option<&Docker>,
    upstream: &UpstreamSpec,
    heal: &HealSpec,
    server: &ServerSpec,
) -> Vec<BackendFindings> {
    let row = |backend, container, findings| row_of(upstream, backend, container, findings);
    let written = server.address.to_string();
    let addresses = match resolve_served(&SystemResolver::default(), &server.address).await {
        Ok(Lookup::Found(addresses) | Lookup::HalfFound(addresses)) => addresses,
        Ok(Lookup::Gone) => {
            return vec![row(written, None, vec![broken("name", "does not resolve: there is no such name")])];
        }
        Err(error) => return vec![row(written, None, vec![broken("name", &format!("does not resolve: {error}"))])],
    };
    let mut rows = Vec::new();
    for address in addresses {
        let mut findings = vec![reach(address).await];
        let Some(docker) = docker else {
            rows.push(row(address.to_string(), None, findings));
            continue;
        };
        let container = match docker.find(address, server.address.host()).await {
            Ok(container) => {
                findings.extend(check_steps(docker, &container, &heal.steps).await);
                Some(container.name.to_string())
            }
            Err(error) => {
                findings.push(broken("container", &advice(&error)));
                None
            }
        };
        rows.push(row(address.to_string(), container, findings));
    }
    rows
}

fn broken(about: &str, note: &str) -> StepFinding {
    StepFinding { about: about.to_owned(), verdict: Feasibility::Broken, note: note.to_owned() }
}

async fn reach(address: SocketAddr) -> StepFinding {
    let about = format!("port {}", address.port());
    let (verdict, note) = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => (Feasibility::Works, "accepts connections".to_owned()),
        Ok(Err(error)) => (Feasibility::Broken, format!("does not accept connections: {error}")),
        Err(_) => (Feasibility::Broken, "does not respond: do the backend and the edge share a network?".to_owned()),
    };
    StepFinding { about, verdict, note }
}

fn advice(error: &FindError) -> String {
    match error {
        FindError::Docker(DockerError::NoSocket(_)) => format!("{error}; mount /var/run/docker.sock into the edge"),
        _ => error.to_string(),
    }
}

fn render(rows: &[BackendFindings]) -> String {
    let colour = terminal::stdout_has_colour();
    let findings = || rows.iter().flat_map(|row| &row.findings);
    let width = findings().map(|one| one.about.chars().count()).max().unwrap_or_default().min(40);
    let mut text = String::new();
    for row in rows {
        let title = [&row.upstream, &row.backend, &row.container].into_iter().flatten();
        let title: Vec<_> = title.map(|part| one_line(part)).collect();
        let _ = writeln!(text, "{}", if title.is_empty() { "the edge".into() } else { title.join("  ") });
        for one in &row.findings {
            let (about, note) = (one_line(&one.about), one_line(&one.note));
            let _ = writeln!(text, "  {}  {about:width$}  {note}", word(one.verdict, colour));
        }
    }
    let count = |verdict| findings().filter(|one| one.verdict == verdict).count();
    let summary = match (findings().count(), count(Feasibility::Broken), count(Feasibility::Doubtful)) {
        (0, _, _) => "no upstream has a `heal`: nothing to check".to_owned(),
        (_, 0, 0) => "all checks passed".to_owned(),
        (all, broken, doubtful) => format!("{all} checks: {broken} failed, {doubtful} uncertain"),
    };
    let _ = writeln!(text, "{summary}");
    text
}

/// The verdict, as wide as the widest.
fn word(verdict: Feasibility, colour: bool) -> String {
    let (word, paint) = match verdict {
        Feasibility::Works => ("ok       ", "\x1b[32m"),
        Feasibility::Doubtful => ("uncertain", "\x1b[33m"),
        Feasibility::Broken => ("failed   ", "\x1b[31m"),
    };
    if colour { format!("{paint}{word}\x1b[0m") } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_obeys_no_byte_it_shows() {
        let finding =
            |about: &str, verdict, note: &str| StepFinding { about: about.into(), verdict, note: note.into() };
        let row = BackendFindings {
            upstream: Some("api".into()),
            backend: Some("10.0.0.1:80".into()),
            container: Some("stack_api_1".into()),
            findings: vec![
                finding("gunicorn reload", Feasibility::Works, "gunicorn runs"),
                finding("pkill x", Feasibility::Broken, "no\x1b[2Jthing\nmatches"),
            ],
        };
        let text = render(&[row]);
        assert!(
            text.starts_with("api  10.0.0.1:80  stack_api_1\n  ok         gunicorn reload  gunicorn runs\n"),
            "{text}"
        );
        assert!(!text.contains('\x1b') && text.lines().count() == 4, "{text}");
        assert!(text.ends_with("2 checks: 1 failed, 0 uncertain\n"), "{text}");
        assert!(render(&[]).contains("nothing to check"));
    }
}
