//! Commands that ran past their deadline: Docker cannot end them, so they may still run in their containers.

use std::collections::{HashMap, HashSet};

use super::container::ContainerId;

/// Most containers of which it is remembered. That one is gone need not be heard of, so the oldest make room.
const CONTAINERS_MAX: usize = 256;

/// A command that ran past its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OverdueCommand {
    /// By what Docker knows it.
    pub exec_id: String,
    /// What messages call it.
    pub command: String,
}

/// The latest of each container.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    /// With its turn: lower is older.
    commands: HashMap<ContainerId, (u64, OverdueCommand)>,
    turns: u64,
}

impl Overdue {
    /// What may still run in a container.
    pub fn get(&self, container: &ContainerId) -> Option<OverdueCommand> {
        self.commands.get(container).map(|(_, command)| command.clone())
    }

    /// Remembers a command, in the place of an earlier one of its container.
    pub fn insert(&mut self, container: ContainerId, command: OverdueCommand) {
        if CONTAINERS_MAX <= self.commands.len()
            && !self.commands.contains_key(&container)
            && let Some(oldest) = self.commands.iter().min_by_key(|(_, (turn, _))| *turn).map(|(id, _)| id.clone())
        {
            self.commands.remove(&oldest);
        }
        self.turns += 1;
        self.commands.insert(container, (self.turns, command));
    }

    /// Forgets those of containers that are not among these any more.
    pub fn keep_those_of(&mut self, containers: &HashSet<ContainerId>) {
        self.commands.retain(|container, _| containers.contains(container));
    }

    /// Nothing runs in a container any more.
    pub fn remove(&mut self, container: &ContainerId) {
        self.commands.remove(container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(number: usize) -> ContainerId {
        ContainerId::parse(&format!("{number:064x}")).unwrap()
    }

    fn command(number: usize) -> OverdueCommand {
        OverdueCommand { exec_id: format!("{number:x}"), command: "sleep 9".to_owned() }
    }

    #[test]
    fn containers_that_are_gone_make_room() {
        let mut overdue = Overdue::default();
        for number in 0..CONTAINERS_MAX {
            overdue.insert(container(number), command(number));
        }
        overdue.insert(container(0), command(7));
        assert_eq!(overdue.commands.len(), CONTAINERS_MAX, "one container has one");
        overdue.insert(container(CONTAINERS_MAX), command(8));
        assert_eq!(overdue.commands.len(), CONTAINERS_MAX);
        assert_eq!(overdue.get(&container(1)), None, "the oldest went");
        assert_eq!(overdue.get(&container(0)), Some(command(7)), "the one that was renewed stays");
        overdue.remove(&container(0));
        assert_eq!(overdue.get(&container(0)), None);
        overdue.keep_those_of(&[container(2), container(CONTAINERS_MAX + 1)].into());
        assert_eq!(overdue.commands.keys().collect::<Vec<_>>(), [&container(2)]);
    }
}
