//! What differs between two configurations, in words. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::model::{
    AccessLog, AccessLogSpec, AlertSpec, CertificateSpec, Config, DockerSpec, JournalFile, LaneChoice, LimitsSpec,
    ListenSpec, LogSpec, ProcessSpec, Route, SidecarSpec, Site, TlsSpec, TlsVersion,
};

/// Where nothing differs.
pub(super) const NOTHING: &str = "nothing changed";
/// Names listed before the rest is only counted.
const NAMED_MOST: usize = 5;

/// What of the process half changed, one line each: `listen: changed from 80 to 8080`. Empty when nothing did.
pub fn process_changes(old: &ProcessSpec, new: &ProcessSpec) -> Vec<String> {
    // Taken apart without `..` so that a new setting is compared too.
    let ProcessSpec { listen, threads, admin, metrics, log, docker, journal, alerts, limits, lane, shutdown } = old;
    let LogSpec { access, level } = log;
    let off = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |address| address.to_string());
    let mut rows = vec![
        ("listen", listeners(listen), listeners(&new.listen)),
        ("threads", threads.to_string(), new.threads.to_string()),
        ("admin", off(*admin), off(new.admin)),
        ("metrics", off(*metrics), off(new.metrics)),
        ("log.access", access_log(access), access_log(&new.log.access)),
        ("log.level", level.to_string().to_lowercase(), new.log.level.to_string().to_lowercase()),
        ("docker", docker_access(docker), docker_access(&new.docker)),
        ("journal", journal_file(journal), journal_file(&new.journal)),
        // An address may be a secret.
        ("alerts", webhook(alerts.as_ref()), webhook(new.alerts.as_ref())),
        ("lane", way(*lane).to_owned(), way(new.lane).to_owned()),
        ("shutdown", format!("{shutdown:?}"), format!("{:?}", new.shutdown)),
    ];
    let is_hook_other = matches!((alerts, &new.alerts), (Some(old), Some(new)) if old.webhook != new.webhook);
    let (old, new) = (limit_values(limits), limit_values(&new.limits));
    rows.extend(old.into_iter().zip(new).map(|((name, old), (_, new))| (name, old, new)));
    let changed = rows.into_iter().filter(|(_, old, new)| old != new);
    let mut lines: Vec<_> = changed.map(|(name, old, new)| format!("{name}: changed from {old} to {new}")).collect();
    if is_hook_other {
        lines.push("alerts: changed to another URL".to_owned());
    }
    lines
}

/// Every limit and its value as it is written.
fn limit_values(limits: &LimitsSpec) -> [(&'static str, String); 12] {
    // Taken apart without `..` so that a new limit is compared too.
    let LimitsSpec {
        body,
        keepalive,
        client_timeout,
        header_timeout,
        header_size,
        headers,
        uri,
        min_rate,
        requests,
        lifetime,
        connections,
        connections_per_client,
    } = limits;
    let auto = |number: Option<usize>| number.map_or("auto".to_owned(), |number| number.to_string());
    [
        ("limits.body", body.to_string()),
        ("limits.keepalive", format!("{keepalive:?}")),
        ("limits.client_timeout", format!("{client_timeout:?}")),
        ("limits.header_timeout", format!("{header_timeout:?}")),
        ("limits.header_size", header_size.to_string()),
        ("limits.headers", headers.to_string()),
        ("limits.uri", uri.to_string()),
        ("limits.min_rate", min_rate.to_string()),
        ("limits.requests", requests.to_string()),
        ("limits.lifetime", format!("{lifetime:?}")),
        ("limits.connections", auto(*connections)),
        ("limits.connections_per_client", auto(*connections_per_client)),
    ]
}

/// The report for changes that need a new process.
pub(super) fn restart_report(changes: &[String]) -> String {
    let mut report = String::new();
    for change in changes {
        let _ = writeln!(report, "{change}");
    }
    report.push_str("This needs a restart, for example: docker compose restart manager");
    report
}

fn listeners(listen: &[ListenSpec]) -> String {
    listen.iter().map(listener).collect::<Vec<_>>().join(", ")
}

/// `443 (TLS 1.2, certificate a.pem, key a.key)`.
fn listener(listen: &ListenSpec) -> String {
    let mut shown = listen.address.to_string();
    let Some(TlsSpec { certificates, min }) = &listen.tls else { return shown };
    let _ = match min {
        TlsVersion::Tls12 => write!(shown, " (TLS 1.2"),
        TlsVersion::Tls13 => write!(shown, " (TLS 1.3"),
    };
    for CertificateSpec { certificate, key } in certificates {
        let _ = write!(shown, ", certificate {}, key {}", certificate.display(), key.display());
    }
    shown + ")"
}

fn access_log(log: &AccessLogSpec) -> String {
    let AccessLogSpec { form, file } = log;
    let form = match form {
        AccessLog::Combined => "combined",
        AccessLog::CombinedWithId => "combined with request_id",
        AccessLog::Json => "json",
        AccessLog::Off => "off",
    };
    file.as_ref().map_or_else(|| form.to_owned(), |file| format!("{form} in {}", file.display()))
}

fn way(lane: LaneChoice) -> &'static str {
    match lane {
        LaneChoice::Auto => "auto",
        LaneChoice::Full => "full",
    }
}

fn docker_access(docker: &DockerSpec) -> String {
    match docker {
        DockerSpec::Auto => "auto".to_owned(),
        DockerSpec::Socket(path) => path.display().to_string(),
        DockerSpec::Sidecar(SidecarSpec { path, docker }) => {
            let socket = docker.as_ref().map(|socket| format!(" with {}", socket.display())).unwrap_or_default();
            format!("the sidecar at {}{socket}", path.display())
        }
        DockerSpec::Off => "off".to_owned(),
    }
}

fn journal_file(journal: &JournalFile) -> String {
    match journal {
        JournalFile::Auto => "auto".to_owned(),
        JournalFile::At(path) => path.display().to_string(),
        JournalFile::Off => "off".to_owned(),
    }
}

fn webhook(alerts: Option<&AlertSpec>) -> String {
    alerts.map_or("off".to_owned(), |alerts| format!("a URL ({})", alerts.format.as_str()))
}

/// What differs in both halves, in one line: [`NOTHING`] when equal.
pub(super) fn everything(old: &Config, new: &Config) -> String {
    let mut parts = process_changes(&old.process, &new.process);
    if old.site != new.site {
        parts.push(summary(&old.site, &new.site));
    }
    if parts.is_empty() { NOTHING.to_owned() } else { parts.join("; ") }
}

/// What of the site half changed: `1 upstream changed (backend), 1 route added (/x)`; `nothing changed` when equal.
pub fn summary(old: &Site, new: &Site) -> String {
    // Listeners, hosts and locations are made of the routes.
    let Site { listeners: _, hosts: _, locations: _, routes, upstreams, trusted_proxies } = old;
    let mut parts = Vec::new();
    compare(&mut parts, "upstream", upstreams, &new.upstreams);
    let (before, after) = (by_label(old), by_label(new));
    compare(&mut parts, "route", &before, &after);
    if before == after && *routes != new.routes {
        parts.push("routes reordered".to_owned());
    }
    if *trusted_proxies != new.trusted_proxies {
        parts.push("trusted proxies changed".to_owned());
    }
    if parts.is_empty() { NOTHING.to_owned() } else { parts.join(", ") }
}

fn by_label(site: &Site) -> BTreeMap<String, &Arc<Route>> {
    site.to_upstreams().map(|(route, _)| (route.to_string(), route)).collect()
}

fn compare<K: Ord + ToString, V: PartialEq>(
    parts: &mut Vec<String>,
    noun: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) {
    let names = |side: &BTreeMap<K, V>, pick: &dyn Fn(&K, &V) -> bool| -> Vec<String> {
        side.iter().filter(|(name, value)| pick(name, value)).map(|(name, _)| name.to_string()).collect()
    };
    let rows = [
        ("changed", names(new, &|name, value| old.get(name).is_some_and(|old| old != value))),
        ("added", names(new, &|name, _| !old.contains_key(name))),
        ("removed", names(old, &|name, _| !new.contains_key(name))),
    ];
    for (verb, names) in rows {
        if !names.is_empty() {
            let plural = if names.len() == 1 { "" } else { "s" };
            parts.push(format!("{} {noun}{plural} {verb} ({})", names.len(), listed(&names)));
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.len() <= NAMED_MOST {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMED_MOST].join(", "), names.len() - NAMED_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{AlertFormat, ListenAddress, Threads};
    use crate::reload::testing::{config, route, site, upstream};
    use crate::types::ByteSize;

    fn tls() -> TlsSpec {
        let pair = |name: &str| CertificateSpec {
            certificate: format!("{name}.pem").into(),
            key: format!("{name}.key").into(),
        };
        TlsSpec { certificates: vec![pair("a"), pair("b")], min: TlsVersion::Tls13 }
    }

    fn hook(webhook: &str) -> Option<AlertSpec> {
        Some(AlertSpec { webhook: webhook.to_owned(), format: AlertFormat::Json })
    }

    #[test]
    fn a_changed_process_setting_is_named() {
        let old = config("/").process;
        assert!(process_changes(&old, &old.clone()).is_empty());
        type Row = (fn(&mut ProcessSpec), &'static str);
        #[rustfmt::skip]
        let rows: [Row; 26] = [
            (|new| new.listen[0].address = ListenAddress::Port(8080), "listen: changed from 80 to 8080"),
            (
                |new| new.listen[0].tls = Some(tls()),
                "listen: changed from 80 to 80 (TLS 1.3, certificate a.pem, key a.key, certificate b.pem, key b.key)",
            ),
            (|new| new.threads = Threads::Count(8), "threads: changed from 2 to 8"),
            (|new| new.threads = Threads::Auto, "threads: changed from 2 to auto"),
            (|new| new.admin = None, "admin: changed from 127.0.0.1:9901 to off"),
            (|new| new.metrics = "0.0.0.0:9902".parse().ok(), "metrics: changed from off to 0.0.0.0:9902"),
            (|new| new.log.access.form = AccessLog::Json, "log.access: changed from combined to json"),
            (|new| new.log.access.file = Some("/var/log/a.log".into()), "log.access: changed from combined to combined in /var/log/a.log"),
            (|new| new.log.level = log::LevelFilter::Debug, "log.level: changed from info to debug"),
            (|new| new.docker = DockerSpec::Off, "docker: changed from auto to off"),
            (|new| new.journal = JournalFile::Off, "journal: changed from auto to off"),
            (|new| new.alerts = hook("http://a"), "alerts: changed from off to a URL (json)"),
            (|new| new.lane = LaneChoice::Full, "lane: changed from auto to full"),
            (|new| new.limits.body = ByteSize(1 << 20), "limits.body: changed from 10MiB to 1MiB"),
            (|new| new.limits.keepalive *= 2, "limits.keepalive: changed from 75s to 150s"),
            (|new| new.limits.client_timeout *= 2, "limits.client_timeout: changed from 60s to 120s"),
            (|new| new.limits.header_timeout *= 2, "limits.header_timeout: changed from 20s to 40s"),
            (|new| new.limits.header_size = ByteSize(1 << 10), "limits.header_size: changed from 32KiB to 1KiB"),
            (|new| new.limits.headers = 50, "limits.headers: changed from 100 to 50"),
            (|new| new.limits.uri = ByteSize(256), "limits.uri: changed from 8KiB to 256B"),
            (|new| new.limits.min_rate = ByteSize(0), "limits.min_rate: changed from 240B to 0B"),
            (|new| new.limits.requests = 0, "limits.requests: changed from 10000 to 0"),
            (|new| new.limits.lifetime *= 2, "limits.lifetime: changed from 3600s to 7200s"),
            (|new| new.limits.connections = Some(9), "limits.connections: changed from auto to 9"),
            (|new| new.limits.connections_per_client = Some(9), "limits.connections_per_client: changed from auto to 9"),
            (|new| new.shutdown *= 2, "shutdown: changed from 8s to 16s"),
        ];
        for (change, line) in rows {
            let mut new = old.clone();
            change(&mut new);
            assert_eq!(process_changes(&old, &new), [line]);
        }
        // Which one it was stays a secret.
        let (mut one, mut other) = (old.clone(), old.clone());
        (one.alerts, other.alerts) = (hook("https://a/x"), hook("https://a/y"));
        assert_eq!(process_changes(&one, &other), ["alerts: changed to another URL"]);
    }

    #[test]
    fn both_halves_are_told_in_one_line() {
        let old = config("/");
        assert_eq!(everything(&old, &old.clone()), NOTHING);
        let mut new = config("/x");
        assert_eq!(everything(&old, &new), "1 route added (/x), 1 route removed (/)");
        new.process.threads = Threads::Auto;
        let both = "threads: changed from 2 to auto; 1 route added (/x), 1 route removed (/)";
        assert_eq!(everything(&old, &new), both);
    }

    #[test]
    fn a_summary_counts_and_names() {
        let old = config("/").site;
        let mut new = old.clone();
        assert_eq!(summary(&old, &new), "nothing changed");
        new.routes = site(vec![route("/", "backend"), route("/x", "backend")]).routes;
        new.upstreams.insert(crate::types::UpstreamName::parse("backend").unwrap(), upstream("backend", 9));
        assert_eq!(summary(&old, &new), "1 upstream changed (backend), 1 route added (/x)");
        assert_eq!(summary(&new, &old), "1 upstream changed (backend), 1 route removed (/x)");
        let mut turned = new.clone();
        turned.routes.reverse();
        turned.trusted_proxies.push("10.0.0.0/8".parse().unwrap());
        assert_eq!(summary(&new, &turned), "routes reordered, trusted proxies changed");
        let more = (0..7).map(|index| route(&format!("/n{index}"), "backend"));
        new.routes = site([route("/", "backend"), route("/x", "backend")].into_iter().chain(more).collect()).routes;
        assert!(summary(&old, &new).ends_with("8 routes added (/n0, /n1, /n2, /n3, /n4 and 3 more)"));
    }
}
