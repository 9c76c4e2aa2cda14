//! How a checked configuration comes into force. The composition root says how; a reload only asks for it.

use async_trait::async_trait;

use crate::config::model::Config;

/// Puts a checked configuration in force.
#[async_trait]
pub trait Publish: Send + Sync + 'static {
    /// Builds what `config.site` needs and switches to it at once; on failure everything stays as it was.
    /// `config.process` equals what runs.
    async fn publish(&self, config: Config) -> Result<Published, NotPublished>;
}

/// A configuration that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its number; one more than the one before.
    pub generation: u64,
}

/// Why a checked configuration could not be put in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPublished(pub String);
