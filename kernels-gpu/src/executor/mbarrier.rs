//! mbarriers: objects in shared memory whose phases complete when enough threads have arrived and the bytes that were
//! expected have been copied.
//!
//! A phase releases and acquires like a barrier. Its bulk copies become visible to who waits for it: each mbarrier counts
//! the phases that a thread knows to be complete, beside the clocks of threads.

use std::{collections::HashMap, ops::Range};

use super::{
    clock::Stamp,
    machine::Machine,
    release::{Gathered, Gathering},
    report::{Access, Fault, Place},
    sites::SiteId,
    waiting::Wait,
};
use crate::simt::WARP;

/// Bytes of an mbarrier, and its alignment.
const BYTES: usize = 8;
/// The most arrivals of a phase, and the most bytes that may be outstanding.
const MOST: u32 = (1 << 20) - 1;

/// An mbarrier that has been initialised.
#[derive(Debug)]
pub(super) struct Mbarrier {
    rank: usize,
    address: u32,
    /// Who initialised it.
    pub(super) init: Stamp,
    /// Where a fence behind that lies.
    pub(super) init_fence: Option<Stamp>,
    /// Arrivals that complete a phase.
    count: u32,
    /// Arrivals that the phase lacks.
    pending: u32,
    /// Bytes expected less bytes copied.
    bytes: i64,
    /// Who changed that last.
    transaction: Stamp,
    /// Phases that have completed.
    pub(super) phase: u32,
    gathering: Gathering,
    /// What the last phase has gathered.
    gathered: Option<Gathered>,
    /// Threads that wait for the phase.
    waiting: Vec<u16>,
}

/// The mbarriers of a cluster.
#[derive(Debug)]
pub(super) struct Mbarriers {
    all: Vec<Mbarrier>,
    /// Of each block, the number of the mbarrier at an address.
    live: Vec<HashMap<u32, u32>>,
}

impl Mbarriers {
    pub(super) fn new(blocks: usize) -> Self {
        Self { all: Vec::new(), live: vec![HashMap::new(); blocks] }
    }

    /// Starts anew: shared memory holds none.
    pub(super) fn begin(&mut self) {
        self.all.clear();
        self.live.iter_mut().for_each(HashMap::clear);
    }

    pub(super) fn get_mut(&mut self, number: usize) -> &mut Mbarrier {
        &mut self.all[number]
    }

    /// Whether one lies in these bytes of block `rank`.
    #[inline]
    pub(super) fn lie_in(&self, rank: usize, bytes: Range<usize>) -> bool {
        !self.all.is_empty()
            && (bytes.start / BYTES..bytes.end.div_ceil(BYTES))
                .any(|number| self.live[rank].contains_key(&((number * BYTES) as u32)))
    }

    /// What a thread that waits for it waits for, in words.
    pub(super) fn describe(&self, number: u32) -> String {
        let Mbarrier { address, phase, pending, bytes, .. } = self.all[number as usize];
        format!(
            "phase {phase} of the mbarrier at byte {address}, which lacks {pending} arrivals and {bytes} bytes"
        )
    }
}

impl Machine {
    pub(super) fn mbarrier_init(&mut self, address: u32, count: u32, site: SiteId) -> Option<()> {
        let rank = self.rank;
        let start = self.shared_bounds(rank, Access::Write, address, BYTES, site)?;
        if count == 0 || count > MOST {
            self.report_mbarrier(
                rank,
                address,
                "initialised with a count that is not from 1 to 1048575",
                site,
            );
            return None;
        }
        self.visit_shared(rank, Access::Write, start, BYTES, site);
        let init = self.stamp(self.current, site);
        let number = self.mbarriers.all.len() as u32;
        if self.mbarriers.live[rank].insert(address, number).is_some() {
            self.report_mbarrier(rank, address, "initialised again without having been invalidated", site);
        }
        self.mbarriers.all.push(Mbarrier {
            rank,
            address,
            init,
            init_fence: None,
            count,
            pending: count,
            bytes: 0,
            transaction: init,
            phase: 0,
            gathering: Gathering::default(),
            gathered: None,
            waiting: Vec::new(),
        });
        Some(())
    }

    /// Makes the mbarrier's bytes plain memory again, which holds nothing.
    pub(super) fn mbarrier_inval(&mut self, address: u32, site: SiteId) -> Option<()> {
        let number = self.mbarrier(Access::Write, address, site)?;
        if self.mbarriers.all[number].bytes != 0 || !self.mbarriers.all[number].waiting.is_empty() {
            self.report_mbarrier(self.rank, address, "invalidated in the middle of a phase", site);
        }
        self.mbarriers.live[self.rank].remove(&address);
        Some(())
    }

    /// The number of the mbarrier at `address`, which an operation accesses.
    pub(super) fn mbarrier(&mut self, access: Access, address: u32, site: SiteId) -> Option<usize> {
        let rank = self.rank;
        let start = self.shared_bounds(rank, access, address, BYTES, site)?;
        let Some(&number) = self.mbarriers.live[rank].get(&address) else {
            self.report_mbarrier(rank, address, "used without having been initialised", site);
            return None;
        };
        self.visit_shared(rank, access, start, BYTES, site);
        Some(number as usize)
    }

    /// The running thread expects `bytes` bytes more in this phase, and arrives.
    pub(super) fn mbarrier_arrive(&mut self, address: u32, bytes: u32, site: SiteId) -> Option<()> {
        let number = self.mbarrier(Access::Atomic, address, site)?;
        if bytes > 0 {
            self.transact(number, i64::from(bytes), site);
        }
        let thread = usize::from(self.current);
        let mbarrier = &mut self.mbarriers.all[number];
        if mbarrier.pending == 0 {
            self.report_mbarrier(self.rank, address, "arrived at more often in a phase than its count", site);
            return None;
        }
        mbarrier.pending -= 1;
        mbarrier.gathering.release(thread, &mut self.clocks[thread]);
        self.complete_phase(number);
        Some(())
    }

    /// Waits for the completion of the phase of that parity; true if that is the last one, so that there is nothing to wait
    /// for.
    pub(super) fn mbarrier_wait(&mut self, address: u32, parity: u32, site: SiteId) -> bool {
        let Some(number) = self.mbarrier(Access::Atomic, address, site) else { return true };
        if parity > 1 {
            self.report_mbarrier(self.rank, address, "waited for with a parity that is not 0 or 1", site);
            return true;
        }
        let thread = usize::from(self.current);
        let mbarrier = &mut self.mbarriers.all[number];
        if mbarrier.phase % 2 != parity {
            if let Some(gathered) = &mut mbarrier.gathered {
                gathered.acquire(&mut self.clocks[thread]);
            }
            return true;
        }
        mbarrier.waiting.push(self.current);
        self.threads[thread].wait = Wait::Mbarrier(number as u32);
        self.threads[thread].site = site;
        false
    }

    /// Changes the bytes that an mbarrier's phase waits for.
    pub(super) fn transact(&mut self, number: usize, bytes: i64, site: SiteId) {
        let transaction = self.stamp(self.current, site);
        let mbarrier = &mut self.mbarriers.all[number];
        mbarrier.transaction = transaction;
        mbarrier.bytes += bytes;
        if mbarrier.bytes.unsigned_abs() > u64::from(MOST) {
            let (rank, address) = (mbarrier.rank, mbarrier.address);
            self.report_mbarrier(rank, address, "left with more than 1048575 outstanding bytes", site);
        }
    }

    /// Completes the mbarrier's phase if nothing is missing, and lets those go on that wait for it.
    pub(super) fn complete_phase(&mut self, number: usize) {
        let mbarrier = &mut self.mbarriers.all[number];
        if mbarrier.pending > 0 || mbarrier.bytes != 0 {
            return;
        }
        let mut gathered = mbarrier.gathering.complete_phase(number, mbarrier.phase);
        mbarrier.phase += 1;
        mbarrier.pending = mbarrier.count;
        for thread in mbarrier.waiting.drain(..) {
            gathered.acquire(&mut self.clocks[usize::from(thread)]);
            self.threads[usize::from(thread)].wait = Wait::Nothing;
            self.barriers.warps[usize::from(thread) / WARP as usize].ready |= 1 << (u32::from(thread) % WARP);
        }
        mbarrier.gathered = Some(gathered);
    }

    /// Lets bulk copies see the mbarriers that the running thread has initialised.
    pub(super) fn fence_mbarrier_init(&mut self) {
        let thread = self.current;
        let clock = &mut self.clocks[usize::from(thread)];
        for mbarrier in self.mbarriers.all.iter_mut().filter(|mbarrier| mbarrier.init.thread == thread) {
            mbarrier.init_fence.get_or_insert(Stamp { clock: clock.own, ..mbarrier.init });
        }
        // What is ordered behind the fence is told apart from what is ordered behind the initialisation alone.
        clock.own += 1;
    }

    /// Reports mbarriers that lack bytes, or have too many.
    pub(super) fn check_transactions(&mut self) {
        for number in 0..self.mbarriers.all.len() {
            let Mbarrier { address, bytes, transaction, .. } = self.mbarriers.all[number];
            if bytes != 0 {
                let source = Some(self.source(transaction.site));
                let place = Place::Shared { address };
                self.report_at(transaction.thread, source, Fault::TransactionBytes { place, bytes });
            }
        }
    }

    pub(super) fn report_mbarrier(&mut self, rank: usize, address: u32, misuse: &'static str, site: SiteId) {
        let place = self.place(rank, address);
        self.report(site, Fault::Mbarrier { place, misuse });
    }
}
