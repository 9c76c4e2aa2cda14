//! The proxies, as users run them and tuned. Each file makes one proxy's configuration and command.

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod pingap;
mod remora;
mod traefik;

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::settings::Settings;

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Remora,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
    Pingap,
}

/// How a proxy is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Style {
    /// For speed, with the same forwarded fields as Remora, and without an access log. Remora keeps its log.
    Tuned,
    /// The same, but with an access log as Remora has one: every request, its lines gathered before they are written.
    TunedLog,
    /// As a usual file for a Compose stack has it, with an access log.
    Plain,
}

/// A proxy in one style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    pub kind: Kind,
    pub style: Style,
}

/// What the others are compared with.
pub const BASELINE: Peer = Peer { kind: Kind::Nginx, style: Style::Tuned };
/// The same with the log that Remora has too.
pub const LOGGING: Peer = Peer { kind: Kind::Nginx, style: Style::TunedLog };
/// What this is about.
pub const REMORA: Peer = Peer { kind: Kind::Remora, style: Style::Tuned };

/// What a proxy is asked to be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// A second port, for status.
    pub admin: u16,
    /// Whether clients come over TLS 1.3, and what it shows them.
    pub tls: Option<Certificate>,
    /// Address of the backends.
    pub host: Ipv4Addr,
    /// Ports of the backends.
    pub backends: Range<u16>,
    /// How its routes are laid out.
    pub routes: Routes,
    /// A backend is asked about each request under `/api` before it goes on.
    pub auth: bool,
    /// Only Remora: nothing takes the fast lane.
    pub full_lane: bool,
    /// Clients speak HTTP/2.
    pub http2: bool,
    /// What the traffic is, as far as tuning depends on it.
    pub traffic: Traffic,
    /// The most client connections.
    pub connections: usize,
    /// Threads or processes that serve.
    pub workers: usize,
    /// Where its files go.
    pub folder: PathBuf,
}

/// Files of a certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub both: PathBuf,
}

/// Routes by path; all lead to the same backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// `/` and `/api`.
    Two,
    /// `/`, and `/r/0` and so on: in all as many as it says.
    Many(usize),
}

/// What goes through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Small heads and answers.
    Small,
    /// Answers beyond the usual buffers.
    Large,
    /// Requests with large bodies, which go on as they come.
    Uploads,
    /// Requests with large bodies, which are read whole, into memory, before any of them goes on.
    BufferedUploads,
    /// Upgrades.
    WebSockets,
    /// Answers that go on for as long as a client stays, a few bytes at a time.
    Events,
}

/// Why a proxy does not take part, for the reader.
pub type Unavailable = String;

impl Routes {
    /// The paths that have a route.
    pub fn paths(self) -> Vec<String> {
        match self {
            Self::Two => vec!["/".to_owned(), "/api".to_owned()],
            Self::Many(count) => {
                let further = (0..count.saturating_sub(1)).map(|number| format!("/r/{number}"));
                std::iter::once("/".to_owned()).chain(further).collect()
            }
        }
    }

    /// A path in the midst of them.
    pub fn middle(self) -> String {
        match self {
            Self::Two => "/api".to_owned(),
            Self::Many(1) => String::new(),
            Self::Many(count) => format!("/r/{}", (count - 1) / 2),
        }
    }
}

impl Setup {
    /// `ADDRESS:PORT` of each backend.
    pub fn addresses(&self) -> impl Iterator<Item = String> + '_ {
        self.backends.clone().map(|port| format!("{}:{port}", self.host))
    }
}

impl Style {
    /// Set for speed, with the fields that Remora sets.
    pub fn is_tuned(self) -> bool {
        matches!(self, Self::Tuned | Self::TunedLog)
    }

    /// Its part of a name in `PEERS`.
    fn key(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::TunedLog => "tuned-log",
            Self::Plain => "plain",
        }
    }
}

impl Kind {
    /// All, in the order of tables.
    pub const ALL: [Self; 7] =
        [Self::Remora, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Traefik, Self::Caddy, Self::Pingap];

    /// Its name in `PEERS` and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Remora => "remora",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Pingap => "pingap",
        }
    }

    /// Its executable.
    fn program(self, settings: &Settings) -> PathBuf {
        let installed = |name: &str| {
            let places = ["venv/bin", "bin"].map(|folder| settings.tools.join(folder).join(name));
            places.into_iter().find(|path| path.exists()).unwrap_or_else(|| name.into())
        };
        match self {
            Self::Remora => settings.remora.clone(),
            Self::Nginx => settings.nginx.clone(),
            Self::Haproxy => settings.haproxy.clone(),
            Self::Envoy | Self::Traefik | Self::Caddy | Self::Pingap => installed(self.name()),
        }
    }

    /// What it calls its version, one line.
    pub fn version(self, settings: &Settings) -> Result<String, Unavailable> {
        let argument = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Traefik | Self::Caddy => "version",
            Self::Remora | Self::Envoy | Self::Pingap => "--version",
        };
        version_of(&self.program(settings), argument)
    }
}

/// The first line of what a program says of its version.
pub fn version_of(program: &Path, argument: &str) -> Result<String, Unavailable> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("`{}` does not run: {error}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit())).unwrap_or("of unknown version");
    Ok(line.rsplit("ersion:").next().unwrap_or(line).trim().to_owned())
}

impl Peer {
    /// Every peer in every style it has.
    pub fn all() -> Vec<Self> {
        let styles = |kind| match kind {
            // What speed needs is what Remora does anyway.
            Kind::Remora | Kind::Pingap => vec![Style::Tuned],
            Kind::Nginx => vec![Style::Tuned, Style::TunedLog, Style::Plain],
            Kind::Haproxy | Kind::Envoy | Kind::Traefik | Kind::Caddy => vec![Style::Tuned, Style::Plain],
        };
        Kind::ALL.into_iter().flat_map(|kind| styles(kind).into_iter().map(move |style| Self { kind, style })).collect()
    }

    /// Its name in `PEERS`: `nginx-tuned`, `nginx-tuned-log`, `nginx-plain`.
    pub fn key(self) -> String {
        format!("{}-{}", self.kind.name(), self.style.key())
    }

    /// Its name in tables.
    pub fn label(self) -> String {
        match (self.kind, self.style) {
            (Kind::Remora | Kind::Pingap, Style::Tuned) => self.kind.name().to_owned(),
            (_, Style::Tuned) => format!("{}, tuned", self.kind.name()),
            (_, Style::TunedLog) => format!("{}, tuned, with log", self.kind.name()),
            (_, Style::Plain) => format!("{}, as used", self.kind.name()),
        }
    }

    /// Writes its files and returns the command that runs it in the foreground.
    pub fn command(self, setup: &Setup, settings: &Settings) -> Result<PeerCommand, Unavailable> {
        self.kind.version(settings)?;
        std::fs::create_dir_all(&setup.folder).map_err(|error| error.to_string())?;
        let made = match self.kind {
            Kind::Remora => remora::configure(setup),
            Kind::Nginx => nginx::configure(setup, self.style),
            Kind::Haproxy => haproxy::configure(setup, self.style),
            Kind::Envoy => envoy::configure(setup, self.style),
            Kind::Traefik => traefik::configure(setup, self.style),
            Kind::Caddy => caddy::configure(setup, self.style),
            Kind::Pingap => pingap::configure(setup),
        }?;
        for (name, text) in &made.files {
            std::fs::write(setup.folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(PeerCommand { program: self.kind.program(settings), arguments: made.arguments, variables: made.variables })
    }
}

/// What starts a proxy.
pub struct PeerCommand {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
}

/// What a proxy's file here makes.
#[derive(Debug, Default)]
struct Configured {
    /// Names in the setup's folder, and their contents.
    files: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
}
