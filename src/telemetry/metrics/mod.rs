//! How much and how often, for Prometheus. The request path only adds to atomics it already holds.

mod handles;
mod list;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge, Registry, TextEncoder};

use crate::config::model::Route;
use crate::types::UpstreamName;

pub use handles::{BackendMetrics, RouteMetrics, UpstreamMetrics};

use handles::{Backends, Routes, Shelf, Upstreams};
use list::{BackendList, ProcessList, RouteList, UpstreamList};

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which way a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// HTTP/1.1 to HTTP/1.1, in the worker's own relay.
    Fast,
    /// Pingora's proxy.
    Full,
}

impl Lane {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Fast, Self::Full];

    /// The word in labels and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Full => "full",
        }
    }
}

/// Why a client's connection was refused, before it asked for anything or for how it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turned {
    /// There are as many as `limits.connections` allows.
    Full,
    /// There are as many of this client as `limits.connections_per_client` allows.
    ClientFull,
    /// Its TLS handshake failed or took too long.
    Handshake,
    /// Next to nothing came over HTTP/2 but frames of control.
    Flood,
}

impl Turned {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Full, Self::ClientFull, Self::Handshake, Self::Flood];

    /// The word in labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::ClientFull => "connections_per_client",
            Self::Handshake => "tls_handshake",
            Self::Flood => "http2_flood",
        }
    }
}

/// Every metric of a process.
pub struct Metrics {
    registry: Registry,
    process: ProcessList,
    lanes: [IntCounter; Lane::ALL.len()],
    turned: [IntCounter; Turned::ALL.len()],
    routes: Arc<Routes>,
    upstreams: Arc<Upstreams>,
    backends: Arc<Backends>,
    /// The certificates that are shown: file and names.
    certificates: Mutex<Vec<[String; 2]>>,
}

impl Metrics {
    /// Registers the whole list.
    ///
    /// # Errors
    /// When two metrics have the same name, which a test rules out.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let process = ProcessList::register(&registry)?;
        process.start_seconds.set(unix_seconds());
        let lanes = Lane::ALL.map(|lane| process.lanes.with_label_values(&[lane.as_str()]));
        let turned = Turned::ALL.map(|reason| process.connections_refused.with_label_values(&[reason.as_str()]));
        let routes = Shelf::new(RouteList::register(&registry)?);
        let upstreams = Shelf::new(UpstreamList::register(&registry)?);
        let backends = Shelf::new(BackendList::register(&registry)?);
        let certificates = Mutex::default();
        Ok(Arc::new(Self { registry, process, lanes, turned, routes, upstreams, backends, certificates }))
    }

    /// The counters of a route: the same ones as long as anyone holds them, so they survive a reload.
    pub fn route(&self, route: &Route) -> Arc<RouteMetrics> {
        match route.to() {
            Some(to) => RouteMetrics::of(&self.routes, &route.to_string(), to.as_str()),
            None => self.unrouted(),
        }
    }

    /// The counters of requests that no route matched.
    pub fn unrouted(&self) -> Arc<RouteMetrics> {
        RouteMetrics::of(&self.routes, "none", "none")
    }

    /// The counters of an upstream.
    pub fn upstream(&self, name: &UpstreamName) -> Arc<UpstreamMetrics> {
        UpstreamMetrics::of(&self.upstreams, name.as_str())
    }

    /// The counters of a backend by its address.
    pub fn backend(&self, upstream: &UpstreamName, address: &str) -> Arc<BackendMetrics> {
        BackendMetrics::of(&self.backends, upstream.as_str(), address)
    }

    /// Requests being answered now.
    pub fn requests_in_flight(&self) -> &IntGauge {
        &self.process.requests_in_flight
    }

    /// Client connections that are open now.
    pub fn connections(&self) -> &IntGauge {
        &self.process.connections
    }

    /// Counts one request on its lane.
    pub fn took_lane(&self, lane: Lane) {
        self.lanes[lane as usize].inc();
    }

    /// Requests so far on a lane.
    pub fn lane_requests(&self, lane: Lane) -> u64 {
        self.lanes[lane as usize].get()
    }

    /// Counts one connection that was closed before it asked for anything.
    pub fn turned_away(&self, reason: Turned) {
        self.turned[reason as usize].inc();
    }

    /// The counter of lines a log lost: `access` or `error`.
    pub fn log_lines_dropped(&self, log: &'static str) -> IntCounter {
        self.process.log_lines_dropped.with_label_values(&[log])
    }

    /// Counts one panic that was caught.
    pub fn panicked(&self) {
        self.process.panics.inc();
    }

    /// Records the configuration in force, at the start and after each reload.
    pub fn config_in_force(&self, generation: u64) {
        self.process.config_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.process.last_reload_successful.set(1);
        self.process.last_reload_success_seconds.set(unix_seconds());
    }

    /// Counts one reload that was put in force, or changed nothing.
    pub fn reloaded(&self, origin: &'static str) {
        self.process.reloads.with_label_values(&[origin, "accepted"]).inc();
        self.process.last_reload_successful.set(1);
    }

    /// Counts one reload that was refused.
    pub fn reload_refused(&self, origin: &'static str) {
        self.process.reloads.with_label_values(&[origin, "refused"]).inc();
        self.process.last_reload_successful.set(0);
    }

    /// Records how many days each certificate in use is valid: its file, its host names, the days.
    pub fn certificates(&self, certificates: impl Iterator<Item = (String, String, f64)>) {
        let mut shown = self.certificates.lock();
        let before = std::mem::take(&mut *shown);
        for (file, names, days) in certificates {
            self.process.certificate_days.with_label_values(&[&file, &names]).set(days);
            shown.push([file, names]);
        }
        // A renewed one may have other names.
        for gone in before.iter().filter(|one| !shown.contains(one)) {
            let _ = self.process.certificate_days.remove_label_values(&[&gone[0], &gone[1]]);
        }
    }

    /// Everything in the text form of Prometheus.
    pub fn render(&self) -> String {
        usage::read(&self.process);
        let mut text = String::new();
        let mut families = self.registry.gather();
        for (name, before) in list::RENAMED {
            let renamed = families.iter().find(|family| family.get_name() == name).cloned();
            families.extend(renamed.map(|mut family| {
                family.set_name(before.to_owned());
                family.set_help(format!("Deprecated: the same as {name}."));
                family
            }));
        }
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
            log::error!("cannot write the metrics: {error}");
        }
        text
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::{Content, Proxy, UriRule};
    use crate::telemetry::{CheckResult, ErrorReason, FailureKind};
    use crate::types::{HostPattern, PathPrefix};

    fn route(host: Option<&str>, path: &str) -> Route {
        let to = UpstreamName::parse("backend").unwrap();
        Route {
            host: host.map(|host| HostPattern::parse(host).unwrap()),
            path: PathPrefix::parse(path).unwrap(),
            content: Content::Proxy(Proxy { to, uri: UriRule::AsSent }),
            ..Route::not_found()
        }
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new().unwrap();
        let name = UpstreamName::parse("backend").unwrap();
        let routed = metrics.route(&route(Some("app.example.com"), "/api"));
        routed.finished(200, Duration::from_millis(3), 10, 2000);
        routed.finished(504, Duration::from_secs(60), 0, 100);
        routed.finished(0, Duration::ZERO, 0, 0);
        routed.failed(ErrorReason::Timeout);
        let backend = metrics.backend(&name, "10.0.0.1:8000");
        backend.up().set(1);
        backend.failed(FailureKind::Status5xx);
        backend.checked(CheckResult::Passed, Duration::from_millis(2));
        let upstream = metrics.upstream(&name);
        upstream.heal_step("gunicorn reload", "helped");
        upstream.heal_ended("healed", Duration::from_millis(300));
        upstream.heal_gave_up();
        metrics.config_in_force(1);
        metrics.reload_refused("file");
        metrics.log_lines_dropped("access").inc_by(3);

        let text = metrics.render();
        for line in [
            r#"remora_requests_total{class="2xx",route="app.example.com/api",upstream="backend"} 1"#,
            r#"remora_requests_total{class="none",route="app.example.com/api",upstream="backend"} 1"#,
            r#"remora_responses_total{route="app.example.com/api",status="200",upstream="backend"} 1"#,
            r#"remora_responses_total{route="app.example.com/api",status="504",upstream="backend"} 1"#,
            r#"remora_responses_total{route="app.example.com/api",status="499",upstream="backend"} 1"#,
            r#"remora_request_errors_total{reason="timeout",route="app.example.com/api",upstream="backend"} 1"#,
            r#"remora_request_duration_seconds_bucket{route="app.example.com/api",upstream="backend",le="0.005"} 2"#,
            r#"remora_response_body_bytes_total{route="app.example.com/api",upstream="backend"} 2100"#,
            r#"remora_backend_up{backend="10.0.0.1:8000",upstream="backend"} 1"#,
            r#"remora_backend_failures_total{backend="10.0.0.1:8000",kind="status_5xx",upstream="backend"} 1"#,
            r#"remora_backend_checks_total{backend="10.0.0.1:8000",result="passed",upstream="backend"} 1"#,
            r#"remora_heal_total{result="helped",step="gunicorn reload",upstream="backend"} 1"#,
            r#"remora_heal_duration_seconds_bucket{result="healed",upstream="backend",le="0.5"} 1"#,
            r#"remora_heal_gave_up_total{upstream="backend"} 1"#,
            r#"remora_reloads_total{origin="file",result="refused"} 1"#,
            r#"remora_log_lines_dropped_total{log="access"} 3"#,
            "remora_config_generation 1",
            "remora_config_last_reload_successful 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
        assert_eq!((routed.requests(), backend.failures()), (3, 1));
    }

    #[test]
    fn what_was_renamed_is_still_there_under_its_old_name() {
        let metrics = Metrics::new().unwrap();
        let name = UpstreamName::parse("backend").unwrap();
        let (routed, upstream) = (metrics.route(&route(None, "/api")), metrics.upstream(&name));
        routed.held();
        upstream.held_now().set(2);
        let text = metrics.render();
        for line in [
            r#"remora_requests_queued_total{route="/api",upstream="backend"} 1"#,
            r#"remora_requests_held_total{route="/api",upstream="backend"} 1"#,
            r#"remora_upstream_queued{upstream="backend"} 2"#,
            r#"remora_upstream_held{upstream="backend"} 2"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn certificates_are_shown_as_they_are_now() {
        let metrics = Metrics::new().unwrap();
        let row = |names: &str, days| ("/tls/a.pem".to_owned(), names.to_owned(), days);
        metrics.certificates([row("a.example", 13.5), row("b.example", -1.0)].into_iter());
        metrics.certificates([row("a.example", 90.0)].into_iter());
        let text = metrics.render();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("remora_certificate_expires_days{")).collect();
        let expected = r#"remora_certificate_expires_days{certificate="/tls/a.pem",names="a.example"} 90"#;
        assert_eq!(lines, [expected]);
    }

    #[test]
    fn the_process_is_measured_when_someone_looks() {
        let text = Metrics::new().unwrap().render();
        for name in
            ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_start_time_seconds"]
        {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            assert!(0.0 < value, "{line}");
        }
    }

    #[test]
    fn every_metric_has_help_and_a_conventional_name() {
        let metrics = Metrics::new().unwrap();
        let name = UpstreamName::parse("backend").unwrap();
        let _held = (metrics.unrouted(), metrics.upstream(&name), metrics.backend(&name, "10.0.0.1:1"));
        let text = metrics.render();
        let mut seen = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            seen += 1;
        }
        assert!(24 <= seen, "only {seen} metrics shown");
    }

    #[test]
    fn series_live_as_long_as_their_handles() {
        let metrics = Metrics::new().unwrap();
        let name = UpstreamName::parse("backend").unwrap();
        let bare = metrics.render();
        let first = metrics.route(&route(None, "/api"));
        first.finished(200, Duration::ZERO, 0, 0);
        let second = metrics.route(&route(None, "/api"));
        drop(first);
        assert_eq!(second.requests(), 1, "a reload keeps what was counted");
        assert!(metrics.render().contains(r#"route="/api""#));
        let upstream = metrics.upstream(&name);
        upstream.heal_step("gunicorn reload", "no_effect");
        upstream.heal_ended("failed", Duration::from_secs(3));
        let backend = metrics.backend(&name, "10.0.0.1:8000");
        drop((second, upstream, backend));
        let labelled = |text: &str| text.lines().filter(|line| line.contains("upstream=")).count();
        assert_eq!(labelled(&metrics.render()), labelled(&bare), "{}", metrics.render());
        assert_eq!(metrics.route(&route(None, "/api")).requests(), 0, "a route that comes back starts anew");
    }
}
