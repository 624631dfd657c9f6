//! What threads wait for, and the barriers that let them go.

use std::ops::Range;

use super::{clock, collective::Operation, machine::Machine, report::Fault, sites::SiteId, wgmma::Products};
use crate::simt::WARP;

/// Barriers of a block; number 0 is the one for all its threads.
const BARRIERS: usize = 16;

/// What a thread waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Wait {
    /// Nothing: it runs, or may run.
    #[default]
    Nothing,
    /// The other lanes of its warp.
    Collective(Operation),
    /// The other threads at a barrier.
    Barrier(u32),
    /// The other threads of its cluster.
    Cluster,
    /// A phase of the mbarrier of this number.
    Mbarrier(u32),
    /// It has ended.
    End,
}

/// One thread of the cluster that runs.
#[derive(Debug, Default)]
pub(super) struct Thread {
    pub(super) wait: Wait,
    /// Where it waits.
    pub(super) site: SiteId,
    /// What its last warp-wide operation returned.
    pub(super) result: [u32; 4],
    /// The phase of the cluster's barrier that it has arrived in and not waited for.
    pub(super) arrived: Option<u32>,
}

/// The lanes of one warp, a bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Warp {
    /// May run.
    pub(super) ready: u32,
    /// Wait at a warp-wide operation.
    pub(super) posted: u32,
    /// What it has had to do with products of its warpgroup.
    pub(super) products: Products,
}

/// One barrier of a block.
#[derive(Debug, Default)]
struct Barrier {
    arrived: Vec<u16>,
    /// Participants that the first thread to arrive has named.
    expected: u32,
}

/// The barriers of a cluster's blocks, and its warps.
pub(super) struct Barriers {
    /// Those of each block.
    blocks: Vec<[Barrier; BARRIERS]>,
    pub(super) warps: Vec<Warp>,
    /// Threads of a block.
    threads: u32,
}

impl Barriers {
    pub(super) fn new(blocks: usize, threads: u32) -> Self {
        let blocks = std::iter::repeat_with(Default::default).take(blocks).collect();
        Self { blocks, warps: Vec::new(), threads }
    }

    /// All threads may run, nobody has arrived.
    pub(super) fn begin(&mut self) {
        self.warps.clear();
        let warps = self.blocks.len() * (self.threads / WARP) as usize;
        self.warps.resize(warps, Warp { ready: u32::MAX, ..Warp::default() });
        self.blocks.iter_mut().flatten().for_each(|barrier| barrier.arrived.clear());
    }
}

impl Machine {
    /// The running thread arrives at barrier `barrier` of `expected` threads (of the whole block, if none).
    pub(super) fn arrive(&mut self, barrier: u32, expected: Option<u32>, site: SiteId) {
        let threads = self.barriers.threads;
        let count = expected.unwrap_or(threads);
        if count == 0 || count > threads || !count.is_multiple_of(WARP) {
            self.report(site, Fault::BarrierCount { barrier, expected: threads, actual: count });
        }
        let state = &mut self.barriers.blocks[self.rank][barrier as usize];
        if state.arrived.is_empty() {
            state.expected = count;
        }
        state.arrived.push(self.current);
        let (arrived, expected) = (state.arrived.len() as u32, state.expected);
        if expected != count {
            self.report(site, Fault::BarrierCount { barrier, expected, actual: count });
        }
        let thread = &mut self.threads[usize::from(self.current)];
        thread.wait = Wait::Barrier(barrier);
        thread.site = site;
        if arrived >= expected {
            self.open(barrier as usize);
        }
    }

    /// Lets the threads at a barrier go on, ordered behind each other.
    fn open(&mut self, number: usize) {
        let mut arrived = std::mem::take(&mut self.barriers.blocks[self.rank][number].arrived);
        clock::meet(&mut self.clocks, arrived.iter().map(|&thread| usize::from(thread)));
        for &thread in &arrived {
            self.threads[usize::from(thread)].wait = Wait::Nothing;
            self.barriers.warps[usize::from(thread) / WARP as usize].ready |= 1 << (u32::from(thread) % WARP);
        }
        arrived.clear();
        self.barriers.blocks[self.rank][number].arrived = arrived;
    }

    /// Reports that no thread can go on, if some still wait. Ends the launch then.
    pub(super) fn check_progress(&mut self) {
        let waits =
            |thread: &Thread| matches!(thread.wait, Wait::Barrier(_) | Wait::Cluster | Wait::Mbarrier(_));
        let waits_alone = |thread: &Thread| matches!(thread.wait, Wait::Mbarrier(_));
        // Lanes that wait for one that waits for an mbarrier are not why that one waits.
        let posted = |(number, thread): (usize, &Thread)| {
            let warp = number / WARP as usize * WARP as usize;
            matches!(thread.wait, Wait::Collective(_))
                && !self.threads[warp..warp + WARP as usize].iter().any(waits_alone)
        };
        let (first, fault) = if let Some(first) = self.threads.iter().enumerate().position(posted) {
            // A lane that waits for its warp is why the others wait, if they do.
            let warp = first / WARP as usize * WARP as usize;
            (first, Fault::Divergent { lanes: self.standing(warp..warp + WARP as usize) })
        } else if let Some(first) = self.threads.iter().position(waits) {
            (first, Fault::BarrierNotReached { threads: self.standing(0..self.threads.len()) })
        } else {
            return;
        };
        let source = self.source(self.threads[first].site);
        self.report_at(first as u16, Some(source), fault);
        self.check_transactions();
        self.stopped = true;
    }

    /// Where the threads of a range stand, in words.
    pub(super) fn standing(&self, range: Range<usize>) -> String {
        if self.cluster.blocks() == 1 {
            return self.standing_of_block(0, range);
        }
        let ranks = range.start / self.block_threads..range.end.div_ceil(self.block_threads);
        let blocks = ranks.map(|rank| {
            let block = rank * self.block_threads..(rank + 1) * self.block_threads;
            let within = range.start.max(block.start)..range.end.min(block.end);
            let [x, y, z] = self.cluster.block(rank);
            format!("in block ({x}, {y}, {z}) {}", self.standing_of_block(block.start, within))
        });
        blocks.collect::<Vec<_>>().join("; ")
    }

    /// Where threads of the block that has the threads from `first` on stand.
    fn standing_of_block(&self, first: usize, range: Range<usize>) -> String {
        let mut groups: Vec<(usize, usize, String)> = Vec::new();
        for number in range {
            let thread = &self.threads[number];
            let source = self.source_of(thread);
            let standing = match thread.wait {
                Wait::Nothing => "can still run".to_owned(),
                Wait::End => "ended".to_owned(),
                Wait::Collective(operation) => {
                    format!("waits for its warp at {} ({source})", operation.name())
                }
                Wait::Barrier(0) => format!("waits at the block's barrier ({source})"),
                Wait::Cluster => format!("waits at the cluster's barrier ({source})"),
                Wait::Mbarrier(number) => format!("waits for {} ({source})", self.mbarriers.describe(number)),
                Wait::Barrier(barrier) => format!("waits at barrier {barrier} ({source})"),
            };
            match groups.last_mut() {
                Some((_, last, text)) if *text == standing => *last = number - first,
                _ => groups.push((number - first, number - first, standing)),
            }
        }
        let texts = groups.into_iter().map(|(first, last, text)| match last - first {
            0 => format!("thread {first} {text}"),
            _ => format!("each of threads {first}-{last} {text}"),
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    fn source_of(&self, thread: &Thread) -> String {
        match thread.wait {
            Wait::Nothing | Wait::End => String::new(),
            Wait::Collective(_) | Wait::Barrier(_) | Wait::Cluster | Wait::Mbarrier(_) => {
                self.source(thread.site).to_string()
            }
        }
    }
}
