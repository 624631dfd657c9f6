//! Launches that overlap: which earlier launches a thread is ordered behind, and what is remembered of them.

use std::panic::Location;

use super::{
    clock::Stamp,
    machine::Machine,
    memory::Memory,
    report::{Party, Source},
};

/// What a launch is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) grid: [u32; 3],
    /// Blocks of a cluster.
    pub(super) cluster: u32,
    pub(super) block_threads: u32,
}

impl Shape {
    /// The first block of cluster `number` of the launch.
    pub(super) fn block(&self, number: u32) -> [u32; 3] {
        let [x, y, _] = self.grid;
        let x = x / self.cluster;
        [number % x * self.cluster, number / x % y, number / x / y]
    }

    /// Thread `thread` of the cluster whose first block is at `first`.
    pub(super) fn member(&self, [x, y, z]: [u32; 3], thread: u16, source: Option<Source>) -> Party {
        let (rank, thread) = (u32::from(thread) / self.block_threads, u32::from(thread) % self.block_threads);
        Party { block: [x + rank, y, z], thread, source }
    }
}

/// What is remembered of a launch, for one that may overlap it.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) first_cluster: u32,
    /// What clusters before this one did was ordered before the launch.
    pub(super) ordered: u32,
    /// Whether its end is also the end of all launches before.
    pub(super) ends_all: bool,
    pub(super) shape: Shape,
    /// The places in the source, by their numbers in stamps.
    pub(super) locations: Vec<&'static Location<'static>>,
}

/// Whether all launches so far have ended once the last one has.
fn last_ends_all(memory: &Memory) -> bool {
    memory.past.last().is_none_or(|last| last.ends_all)
}

/// The cluster before which all is ordered before the launch that begins. Forgets launches that are.
pub(super) fn ordered(memory: &mut Memory, overlaps: bool) -> u32 {
    if !overlaps && last_ends_all(memory) {
        memory.past.clear();
    }
    // A launch that overlaps may begin as soon as the one before has begun, wherever that one is ordered.
    memory.past.last().map_or_else(|| memory.first_cluster(), |last| last.ordered)
}

/// Whoever made `stamp` in a launch that is remembered.
pub(super) fn party(memory: &Memory, stamp: Stamp) -> Party {
    let past = memory.past.iter().rfind(|past| past.first_cluster <= stamp.cluster);
    let past = past.expect("only what a launch overlaps is not ordered before it");
    let first = past.shape.block(stamp.cluster - past.first_cluster);
    past.shape.member(first, stamp.thread, Some(Source::from(past.locations[stamp.site.index()])))
}

impl Machine {
    /// The thread that runs waits until the launch before has ended.
    pub(super) fn grid_wait(&mut self) {
        self.grid_waited = true;
        if last_ends_all(&self.memory) {
            let launch = self.now.launch;
            self.clocks[usize::from(self.current)].wait_for_launches(launch);
        }
    }

    /// What is to be remembered of the launch, which ends.
    pub(super) fn past(&self) -> Past {
        Past {
            first_cluster: self.now.launch,
            ordered: self.now.ordered,
            ends_all: self.now.ordered == self.now.launch || self.grid_waited && last_ends_all(&self.memory),
            shape: self.shape(),
            locations: self.sites.locations().to_vec(),
        }
    }
}
