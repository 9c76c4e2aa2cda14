//! Which Docker it is, for whoever has to help.

use super::client::{CALL_LIMIT, Docker};
use super::error::DockerError;

/// Labels of Compose that are shown, of the container this process runs in.
const SHOWN: [&str; 3] = ["com.docker.compose.project", "com.docker.compose.service", "com.docker.compose.version"];

/// A daemon's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerAbout {
    /// Version of the engine.
    pub engine: String,
    /// Newest version of the API that it speaks.
    pub api: String,
    /// Its operating system and kernel.
    pub system: String,
    /// Compose's labels of this container; empty outside one, or outside Compose.
    pub labels: Vec<(String, String)>,
}

impl Docker {
    /// Asks the daemon what it is.
    ///
    /// # Errors
    /// When it is not to be had.
    pub async fn about(&self) -> Result<DockerAbout, DockerError> {
        let version = self.call(CALL_LIMIT, |docker| async move { docker.version().await }).await?;
        let own = self.find_self().await.ok().flatten();
        let labels = own.and_then(|own| own.config?.labels).unwrap_or_default();
        let label = |name: &&str| labels.get(*name).map(|value| ((*name).to_owned(), value.clone()));
        let system = [version.os, version.arch, version.kernel_version].into_iter().flatten().collect::<Vec<_>>();
        Ok(DockerAbout {
            engine: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
            system: system.join(" "),
            labels: SHOWN.iter().filter_map(label).collect(),
        })
    }
}
