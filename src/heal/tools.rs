//! What ladders work with: who may need healing, who does it, where it is written down, and which containers are taken.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::docker::ContainerId;

use super::container_driver::ContainerDriver;
use super::journal::Journal;
use super::world::HealWorld;

/// What the healer works with.
#[derive(Clone)]
pub struct HealTools {
    /// Who may need healing.
    pub world: Arc<dyn HealWorld>,
    /// Who does it: [`Docker`](crate::docker::Docker), or a fake.
    pub driver: Arc<dyn ContainerDriver>,
    /// Where it is written down.
    pub journal: Arc<Journal>,
    /// Containers with a ladder under way: one at a time, whoever wants it.
    pub at_work: AtWork,
}

/// Containers with a ladder under way.
#[derive(Clone, Default)]
pub struct AtWork(Arc<Mutex<HashSet<ContainerId>>>);

/// One container's place among them.
pub(super) struct ContainerLock(AtWork, ContainerId);

impl AtWork {
    /// `None` where there is one already.
    pub(super) fn enter(&self, container: &ContainerId) -> Option<ContainerLock> {
        let is_first = self.0.lock().insert(container.clone());
        is_first.then(|| ContainerLock(self.clone(), container.clone()))
    }
}

impl Drop for ContainerLock {
    fn drop(&mut self) {
        self.0.0.lock().remove(&self.1);
    }
}
