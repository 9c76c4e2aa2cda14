//! The running edge as the admin listener shows it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;

use crate::admin::status::{
    BackendStatus, CheckStatus, PoolState, ProcessStatus, ReloadStatus, RouteStatus, ShownState, SpecSummary,
    UpstreamStatus,
};
use crate::admin::{AdminCommand, AdminSource, Status};
use crate::config::model::{LaneChoice, Route};
use crate::front::tls::Certificates;
use crate::heal::{ContainerNames, HealHandle, Journal};
use crate::reload::{Reload, ReloadOrigin, Reloaded, RolledBack, ShownEntry};
use crate::snapshot::SnapshotCell;
use crate::telemetry::metrics::Lane;
use crate::telemetry::{self, Metrics, rfc3339};
use crate::types::{Active, UpstreamName, millis};
use crate::upstream::{Backend, BackendState, Upstream};

/// Of `remora demo`.
const NO_FILE: &str = "this edge runs without a configuration file";

/// Everything there is to show.
pub(super) struct View {
    pub snapshots: Arc<SnapshotCell>,
    pub metrics: Arc<Metrics>,
    pub journal: Arc<Journal>,
    pub healer: Option<HealHandle>,
    pub names: ContainerNames,
    pub reload: Option<Reload>,
    pub file: Option<PathBuf>,
    pub listeners: Vec<SocketAddr>,
    pub started: Instant,
    pub in_flight: Arc<Active>,
    pub connections: Arc<Active>,
    pub lane: LaneChoice,
    pub certificates: Vec<Arc<Certificates>>,
}

#[async_trait]
impl AdminSource for View {
    fn status(&self) -> Status {
        let snapshot = self.snapshots.current();
        let route = |(spec, to): (&Arc<Route>, &UpstreamName)| RouteStatus {
            host: spec.host.as_ref().map(ToString::to_string),
            path: spec.path.to_string(),
            upstream: to.to_string(),
            requests: self.metrics.route(spec).requests(),
            lane: match self.lane {
                // What an auth upstream is asked about is the relay's.
                LaneChoice::Full if spec.auth().is_none() => Lane::Full,
                LaneChoice::Full | LaneChoice::Auto => Lane::Fast,
            }
            .as_str()
            .to_owned(),
        };
        let idle = self.journal.idle().into_iter();
        let waiting = |upstream: &Arc<Upstream>| {
            let held = upstream.held();
            (held != 0).then(|| format!("{}: {held} requests queued for a backend", upstream.name()))
        };
        let overloaded = |upstream: &Arc<Upstream>| {
            let words = "overloaded; shedding excess requests with 503";
            upstream.is_overloaded().then(|| format!("{}: {words}", upstream.name()))
        };
        Status {
            process: ProcessStatus {
                generation: snapshot.generation,
                config_file: self.file.as_ref().map(|file| file.display().to_string()),
                listeners: self.listeners.iter().map(ToString::to_string).collect(),
                last_reload: self.last_reload(),
                rolled_back_to: self.reload.as_ref().and_then(|reload| reload.history().overrules()),
                connections: self.connections.count() as u64,
                fast_requests: self.metrics.lane_requests(Lane::Fast),
                full_requests: self.metrics.lane_requests(Lane::Full),
                ..ProcessStatus::of_this_process(self.started.elapsed())
            },
            routes: snapshot.site.to_upstreams().map(route).collect(),
            upstreams: snapshot.upstreams.values().map(|upstream| upstream_status(upstream, &self.names)).collect(),
            heals: self.heals(),
            notes: idle
                .map(|idle| format!("{} {}: not healed: {}", idle.upstream, idle.backend, idle.reason))
                .chain(snapshot.upstreams.values().filter_map(waiting))
                .chain(snapshot.upstreams.values().filter_map(overloaded))
                .chain(self.pauses())
                .collect(),
        }
    }

    fn metrics(&self) -> String {
        self.snapshots.current().upstreams.values().for_each(|upstream| upstream.gauge());
        self.metrics.requests_in_flight().set(i64::try_from(self.in_flight.count()).unwrap_or(i64::MAX));
        self.metrics.connections().set(i64::try_from(self.connections.count()).unwrap_or(i64::MAX));
        let now = SystemTime::now();
        let expiries = self.certificates.iter().flat_map(|one| one.expiries());
        let days = expiries.map(|one| (one.file.display().to_string(), one.names, one.until.days_after(now)));
        self.metrics.certificates(days);
        self.metrics.render()
    }

    fn heals(&self) -> serde_json::Value {
        let mut entries = self.journal.entries();
        entries.reverse();
        serde_json::to_value(entries).unwrap_or_default()
    }

    fn events(&self) -> Vec<String> {
        telemetry::log::recent()
    }

    async fn reload(&self) -> Result<Reloaded, String> {
        match &self.reload {
            Some(reload) => reload.handle().ask(ReloadOrigin::Admin).await,
            None => Err(NO_FILE.to_owned()),
        }
    }

    fn history(&self) -> Vec<ShownEntry> {
        self.reload.as_ref().map(|reload| reload.history().entries()).unwrap_or_default()
    }

    async fn roll_back(&self, to: Option<u64>) -> Result<RolledBack, String> {
        match &self.reload {
            Some(reload) => reload.handle().roll_back(to).await,
            None => Err(NO_FILE.to_owned()),
        }
    }

    async fn command(&self, command: AdminCommand) -> Result<serde_json::Value, String> {
        let healer = self.healer.as_ref().ok_or("this edge does not heal: its configuration has `docker: off`")?;
        let done = match command {
            AdminCommand::Heal { upstream, backend } => serde_json::to_value(healer.heal(upstream, backend).await?),
            AdminCommand::Reload { upstream } => serde_json::to_value(healer.reload(upstream).await?),
            AdminCommand::Drill { upstream } => serde_json::to_value(healer.drill(upstream).await?),
            AdminCommand::Pause { upstream, span } => serde_json::to_value(healer.pause(upstream, span).await?),
        };
        done.map_err(|error| error.to_string())
    }
}

impl View {
    fn pauses(&self) -> Vec<String> {
        let pause = |(upstream, until): (Option<String>, SystemTime)| {
            format!("healing of {} is paused until {}", upstream.as_deref().unwrap_or("all upstreams"), rfc3339(until))
        };
        self.journal.pauses(SystemTime::now()).into_iter().map(pause).collect()
    }

    fn last_reload(&self) -> Option<ReloadStatus> {
        let last = self.reload.as_ref()?.last().get()?;
        Some(ReloadStatus::from(&*last))
    }
}

fn upstream_status(upstream: &Upstream, names: &ContainerNames) -> UpstreamStatus {
    let backends: Vec<_> = upstream.backends().iter().map(|backend| backend_status(backend, names)).collect();
    UpstreamStatus {
        name: upstream.name().to_string(),
        spec: SpecSummary::from(&**upstream.spec()),
        state: PoolState::of(&backends),
        held: upstream.held() as u64,
        backends,
    }
}

fn backend_status(backend: &Backend, names: &ContainerNames) -> BackendStatus {
    let state = match backend.state() {
        BackendState::New => ShownState::New,
        BackendState::Up => ShownState::Up,
        BackendState::Down => ShownState::Down,
        BackendState::Ejected => ShownState::Ejected,
        BackendState::Healing => ShownState::Healing,
        BackendState::Held => ShownState::Held,
        BackendState::Draining => ShownState::Draining,
    };
    let server = backend.server();
    let cause = backend.last_failure().filter(|_| state != ShownState::Up && state != ShownState::New);
    BackendStatus {
        address: backend.address().to_string(),
        container: names.at(backend.address().ip()),
        server: server.address.to_string(),
        weight: server.weight.get(),
        backup: server.backup,
        state,
        since: rfc3339(SystemTime::now() - backend.since().elapsed()),
        last_check: backend.last_check().map(|check| CheckStatus {
            at: rfc3339(check.at),
            result: match check.result {
                Ok(None) => "passed".to_owned(),
                Ok(Some(words)) => format!("passed: {words}"),
                Err(failure) => failure.to_string(),
            },
            duration_ms: millis(check.took),
        }),
        cause: cause.map(|failure| failure.to_string()),
        in_flight: backend.in_flight() as u64,
        requests: backend.requests(),
        failures: backend.failures(),
    }
}
