//! Accesses to the shared memory of other blocks of the cluster (distributed shared memory).
//!
//! They are checked as accesses to the block's own shared memory are, and besides:
//!
//! * The other block must have started and must not have ended. It has started where anything that it did, or that one of
//!   its threads arrived at the cluster's barrier, happened before the access; it has not ended where the access happens
//!   before the end of one of its threads. Neither depends on how the executor happens to run the blocks.
//! * Atomic operations at the scope of the block and operations of other blocks are not atomic to each other. That is a
//!   relation like that of reads and writes, so a second shadow memory follows it: what is atomic for the block alone
//!   stands there as a read, and what comes from another block as an atomic operation. Operations of the block itself
//!   at the cluster's scope are atomic to all others.

use super::{
    clock::Readers,
    history::Visit,
    machine::Machine,
    report::{Access, Fault},
    sites::SiteId,
};

/// Where an address names the rank of its block in the cluster, plus 1; below that it is an address within the block.
/// Addresses without a rank are those of the block itself, as in PTX.
const RANK_SHIFT: u32 = 27;
/// The address of nothing in any block.
pub(super) const NOWHERE: u32 = 31 << RANK_SHIFT;

/// The last access of every thread to every other block's shared memory.
#[derive(Debug, Default)]
pub(super) struct Touches {
    /// For each thread of the cluster, for each rank. Empty until there is an access.
    last: Vec<Option<(u32, SiteId)>>,
    blocks: usize,
    threads: usize,
}

impl Touches {
    /// Starts anew, for a cluster of `blocks` blocks of `block_threads` threads.
    pub(super) fn begin(&mut self, blocks: usize, block_threads: usize) {
        self.last.clear();
        (self.blocks, self.threads) = (blocks, blocks * block_threads);
    }

    fn note(&mut self, thread: u16, rank: usize, clock: u32, site: SiteId) {
        if self.last.is_empty() {
            self.last.resize(self.threads * self.blocks, None);
        }
        self.last[usize::from(thread) * self.blocks + rank] = Some((clock, site));
    }
}

impl Machine {
    /// The address in block `rank` of what lies at `address` in this block.
    pub(super) fn map_to_block(&mut self, address: u32, rank: u32, site: SiteId) -> Option<u32> {
        let size = self.cluster.blocks() as u32;
        if rank >= size {
            self.report(site, Fault::NoSuchBlock { rank, size });
            return None;
        }
        Some(address.min((1 << RANK_SHIFT) - 1) | (rank + 1) << RANK_SHIFT)
    }

    /// Checks and notes an access to the shared memory of some block of the cluster.
    pub(super) fn remote(
        &mut self,
        access: Access,
        address: u32,
        bytes: usize,
        site: SiteId,
    ) -> Option<&mut [u8]> {
        let rank = match address >> RANK_SHIFT {
            0 => self.rank,
            rank => rank as usize - 1,
        };
        let address = address & ((1 << RANK_SHIFT) - 1);
        if rank >= self.cluster.blocks() {
            // The address is not one that the cluster has, and where it came from has been reported.
            return None;
        }
        if rank != self.rank {
            self.check_life(rank, access, address, site)?;
            if access == Access::Atomic {
                self.note_scope(rank, address, bytes, site);
            }
        }
        self.shared_of(rank, access, address, bytes, site)
    }

    /// Reports an access to a block that may not live. The ends of blocks are checked again when the cluster ends.
    fn check_life(&mut self, rank: usize, access: Access, address: u32, site: SiteId) -> Option<()> {
        let clock = &self.clocks[usize::from(self.current)];
        let first = rank * self.block_threads;
        if !clock.known.has_heard_of(first..first + self.block_threads) {
            let place = self.place(rank, address);
            self.report(site, Fault::NotStarted { access, place });
            return None;
        }
        if self.cluster.has_ended(rank) {
            self.report(site, Fault::MayHaveEnded { block: self.cluster.block(rank) });
            return None;
        }
        let own = clock.own;
        self.cluster.touches.note(self.current, rank, own, site);
        Some(())
    }

    /// Reports accesses to blocks that might have ended before, had the threads run otherwise.
    pub(super) fn check_remote_lives(&mut self) {
        let blocks = self.cluster.blocks();
        for index in 0..self.cluster.touches.last.len() {
            let Some((clock, site)) = self.cluster.touches.last[index] else { continue };
            let (thread, rank) = ((index / blocks) as u16, index % blocks);
            let threads = &self.clocks[rank * self.block_threads..(rank + 1) * self.block_threads];
            if !threads.iter().any(|end| end.known.reaches(thread, clock)) {
                let source = self.source(site);
                self.report_at(thread, Some(source), Fault::MayHaveEnded { block: self.cluster.block(rank) });
            }
        }
    }

    /// Checks and notes whom an atomic operation on the shared memory of block `rank` is atomic to: its own block if
    /// that is where it comes from, and else the cluster.
    pub(super) fn note_scope(&mut self, rank: usize, address: u32, bytes: usize, site: SiteId) {
        let start = address as usize;
        let exists = start + bytes <= self.shared[rank].bytes.len() && start.is_multiple_of(bytes);
        if self.cluster.blocks() == 1 || !exists {
            return;
        }
        let thread = self.current;
        let stamp = self.stamp(thread, site);
        let clock = &self.clocks[usize::from(thread)];
        let access = if rank == self.rank { Access::Read } else { Access::Atomic };
        let visit = Visit { access, stamp, readers: Readers::thread(thread, clock), clock, now: self.now };
        let verdict = self.shared[rank].scopes.visit(start, bytes, &visit);
        if let Some((_, stamp)) = verdict.race {
            let (place, other) = (self.place(rank, address), self.party(stamp));
            self.report(site, Fault::Scope { place, other });
        }
    }
}
