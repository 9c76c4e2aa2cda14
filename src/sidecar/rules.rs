//! What the sidecar's own file says: the only place where what is done comes from.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::model::Site;
use crate::types::ServerAddress;

/// The sidecar's own file, as last read well.
#[derive(Debug)]
pub struct Rules(ArcSwap<Site>);

impl Rules {
    /// The rules of a file.
    pub fn new(site: Site) -> Self {
        Self(ArcSwap::from_pointee(site))
    }

    /// The rules from now on.
    pub fn replace(&self, site: Site) {
        self.0.store(Arc::new(site));
    }

    pub(super) fn current(&self) -> Arc<Site> {
        self.0.load_full()
    }

    /// The servers of every upstream that has a `heal`.
    pub(super) fn servers(&self) -> Vec<ServerAddress> {
        let site = self.current();
        let healed = site.upstreams.values().filter(|upstream| upstream.heal.is_some());
        healed.flat_map(|upstream| upstream.servers.iter().map(|server| server.address.clone())).collect()
    }
}
