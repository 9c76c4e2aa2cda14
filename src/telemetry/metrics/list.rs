//! Every metric there is, with its name, labels and meaning. No label ever holds what a client sent.

use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// Bounds of request durations, in seconds.
const REQUEST_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds of check durations, in seconds.
const CHECK_SECONDS: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0];
const HEAL_SECONDS: [f64; 8] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Metrics that were renamed, and the name each had before, under which it is still there for one release.
pub(super) const RENAMED: [(&str, &str); 2] = [
    ("remora_requests_queued_total", "remora_requests_held_total"),
    ("remora_upstream_queued", "remora_upstream_held"),
];

/// What the whole process counts.
pub(super) struct ProcessList {
    pub(super) requests_in_flight: IntGauge,
    pub(super) connections: IntGauge,
    pub(super) connections_refused: IntCounterVec,
    pub(super) lanes: IntCounterVec,
    pub(super) config_generation: IntGauge,
    pub(super) last_reload_successful: IntGauge,
    pub(super) last_reload_success_seconds: Gauge,
    pub(super) reloads: IntCounterVec,
    pub(super) log_lines_dropped: IntCounterVec,
    pub(super) certificate_days: GaugeVec,
    pub(super) panics: IntCounter,
    pub(super) start_seconds: Gauge,
    pub(super) resident_bytes: IntGauge,
    pub(super) open_fds: IntGauge,
    pub(super) max_fds: IntGauge,
    pub(super) threads: IntGauge,
    pub(super) cpu_seconds: Counter,
}

/// What is counted for a route, by `route` and `upstream`.
pub(super) struct RouteList {
    pub(super) requests: IntCounterVec,
    pub(super) responses: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) request_bytes: IntCounterVec,
    pub(super) response_bytes: IntCounterVec,
    pub(super) retries: IntCounterVec,
    pub(super) held: IntCounterVec,
    pub(super) errors: IntCounterVec,
}

/// What is counted for an upstream, by `upstream`.
pub(super) struct UpstreamList {
    pub(super) held: IntGaugeVec,
    pub(super) overloaded: IntGaugeVec,
    pub(super) shed: IntCounterVec,
    pub(super) resolve_failures: IntCounterVec,
    pub(super) heals: IntCounterVec,
    pub(super) heal_duration: HistogramVec,
    pub(super) gave_up: IntCounterVec,
}

/// What is counted for a backend, by `upstream` and `backend`.
pub(super) struct BackendList {
    pub(super) up: IntGaugeVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) requests: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) checks: IntCounterVec,
    pub(super) check_duration: HistogramVec,
    pub(super) ejections: IntCounterVec,
}

#[rustfmt::skip]
impl ProcessList {
    pub(super) fn register(on: &Registry) -> Result<Self> {
        let build = gauges(on, "remora_build_info", "Always 1; the version of this binary.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let seconds = |name, help| -> Result<Gauge> {
            let gauge = GaugeVec::new(Opts::new(name, help), &[])?;
            on.register(Box::new(gauge.clone()))?;
            Ok(gauge.with_label_values(&[]))
        };
        let cpu = CounterVec::new(Opts::new("process_cpu_seconds_total", "Processor time used, in user and kernel mode."), &[])?;
        on.register(Box::new(cpu.clone()))?;
        let certificate_days = GaugeVec::new(Opts::new("remora_certificate_expires_days", "Days until a certificate expires; negative once it has."), &["certificate", "names"])?;
        on.register(Box::new(certificate_days.clone()))?;
        Ok(Self {
            requests_in_flight: gauge(on, "remora_requests_in_flight", "Requests in progress now.")?,
            connections: gauge(on, "remora_connections", "Client connections that are open now.")?,
            connections_refused: counters(on, "remora_connections_refused_total", "Client connections refused, or closed for flooding, by reason.", &["reason"])?,
            lanes: counters(on, "remora_lane_requests_total", "Requests by lane: fast, or full (Pingora's proxy, with `lane: full`).", &["lane"])?,
            config_generation: gauge(on, "remora_config_generation", "Generation of the configuration in force; 1 at the start.")?,
            last_reload_successful: gauge(on, "remora_config_last_reload_successful", "1 when the last reload was put in force, 0 when it was refused.")?,
            last_reload_success_seconds: seconds("remora_config_last_reload_success_timestamp_seconds", "When the configuration in force was loaded, Unix time.")?,
            reloads: counters(on, "remora_reloads_total", "Reloads by origin and result.", &["origin", "result"])?,
            log_lines_dropped: counters(on, "remora_log_lines_dropped_total", "Log lines lost because the output was blocked, closed or full.", &["log"])?,
            certificate_days,
            panics: counters(on, "remora_panics_total", "Panics caught; each is a bug.", &[])?.with_label_values(&[]),
            start_seconds: seconds("process_start_time_seconds", "When the process started, Unix time.")?,
            resident_bytes: gauge(on, "process_resident_memory_bytes", "Resident memory.")?,
            open_fds: gauge(on, "process_open_fds", "Open file descriptors.")?,
            max_fds: gauge(on, "process_max_fds", "Largest number of open file descriptors.")?,
            threads: gauge(on, "process_threads", "Threads of the process.")?,
            cpu_seconds: cpu.with_label_values(&[]),
        })
    }
}

#[rustfmt::skip]
impl RouteList {
    pub(super) fn register(on: &Registry) -> Result<Self> {
        let by = ["route", "upstream"];
        Ok(Self {
            requests: counters(on, "remora_requests_total", "Requests by class of status; `none` when the client left first.", &["route", "upstream", "class"])?,
            responses: counters(on, "remora_responses_total", "Requests by status; 499 when the client left first.", &["route", "upstream", "status"])?,
            duration: histograms(on, "remora_request_duration_seconds", "From the first byte of a request to the last of its response.", &by, &REQUEST_SECONDS)?,
            request_bytes: counters(on, "remora_request_body_bytes_total", "Bytes of request bodies received.", &by)?,
            response_bytes: counters(on, "remora_response_body_bytes_total", "Bytes of response bodies sent.", &by)?,
            retries: counters(on, "remora_retries_total", "Further attempts on another backend.", &by)?,
            held: counters(on, "remora_requests_queued_total", "Requests that were queued for a backend to come up.", &by)?,
            errors: counters(on, "remora_request_errors_total", "Requests that failed, by reason.", &["route", "upstream", "reason"])?,
        })
    }
}

#[rustfmt::skip]
impl UpstreamList {
    pub(super) fn register(on: &Registry) -> Result<Self> {
        Ok(Self {
            held: gauges(on, "remora_upstream_queued", "Requests queued now for a backend to come up.", &["upstream"])?,
            overloaded: gauges(on, "remora_upstream_overloaded", "1 while every backend has more requests than it can process.", &["upstream"])?,
            shed: counters(on, "remora_upstream_shed_total", "Requests refused because of overload.", &["upstream"])?,
            resolve_failures: counters(on, "remora_upstream_resolve_failures_total", "Server names that could not be resolved.", &["upstream"])?,
            heals: counters(on, "remora_heal_total", "Heal steps by step and result.", &["upstream", "step", "result"])?,
            heal_duration: histograms(on, "remora_heal_duration_seconds", "Heals, from taking a backend out of rotation to their end, by result.", &["upstream", "result"], &HEAL_SECONDS)?,
            gave_up: counters(on, "remora_heal_gave_up_total", "Times a sick backend was not healed soon: its budget was used, or no step can run in its container.", &["upstream"])?,
        })
    }
}

#[rustfmt::skip]
impl BackendList {
    pub(super) fn register(on: &Registry) -> Result<Self> {
        let by = ["upstream", "backend"];
        Ok(Self {
            up: gauges(on, "remora_backend_up", "1 when the backend may get requests.", &by)?,
            in_flight: gauges(on, "remora_backend_in_flight", "Requests in progress on the backend now.", &by)?,
            requests: counters(on, "remora_backend_requests_total", "Requests sent to the backend, retries included.", &by)?,
            failures: counters(on, "remora_backend_failures_total", "Requests that failed on the backend, by kind.", &["upstream", "backend", "kind"])?,
            checks: counters(on, "remora_backend_checks_total", "Health checks by result.", &["upstream", "backend", "result"])?,
            check_duration: histograms(on, "remora_backend_check_duration_seconds", "Duration of health checks.", &by, &CHECK_SECONDS)?,
            ejections: counters(on, "remora_backend_ejections_total", "Times the backend was taken out of rotation because of failing requests.", &by)?,
        })
    }
}

fn gauge(on: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    Ok(gauges(on, name, help, &[])?.with_label_values(&[]))
}

fn gauges(on: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    on.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(on: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    on.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn histograms(on: &Registry, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Result<HistogramVec> {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels)?;
    on.register(Box::new(metric.clone()))?;
    Ok(metric)
}
