//! Where the answers of the admin listener come from. The composition root fills it in.

use async_trait::async_trait;

use crate::reload::{Reloaded, RolledBack, ShownEntry};

use super::command::AdminCommand;
use super::status::Status;

/// Where the answers come from.
#[async_trait]
pub trait AdminSource: Send + Sync + 'static {
    /// Everything that `remora status` shows.
    fn status(&self) -> Status;

    /// Every metric in the text form of Prometheus.
    fn metrics(&self) -> String;

    /// The journal of heals, newest last.
    fn heals(&self) -> serde_json::Value;

    /// Lines of the error log of the last hour, oldest first.
    fn events(&self) -> Vec<String>;

    /// Reads the file again and waits for the outcome.
    ///
    /// # Errors
    /// The report when the file was refused, or why this edge has no file.
    async fn reload(&self) -> Result<Reloaded, String>;

    /// The last reloads, newest last.
    fn history(&self) -> Vec<ShownEntry>;

    /// Brings an older configuration back and waits for the outcome; without an entry, undoes the last change.
    ///
    /// # Errors
    /// The report when it was refused, or why there is nothing to bring back.
    async fn roll_back(&self, to: Option<u64>) -> Result<RolledBack, String>;

    /// Has the healer do something and waits for its end.
    ///
    /// # Errors
    /// Why it was not begun.
    async fn command(&self, command: AdminCommand) -> Result<serde_json::Value, String>;
}
