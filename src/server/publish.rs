//! Puts a checked configuration in force.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::model::Config;
use crate::reload::{NotPublished, Publish, Published};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::upstream::{Upstream, UpstreamTools};

/// How long upstreams that are new wait for their first probes before they count.
const FIRST_PROBES: Duration = Duration::from_secs(3);

/// Builds the next snapshot beside the one in force and swaps them with one store.
pub(super) struct Publisher {
    pub snapshots: Arc<SnapshotCell>,
    pub tools: UpstreamTools,
}

#[async_trait]
impl Publish for Publisher {
    async fn publish(&self, config: Config) -> Result<Published, NotPublished> {
        let current = self.snapshots.current();
        let generation = current.generation + 1;
        let next = Snapshot::start(generation, config.site, Some(&current), &self.tools);
        next.ready(FIRST_PROBES).await;
        let stays = |upstream: &Arc<Upstream>| {
            next.upstreams.get(upstream.name()).is_some_and(|other| Arc::ptr_eq(other, upstream))
        };
        let retired: Vec<_> = current.upstreams.values().filter(|upstream| !stays(upstream)).cloned().collect();
        self.snapshots.publish(next);
        // They live as long as requests use them, but their successors watch the same backends.
        retired.iter().for_each(|upstream| upstream.retire());
        // Whoever looks at all upstreams looks at others now.
        self.tools.changed.send_modify(|count| *count += 1);
        Ok(Published { generation })
    }
}
