//! The process half of the file: its threads, how it logs, who is trusted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::super::model::{DockerSpec, LaneChoice, ProcessSpec, SidecarSpec, Threads};
use super::super::problem::{Problem, Problems};
use super::super::raw::{RawDocker, RawFile};
use super::super::read::{Form, Item, choice, field, one_or_many, open, text};
use super::super::words::quoted;
use super::alerts::alerts;
use super::journal::journal;
use super::leaf::{HOUR, all, auto_or, duration};
use super::limits::limits;
use super::listen::{OwnAddress, PemFiles, listen};
use super::log::log;

const DOCKER_FORMS: &str = "`auto`, `off`, `{ socket: /var/run/docker.sock }` or `{ sidecar: /run/remora/heal.sock }`";
/// What fits into a socket's address on Linux (unix(7)), with its closing NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Takes the process half out of a file.
pub(super) fn process(
    raw: &mut RawFile,
    at: &Item,
    files: PemFiles<'_>,
    problems: &mut Problems,
) -> Option<ProcessSpec> {
    let threads = threads(field!(raw.threads, at), problems);
    let (admin_item, metrics_item) = (field!(raw.admin, at), field!(raw.metrics, at));
    let places = [&admin_item, &metrics_item].map(|item| item.as_ref().map(|item| item.place.clone()));
    let (admin, metrics) = (admin(admin_item, problems), metrics(metrics_item, problems));
    let named = [("admin", admin.flatten()), ("metrics", metrics.flatten())].into_iter().zip(places);
    let own = named.filter_map(|((key, address), place)| Some(OwnAddress { key, address: address?, place }));
    let listen = listen(field!(raw.listen, at), &own.collect::<Vec<_>>(), files, problems);
    let log = log(field!(raw.log, at), problems);
    let docker = docker(field!(raw.docker, at), problems);
    let (journal, older) =
        journal(field!(raw.journal, at), problems).map_or((None, None), |(file, hook)| (Some(file), hook));
    let alerts = alerts(field!(raw.alerts, at), older, problems);
    let limits = limits(field!(raw.limits, at), problems);
    let shutdown = duration(field!(raw.shutdown, at), 0..=HOUR, Duration::from_secs(8), problems);
    let lane = lane(field!(raw.lane, at), problems);
    Some(ProcessSpec {
        listen: listen?,
        threads: threads?,
        admin: admin?,
        metrics: metrics?,
        log: log?,
        docker: docker?,
        journal: journal?,
        alerts: alerts?,
        limits: limits?,
        lane: lane?,
        shutdown: shutdown?,
    })
}

fn threads(item: Option<Item>, problems: &mut Problems) -> Option<Threads> {
    auto_or(item, 1..=256, problems).map(|written| written.map_or(Threads::Auto, Threads::Count))
}

fn lane(item: Option<Item>, problems: &mut Problems) -> Option<LaneChoice> {
    let Some(item) = item else { return Some(LaneChoice::Auto) };
    choice(&item, &[("auto", LaneChoice::Auto), ("full", LaneChoice::Full)], problems)
}

fn admin(item: Option<Item>, problems: &mut Problems) -> Option<Option<SocketAddr>> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 9901));
    let Some(item) = item else { return Some(Some(usual)) };
    let text = text(&item, problems)?;
    if text == "off" {
        return Some(None);
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("9901");
        let problem = Problem::new(&item.place, format!("{} is not an address with a port", quoted(&text)));
        return problems.add(problem.help(format!("write `127.0.0.1:{port}` or `off`")));
    };
    if address.ip().is_loopback() {
        return Some(Some(address));
    }
    let message = format!("{} is not a loopback address", quoted(&text));
    let help = format!(
        "write `127.0.0.1:{}`: anyone who can reach the admin address can reload and heal; it has no password",
        address.port()
    );
    problems.add(Problem::new(&item.place, message).help(help))
}

fn metrics(item: Option<Item>, problems: &mut Problems) -> Option<Option<SocketAddr>> {
    let Some(item) = item else { return Some(None) };
    let text = text(&item, problems)?;
    if text == "off" {
        return Some(None);
    }
    if let Ok(address) = text.parse() {
        return Some(Some(address));
    }
    let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("9902");
    let problem = Problem::new(&item.place, format!("{} is not an address with a port", quoted(&text)));
    problems.add(problem.help(format!("write `0.0.0.0:{port}`, where every network of the edge reaches it, or `off`")))
}

fn docker(item: Option<Item>, problems: &mut Problems) -> Option<DockerSpec> {
    let Some(item) = item else { return Some(DockerSpec::Auto) };
    if matches!(item.form(), Form::Text(_)) {
        let words = [("auto", ()), ("off", ())];
        choice(&item, &words, problems)?;
        return Some(if text(&item, problems)? == "off" { DockerSpec::Off } else { DockerSpec::Auto });
    }
    let mut raw: RawDocker = open(&item, DOCKER_FORMS, problems)?;
    let (sidecar, socket) = (field!(raw.sidecar, item), field!(raw.socket, item));
    let docker = socket.as_ref().map(|socket| {
        socket_path(socket, "write the path of Docker's socket, such as `/var/run/docker.sock`", problems)
    });
    let Some(sidecar) = sidecar else {
        let Some(path) = docker else {
            let problem = Problem::new(&item.place, "`docker` has neither `socket` nor `sidecar`");
            return problems.add(problem.help(format!("write {DOCKER_FORMS}")));
        };
        return path.map(DockerSpec::Socket);
    };
    let path =
        socket_path(&sidecar, "write the path of the sidecar's socket, such as `/run/remora/heal.sock`", problems);
    let docker = docker.map_or(Some(None), |path| path.map(Some));
    let (path, docker) = (path?, docker?);
    if docker.as_ref() == Some(&path) {
        let message = format!("{} is both the sidecar's socket and Docker's", quoted(&path.to_string_lossy()));
        return problems.add(Problem::new(&sidecar.place, message).help("give the sidecar a socket of its own"));
    }
    Some(DockerSpec::Sidecar(SidecarSpec { path, docker }))
}

fn socket_path(item: &Item, help: &str, problems: &mut Problems) -> Option<PathBuf> {
    let path = text(item, problems)?;
    let said = quoted(&path);
    let message = if !path.starts_with('/') {
        format!("{said} is not an absolute path")
    } else if SOCKET_PATH_MAX < path.len() {
        format!("{said} is longer than {SOCKET_PATH_MAX} bytes, the limit for a socket path")
    } else {
        return Some(PathBuf::from(path));
    };
    problems.add(Problem::new(&item.place, message).help(help.to_owned()))
}

/// Networks whose proxies are believed.
pub(super) fn trusted_proxies(item: Option<Item>, problems: &mut Problems) -> Option<Vec<IpNet>> {
    let Some(item) = item else { return Some(Vec::new()) };
    all(one_or_many(&item).iter().map(|item| network(item, problems)).collect())
}

fn network(item: &Item, problems: &mut Problems) -> Option<IpNet> {
    let text = text(item, problems)?;
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match net {
        Ok(net) => {
            if net.prefix_len() == 0 {
                let problem =
                    Problem::new(&item.place, format!("{} trusts every client's `X-Forwarded-For`", quoted(&text)));
                problems.warn(problem.help("list only the networks of the proxies in front"));
            }
            Some(net.trunc())
        }
        Err(_) => {
            let problem = Problem::new(&item.place, format!("{} is not a network", quoted(&text)));
            problems.add(problem.help("write an address and a prefix length, such as `10.0.0.0/8`, or one address"))
        }
    }
}
