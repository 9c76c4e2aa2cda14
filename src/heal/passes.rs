//! Whether a definition was ever seen to work. What never passed its check may be wrong in the file, and no heal helps then.

use std::sync::Arc;

use super::policy::{Definition, Reason};
use super::state::HealState;
use super::world::{HealPool, HealTarget, key};

impl HealState {
    /// Takes note of every backend that has passed its check, once for each configuration.
    pub(super) fn note_passes(&mut self, pools: &[HealPool]) {
        for (pool, target) in pools.iter().flat_map(|pool| pool.targets.iter().map(move |one| (pool, one))) {
            let Some(known) = self.backends.get_mut(&key(target)).filter(|known| !known.has_passed) else { continue };
            if !target.has_passed() {
                continue;
            }
            known.has_passed = true;
            let definition = Definition::of(&pool.spec, target.address().port());
            if definition.is_some_and(|definition| self.tools.journal.prove(&definition)) {
                // Its siblings may be healed now, and wait no longer.
                let siblings = self.backends.iter_mut().filter(|((upstream, _), _)| *upstream == pool.spec.name);
                siblings.for_each(|(_, known)| known.ask_at = None);
            }
        }
    }

    /// The file has changed: whoever passed did so under another definition, perhaps.
    pub(super) fn forget_passes(&mut self, pools: &[HealPool]) {
        self.backends.values_mut().for_each(|known| known.has_passed = false);
        let is_in_force = |definition: &Definition| {
            pools.iter().any(|pool| Definition::of(&pool.spec, definition.port).as_ref() == Some(definition))
        };
        self.told.retain(is_in_force);
    }

    /// The definition of a sick backend, where nobody has passed its check.
    pub(super) fn unproven(&self, pool: &HealPool, target: &Arc<dyn HealTarget>) -> Option<Definition> {
        let definition = Definition::of(&pool.spec, target.address().port()).filter(|_| target.is_sick())?;
        (!self.tools.journal.is_proven(&definition)).then_some(definition)
    }

    /// Says it once, not for each backend.
    pub(super) fn tell_unproven(&mut self, reason: &Reason) {
        if let Reason::NeverPassed(definition) = reason
            && self.told.insert(definition.clone())
        {
            log::warn!("heal {}: not healed: {reason}", definition.upstream);
        }
    }
}

#[cfg(test)]
#[path = "passes_tests.rs"]
mod tests;
