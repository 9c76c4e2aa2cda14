//! What the proxy is told once and for all.

use crate::types::PaceLimits;

/// The proxy's own settings, fixed while the process lives.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// How fast clients have to be.
    pub pace: PaceLimits,
    /// Largest request body where a route says nothing, bytes; 0 is no limit.
    pub body_limit: u64,
    /// Most header fields of a request. The front door has counted those of HTTP/1.1 before.
    pub headers: usize,
    /// Largest request target, bytes.
    pub uri: u64,
}
