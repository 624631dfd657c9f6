//! Bulk copies from global to shared memory, which complete on an mbarrier.
//!
//! They work through the asynchronous proxy. What is followed of that:
//!
//! * The destination belongs to the copy from its start until its mbarrier's phase has completed, and then to those who
//!   have waited for that phase and whoever is ordered behind them. Completion is a fence of its own: no other is needed.
//! * The start must be ordered behind all earlier accesses of the destination, by whatever orders threads.
//! * Between a write of the destination through the generic proxy and the start there must be a proxy fence, on the way
//!   from the one to the other: of the writer, behind its write; or of the thread that starts the copy, before that; or of
//!   any thread in between. An earlier read needs none, and neither does another bulk copy.
//! * The initialisation of the mbarrier is such a write; `fence.mbarrier_init` serves too, of the thread that initialised.
//! * Global memory that the launch itself has written cannot be a source: a proxy fence for global memory, which would be
//!   needed, is not in the vocabulary.
//!
//! What is not followed: the time that a copy takes, since its bytes are there at once; and a write of the source between
//! the start and the completion, if it is ordered behind the start. Fences count for the whole cluster's shared memory.

use super::{
    clock::Readers,
    history::Visit,
    machine::Machine,
    memory,
    report::{Access, Fault, Place},
    shadow::BulkCopy,
    sites::SiteId,
};

/// What addresses and sizes are multiples of; bytes that shadow memory follows together.
const GRAIN: usize = 16;

impl Machine {
    /// Starts a copy of `bytes` bytes to shared memory that completes on the mbarrier at address `mbarrier`.
    pub(super) fn copy_bulk(
        &mut self,
        to: u32,
        from: u64,
        bytes: u32,
        mbarrier: u32,
        site: SiteId,
    ) -> Option<()> {
        if bytes == 0 || !bytes.is_multiple_of(GRAIN as u32) {
            self.report(site, Fault::BulkSize { bytes });
            return None;
        }
        let number = self.mbarrier(Access::Atomic, mbarrier, site)?;
        self.check_init_fence(number, mbarrier, site);
        let rank = self.rank;
        // The phase waits for the bytes that do not exist too: what cannot be copied is reported once.
        let starts = self.destination(to, bytes as usize, site);
        let phase = self.mbarriers.get_mut(number).phase;
        if let Some(start) = starts {
            let copy = BulkCopy { stamp: self.stamp(self.current, site), to, mbarrier: number as u32, phase };
            self.shared[rank].shadow.bulk.push(copy);
            for offset in (0..bytes as usize).step_by(GRAIN) {
                self.shared[rank].shadow.bulk_write(start + offset);
            }
            for offset in (0..bytes as usize).step_by(GRAIN) {
                let Some(grain) = self.source_grain(from.wrapping_add(offset as u64), site) else { break };
                self.shared[rank].bytes[start + offset..start + offset + GRAIN].copy_from_slice(&grain);
            }
        }
        self.transact(number, -i64::from(bytes), site);
        self.complete_phase(number);
        Some(())
    }

    /// Reports an mbarrier whose initialisation a bulk copy may not see.
    fn check_init_fence(&mut self, number: usize, address: u32, site: SiteId) {
        let thread = self.current;
        let clock = &self.clocks[usize::from(thread)];
        let mbarrier = self.mbarriers.get_mut(number);
        let (init, fence) = (mbarrier.init, mbarrier.init_fence);
        let sees_fence = fence.is_some_and(|fence| Readers::thread(thread, clock).see(fence, self.now));
        if !sees_fence && !clock.known.has_fenced(init) {
            let (place, other) = (self.place(self.rank, address), self.party(init));
            self.report(site, Fault::ProxyFence { place, other });
        }
    }

    /// Checks and notes the write of a destination, and returns where it starts.
    fn destination(&mut self, to: u32, bytes: usize, site: SiteId) -> Option<usize> {
        let (rank, access) = (self.rank, Access::Write);
        let start = self.shared_place(rank, access, to, GRAIN, site)?;
        let last = to.checked_add((bytes - GRAIN) as u32).unwrap_or(u32::MAX - GRAIN as u32 + 1);
        self.shared_place(rank, access, last, GRAIN, site)?;
        for start in (start..start + bytes).step_by(GRAIN) {
            self.shared_place(rank, access, start as u32, GRAIN, site)?;
            let thread = self.current;
            let stamp = self.stamp(thread, site);
            let clock = &self.clocks[usize::from(thread)];
            let shadow = &mut self.shared[rank].shadow;
            let unfenced = shadow.unfenced(start, |write| clock.known.has_fenced(write));
            let visit =
                Visit { access, stamp, readers: Readers::thread(thread, clock), clock, now: self.now };
            let verdict = shadow.visit(start, GRAIN, &visit);
            let place = Place::Shared { address: start as u32 };
            if let (None, None, Some(write)) = (verdict.race, verdict.in_flight, unfenced) {
                let other = self.party(write);
                self.report(site, Fault::ProxyFence { place, other });
            }
            self.judge(verdict, access, place, GRAIN, site);
        }
        Some(start)
    }

    /// Checks and notes the read of a grain of the source, and returns it.
    fn source_grain(&mut self, from: u64, site: SiteId) -> Option<[u8; GRAIN]> {
        let mut grain = [0; GRAIN];
        grain.copy_from_slice(self.global(Access::Read, from, GRAIN, site)?);
        let (number, offset) = memory::locate(from);
        let launch = self.now.launch;
        let allocation = self.memory.get_mut(number)?;
        if allocation.is_followed()
            && let Some(write) = allocation.shadow.unfenced(offset as usize, |write| write.cluster < launch)
        {
            let place = Place::Global { allocation: number, offset };
            let other = self.party(write);
            self.report(site, Fault::ProxyFence { place, other });
        }
        Some(grain)
    }

    /// Reports bulk copies that no thread has waited for.
    pub(super) fn check_bulk_copies(&mut self) {
        for rank in 0..self.shared.len() {
            for index in 0..self.shared[rank].shadow.bulk.len() {
                let BulkCopy { stamp, to, mbarrier, phase } = self.shared[rank].shadow.bulk[index];
                if !self.clocks.iter().any(|clock| clock.known.has_waited(mbarrier, phase)) {
                    let source = Some(self.source(stamp.site));
                    let place = Place::Shared { address: to };
                    self.report_at(stamp.thread, source, Fault::NotAwaited { place });
                }
            }
        }
    }
}
