//! Small configurations and folders for the tests of this module. Never part of the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::config::model::{
    AccessLog, AccessLogSpec, Balance, Config, Content, DockerSpec, JournalFile, LaneChoice, LimitsSpec, ListenAddress,
    ListenSpec, LogSpec, ProcessSpec, Proxy, RetryOn, RetrySpec, Route, ServerSpec, Site, Threads, Timeouts,
    UpstreamSpec, UriRule,
};
use crate::types::{ByteSize, PathPrefix, Percent, ServerAddress, UpstreamName, Weight};

pub(crate) fn config(path: &str) -> Config {
    let process = ProcessSpec {
        metrics: None,
        listen: vec![ListenSpec::plain(ListenAddress::Port(80))],
        threads: Threads::Count(2),
        admin: Some("127.0.0.1:9901".parse().unwrap()),
        log: LogSpec { access: AccessLogSpec { form: AccessLog::Combined, file: None }, level: log::LevelFilter::Info },
        docker: DockerSpec::Auto,
        journal: JournalFile::default(),
        alerts: None,
        limits: LimitsSpec::default(),
        lane: LaneChoice::Auto,
        shutdown: Duration::from_secs(8),
    };
    Config { process, site: site(vec![route(path, "backend")]) }
}

/// A site with these routes and an upstream of the name `backend`.
pub(crate) fn site(routes: Vec<Route>) -> Site {
    let upstreams = [(UpstreamName::parse("backend").unwrap(), upstream("backend", 8000))].into();
    Site::of_hosts(1, routes, upstreams, Vec::new())
}

pub(crate) fn route(path: &str, to: &str) -> Route {
    let to = UpstreamName::parse(to).unwrap();
    Route {
        path: PathPrefix::parse(path).unwrap(),
        content: Content::Proxy(Proxy { to, uri: UriRule::AsSent }),
        ..Route::not_found()
    }
}

pub(crate) fn upstream(name: &str, port: u16) -> Arc<UpstreamSpec> {
    let address = ServerAddress::parse(&format!("{name}:{port}")).unwrap();
    let on = RetryOn { connect: true, reset: true, timeout: false, statuses: Vec::new() };
    let second = Duration::from_secs(1);
    Arc::new(UpstreamSpec {
        name: UpstreamName::parse(name).unwrap(),
        servers: vec![ServerSpec { address, weight: Weight::ONE, backup: false }],
        balance: Balance::RoundRobin,
        check: None,
        needs: Vec::new(),
        timeouts: Timeouts { connect: second, read: second, write: second, idle: second },
        retry: RetrySpec { attempts: 2, on, budget: Percent(20) },
        hold: Duration::ZERO,
        heal: None,
        request_buffer: ByteSize(0),
    })
}

/// A folder that is removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("remora-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits for a claim to hold, with a name for the report when it never does.
pub(crate) async fn eventually(name: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {name}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
