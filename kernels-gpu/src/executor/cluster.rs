//! Clusters: blocks that run together, their common barrier, and how long each lives.

use std::ops::Range;

use super::{
    machine::Machine,
    release::{Gathered, Gathering},
    remote::Touches,
    report::Fault,
    sites::SiteId,
    waiting::Wait,
};
use crate::simt::WARP;

/// How a thread arrives at a cluster's barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It releases what it knows and did.
    Release,
    /// It releases nothing but that it has started.
    Relaxed,
}

/// The cluster that runs.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Coordinates of its first block.
    first: [u32; 3],
    /// Threads of each block that have not ended.
    alive: Vec<usize>,
    barrier: Barrier,
    /// The accesses to other blocks' shared memory.
    pub(super) touches: Touches,
}

/// The barrier of a cluster's threads. It has phases: a thread arrives in one and waits until all have.
#[derive(Debug, Default)]
struct Barrier {
    /// Phases that have ended.
    phase: u32,
    /// Threads that have arrived in this phase.
    arrived: usize,
    gathering: Gathering,
    /// What was released in the last phase. No thread is further behind: this phase cannot end without it.
    gathered: Option<Gathered>,
}

impl Cluster {
    pub(super) fn new(blocks: usize) -> Self {
        Self {
            first: [0; 3],
            alive: vec![0; blocks],
            barrier: Barrier::default(),
            touches: Touches::default(),
        }
    }

    /// Starts anew: all threads live, nobody has arrived.
    pub(super) fn begin(&mut self, first: [u32; 3], block_threads: usize) {
        self.first = first;
        self.alive.fill(block_threads);
        self.barrier = Barrier::default();
        self.touches.begin(self.alive.len(), block_threads);
    }

    /// Blocks of the cluster.
    #[inline]
    pub(super) fn blocks(&self) -> usize {
        self.alive.len()
    }

    /// Coordinates of block `rank`.
    #[inline]
    pub(super) fn block(&self, rank: usize) -> [u32; 3] {
        let [x, y, z] = self.first;
        [x + rank as u32, y, z]
    }

    /// Whether block `rank` has ended.
    pub(super) fn has_ended(&self, rank: usize) -> bool {
        self.alive[rank] == 0
    }

    /// Notes that a thread of block `rank` has ended.
    pub(super) fn thread_ends(&mut self, rank: usize) {
        self.alive[rank] -= 1;
    }
}

impl Machine {
    /// A warp arrives at the cluster's barrier, waits there, or both.
    pub(super) fn cluster_barrier(
        &mut self,
        lanes: Range<usize>,
        arrival: Option<Arrival>,
        waits: bool,
        site: SiteId,
    ) {
        if let Some(arrival) = arrival {
            lanes.clone().for_each(|thread| self.cluster_arrive(thread, arrival, site));
        }
        if waits {
            lanes.for_each(|thread| self.cluster_wait(thread, site));
        }
    }

    fn cluster_arrive(&mut self, thread: usize, arrival: Arrival, site: SiteId) {
        let barrier = &mut self.cluster.barrier;
        if self.threads[thread].arrived.is_some() {
            self.misuse(thread, "arrives again without having waited", site);
            return;
        }
        self.threads[thread].arrived = Some(barrier.phase);
        match arrival {
            Arrival::Release => barrier.gathering.release(thread, &mut self.clocks[thread]),
            Arrival::Relaxed => barrier.gathering.announce(thread, self.threads.len()),
        }
        barrier.arrived += 1;
        if barrier.arrived == self.threads.len() {
            let mut gathered = barrier.gathering.complete();
            (barrier.phase, barrier.arrived) = (barrier.phase + 1, 0);
            for (number, thread) in self.threads.iter_mut().enumerate() {
                if matches!(thread.wait, Wait::Cluster) {
                    gathered.acquire(&mut self.clocks[number]);
                    (thread.wait, thread.arrived) = (Wait::Nothing, None);
                    self.barriers.warps[number / WARP as usize].ready |= 1 << (number as u32 % WARP);
                }
            }
            self.cluster.barrier.gathered = Some(gathered);
        }
    }

    fn cluster_wait(&mut self, thread: usize, site: SiteId) {
        let barrier = &mut self.cluster.barrier;
        let Some(phase) = self.threads[thread].arrived else {
            self.misuse(thread, "waits without having arrived", site);
            return;
        };
        if phase == barrier.phase {
            self.threads[thread].wait = Wait::Cluster;
            self.threads[thread].site = site;
            self.barriers.warps[thread / WARP as usize].ready &= !(1 << (thread as u32 % WARP));
            return;
        }
        self.threads[thread].arrived = None;
        if let Some(gathered) = &mut barrier.gathered {
            gathered.acquire(&mut self.clocks[thread]);
        }
    }

    fn misuse(&mut self, thread: usize, misuse: &'static str, site: SiteId) {
        let source = self.source(site);
        self.report_at(thread as u16, Some(source), Fault::ClusterBarrier { misuse });
    }
}
