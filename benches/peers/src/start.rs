//! Starts the origin and the proxies, and waits for their first good answers.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::client;
use crate::isolate;
use crate::load::Aim;
use crate::peer::{Certificate, Peer, Setup};
use crate::process::{Running, kept};
use crate::scenario::Scenario;
use crate::settings::Settings;

/// Where free ports are looked for: below those that Linux gives to clients by default.
const PORTS: Range<u16> = 20_000..32_000;
/// Proxies of a scenario, at most.
const PROXIES: u16 = 100;
/// How long a proxy may take from its start to its first good answer.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// ` 1000` where there are cases.
pub fn of_case(case: Option<usize>) -> String {
    case.map_or_else(String::new, |case| format!(" {case}"))
}

/// Ports that a scenario may use.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Of the first proxy, and so on.
    proxies: u16,
    /// Of the first proxy's status.
    admins: u16,
    /// Of the origin.
    backends: u16,
    /// How many the origin has.
    count: u16,
}

impl Ports {
    /// Finds ports that nobody uses now.
    pub fn free(scenario: &Scenario) -> anyhow::Result<Self> {
        let cases = scenario.cases().1;
        let count = cases.into_iter().map(|case| scenario.backends(case)).max().unwrap_or(2);
        let needed = PROXIES * 2 + count;
        let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let mut firsts = PORTS.step_by(usize::from(PROXIES)).take_while(|first| first + needed <= PORTS.end);
        let first = firsts.find(|first| (*first..first + needed).all(is_free));
        let proxies = first.with_context(|| format!("there are no {needed} free ports in {PORTS:?}"))?;
        Ok(Self { proxies, admins: proxies + PROXIES, backends: proxies + PROXIES * 2, count })
    }
}

/// What a proxy is asked to be, as the `number`th of a scenario.
pub fn setup(
    scenario: &Scenario,
    settings: &Settings,
    ports: Ports,
    tls: Option<Certificate>,
    case: Option<usize>,
    number: u16,
) -> Setup {
    Setup {
        port: ports.proxies + number,
        admin: ports.admins + number,
        tls,
        host: if scenario.isolated { isolate::host(number) } else { Ipv4Addr::LOCALHOST },
        backends: ports.backends..ports.backends + scenario.backends(case),
        routes: scenario.routes(case),
        auth: scenario.auth,
        full_lane: scenario.full_lane,
        http2: scenario.load.is_http2(),
        traffic: scenario.traffic,
        connections: scenario.connections(case),
        workers: if scenario.unpinned { 2 } else { 1 },
        folder: settings.work.join(number.to_string()),
    }
}

/// Starts the origin with the ports that the largest case needs.
pub fn origin(scenario: &Scenario, settings: &Settings, ports: Ports) -> anyhow::Result<Running> {
    let cores = (!scenario.unpinned).then_some(settings.load_cores.as_str());
    let mut command = kept(cores, &std::env::current_exe()?);
    let address = if scenario.isolated { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    command.args(["origin", &address.to_string(), &ports.backends.to_string(), &ports.count.to_string()]);
    let mut origin = Running::start(&mut command, &settings.work, "origin")?;
    until(|| (origin.output().contains("ready") || origin.has_ended()).then_some(())).context("the origin")?;
    ensure!(!origin.has_ended(), "the origin: {}", origin.last_words());
    Ok(origin)
}

/// Tries until something is known, but not for ever.
fn until<T>(mut known: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    while start.elapsed() < READY_WITHIN {
        if let Some(known) = known() {
            return Ok(known);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("no good answer within {} s", READY_WITHIN.as_secs())
}

/// Starts a proxy and waits for its first good answer. The error is for the reader of the table.
pub fn proxy(
    peer: Peer,
    scenario: &Scenario,
    case: Option<usize>,
    setup: &Setup,
    settings: &Settings,
) -> Result<(Running, Aim, Vec<String>), String> {
    let made = peer.command(setup, settings)?;
    let cores = (!scenario.unpinned).then_some(settings.proxy_cores.as_str());
    let mut command = kept(cores, &made.program);
    command.args(made.arguments).envs(made.variables);
    let text = |error: anyhow::Error| format!("{error:#}");
    let mut process = Running::start(&mut command, &setup.folder, peer.kind.name()).map_err(text)?;
    let tls = setup.tls.is_some();
    let prefix = setup.routes.middle();
    let ready = until(|| match client::first_request(setup.port, tls, &format!("{prefix}/200b")) {
        // Whoever else answers there, it is not this one.
        _ if process.has_ended() => Some(false),
        Ok((200, body)) if body.len() == 200 => Some(true),
        _ => None,
    });
    match ready {
        Ok(true) => {}
        Ok(false) => return Err(process.last_words()),
        Err(error) => return Err(format!("{error}; {}", process.last_words())),
    }
    let notes = if peer.style.is_tuned() { missing_fields(setup, &prefix).into_iter().collect() } else { Vec::new() };
    let aim = Aim {
        port: setup.port,
        tls,
        path: format!("{prefix}/{}", scenario.answer(case)),
        connections: setup.connections,
        cores: (!scenario.unpinned).then(|| settings.load_cores.clone()),
    };
    Ok((process, aim, notes))
}

/// The forwarded fields that a proxy does not send, of those that Remora does.
fn missing_fields(setup: &Setup, prefix: &str) -> Option<String> {
    let (_, head) = client::first_request(setup.port, setup.tls.is_some(), &format!("{prefix}/head")).ok()?;
    let head = head.to_ascii_lowercase();
    let mut fields = vec!["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "X-Request-Id"];
    if setup.auth {
        fields.push("X-User-Id");
    }
    let missing: Vec<_> =
        fields.into_iter().filter(|field| !head.contains(&format!("\n{}:", field.to_ascii_lowercase()))).collect();
    (!missing.is_empty()).then(|| format!("does not send {}", missing.join(", ")))
}

/// A certificate for `localhost` with a P-256 key, the same for every proxy.
pub fn certificate(settings: &Settings) -> anyhow::Result<Certificate> {
    let folder = settings.tools.join("certificate");
    fs::create_dir_all(&folder)?;
    let file = |name: &str| -> PathBuf { folder.join(name) };
    let files = Certificate { certificate: file("cert.pem"), key: file("key.pem"), both: file("both.pem") };
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]);
    command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate);
    let output = command.output().context("openssl")?;
    ensure!(output.status.success(), "openssl made no certificate: {}", String::from_utf8_lossy(&output.stderr));
    fs::write(&files.both, [fs::read(&files.certificate)?, fs::read(&files.key)?].concat())?;
    Ok(files)
}
