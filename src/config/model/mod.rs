//! The file, fully decided: no value here can be wrong, and none that has a default is optional.

mod heal;
mod listen;
mod process;
mod route;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::UpstreamName;

pub use heal::{Budget, HealSpec, Preset, Signal, Step};
pub use listen::{CertificateSpec, ListenAddress, ListenSpec, TlsSpec, TlsVersion};
pub use process::{
    AccessLog, DockerSpec, JournalFile, JournalSpec, LaneChoice, LimitsSpec, LogSpec, ProcessSpec, SidecarSpec, Threads,
};
pub use route::{AuthSpec, CorsSpec, ErrorFormat, Origins, RouteSpec};
pub use upstream::{
    Balance, CheckKind, CheckSpec, Protocol, RetryOn, RetrySpec, ServerSpec, StatusRanges, Timeouts, UpstreamSpec,
};

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What is fixed while a process lives.
    pub process: ProcessSpec,
    /// What may change live.
    pub site: SiteSpec,
}

/// Routes and upstreams: everything a reload may change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SiteSpec {
    /// In the order of the file; no two have the same host and path.
    pub routes: Vec<Arc<RouteSpec>>,
    /// Every upstream by name. Each route's upstream is among them; one without a route is watched and healed only.
    pub upstreams: BTreeMap<UpstreamName, Arc<UpstreamSpec>>,
    /// Proxies in front of the edge whose `X-Forwarded-*` fields are believed. Default: none.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}
