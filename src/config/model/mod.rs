//! The file, fully decided: no value here can be wrong, and none that has a default is optional.

mod heal;
mod hosts;
mod listen;
mod process;
mod route;
mod site;
mod upstream;

pub use heal::{Budget, HealSpec, Preset, Signal, Step};
pub use listen::{CertificatePart, CertificateSpec, ListenAddress, ListenSpec, TakenAddresses, TlsSpec, TlsVersion};
pub use process::{
    AccessLog, AccessLogSpec, AlertFormat, AlertSpec, DockerSpec, JournalFile, LaneChoice, LimitsSpec, LogSpec,
    ProcessSpec, SidecarSpec, Threads,
};
pub use route::{AuthSpec, Content, CorsSpec, ErrorFormat, Gate, Origins, Proxy, ResponseEdits, Route, UriRule};
pub use site::{HostId, Listener, Location, LocationsId, Names, PathMatch, RouteId, Site, VirtualHost};
pub use upstream::{
    Balance, CheckKind, CheckSpec, PageSpec, Protocol, RetryOn, RetrySpec, ServerSpec, StatusRanges, Timeouts,
    UpstreamSpec,
};

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What is fixed while a process lives.
    pub process: ProcessSpec,
    /// What may change live.
    pub site: Site,
}
