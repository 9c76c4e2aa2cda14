//! What happened, told outward: error log, access log, metrics and alerts. Decides nothing and never makes a request wait.

pub mod access;
mod alert;
mod entry;
mod escape;
mod limiter;
pub mod log;
mod log_file;
pub mod metrics;
mod reason;
mod recent;
mod stamp;
mod writer;

pub use access::AccessLogger;
pub use alert::{Alert, AlertKind, Alerts};
pub use entry::AccessEntry;
pub use escape::one_line;
pub use limiter::Limiter;
pub use log_file::LogFile;
pub use metrics::{BackendMetrics, Metrics, RouteMetrics, UpstreamMetrics};
pub use reason::{CheckResult, ErrorReason, FailureKind};
pub use stamp::rfc3339;
pub use writer::{LineWriter, Losses, Submitted};
