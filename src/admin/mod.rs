//! What an operator and Prometheus ask of a running edge, over HTTP on a loopback address. Never reachable by a web page.

mod errand;
mod guard;
mod listener;
mod routes;
pub mod status;

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;

use crate::reload::Reloaded;

pub use errand::Errand;
pub use listener::{AdminListener, bind, serve};
pub use status::Status;

/// Where the answers come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Everything that `remora status` shows.
    fn status(&self) -> Status;

    /// Every metric in the text form of Prometheus.
    fn metrics(&self) -> String;

    /// The journal of heals, newest last.
    fn heals(&self) -> serde_json::Value;

    /// Reads the file again and waits for the outcome.
    ///
    /// # Errors
    /// The report when the file was refused, or why this edge has no file.
    async fn reload(&self) -> Result<Reloaded, String>;

    /// Has the healer do something and waits for its end.
    ///
    /// # Errors
    /// Why it was not begun.
    async fn errand(&self, errand: Errand) -> Result<serde_json::Value, String>;
}

/// Why there is no admin listener.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be bound.
    #[error("the admin address {address} cannot be bound: {cause}; change `admin:` or stop what listens there")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}
