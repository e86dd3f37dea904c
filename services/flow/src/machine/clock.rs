//! The passing of time: slots, late tasks, autocancel, forgotten zombies.

use crate::state::Flag;
use crate::tree::NodeId;

use super::index;
use super::transition::Transition;
use super::{Machine, ServerState};

impl Transition<'_> {
    /// `tick`: looks at the nodes whose moment has come.
    pub(super) fn tick(&mut self) {
        let Machine {
            index,
            tree,
            deferred,
            ..
        } = self.machine;
        self.is_changed |= !deferred.is_empty();
        self.candidates.append(deferred);
        // Local time may have changed against UTC: all moments are computed from the present one.
        index.reschedule_if_moved(tree);
        let due = index.take_wakes(tree.now.unix);
        let timed = index.timed();
        self.candidates.extend(timed);
        for id in due {
            if self.tree().get(id).is_some() {
                self.wake(id);
            }
        }
        self.forget_zombies();
    }

    fn wake(&mut self, id: NodeId) {
        let now = self.tree().suite_time(id);
        let is_guarded = self.is_guarded(id);
        let attributes = &mut self.machine.tree[id].attributes;
        if attributes.schedule().is_some() && attributes.schedule_mut().advance(now, is_guarded) {
            self.touch(id);
            self.candidates.insert(id);
        }
        if index::is_late(self.tree(), id) {
            self.set_flag(id, Flag::Late, true);
        }
        if index::is_cancelled(self.tree(), id) {
            let parent = self.tree()[id].parent;
            self.remove_nodes(id);
            self.recompute(parent);
            return;
        }
        self.machine.index.schedule(&self.machine.tree, id);
    }

    /// Whether a date or day of a parent is not free: it guards the times below.
    pub(super) fn is_guarded(&self, id: NodeId) -> bool {
        self.tree().upwards(id).skip(1).any(|parent| {
            let schedule = self.tree()[parent].attributes.schedule();
            schedule.is_some_and(|schedule| !schedule.is_date_free())
        })
    }

    fn forget_zombies(&mut self) {
        let now = self.now();
        let expired = |zombie: &super::Zombie| zombie.is_expired(now);
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.machine.zombies)
            .into_iter()
            .partition(expired);
        self.machine.zombies = kept;
        for zombie in gone {
            self.is_changed = true;
            self.clear_zombie_flag(&zombie.path);
        }
    }

    /// Clears the flag of a task that has no zombies left.
    pub(super) fn clear_zombie_flag(&mut self, path: &str) {
        let mut zombies = self.machine.zombies.iter();
        if zombies.all(|zombie| &*zombie.path != path)
            && let Some(id) = self.tree().find(path).filter(|id| *id != NodeId::ROOT)
        {
            self.set_flag(id, Flag::Zombie, false);
        }
    }

    /// Computes the state of a container whose children are others now, and those above.
    pub(super) fn recompute(&mut self, id: NodeId) {
        let computed = self.tree()[id].computed_state();
        match computed {
            Some(state) if state != self.tree()[id].state => {
                self.set_state(id, state);
                if id != NodeId::ROOT {
                    self.propagate(id);
                }
            }
            _ => self.propagate_from_parent(id),
        }
    }

    /// `halt`, `shutdown`, `restart`.
    pub(super) fn set_server(&mut self, state: ServerState) {
        self.is_changed |= self.machine.server != state;
        self.machine.server = state;
        self.candidates.insert(NodeId::ROOT);
    }
}
