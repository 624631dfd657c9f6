//! Loads, stores and atomic operations: checked against bounds, alignment, roles and histories, then performed.
//!
//! What cannot be performed returns nothing, and has been reported.

use super::{
    clock::Readers,
    history::{Verdict, Visit},
    machine::Machine,
    memory::{self, Role},
    release::Released,
    report::{Access, Fault, Place},
    sites::SiteId,
};
use crate::simt::Word;

impl Machine {
    pub(super) fn load_global<T: Word>(&mut self, address: u64, site: SiteId) -> Option<T> {
        let bytes = self.global(Access::Read, address, T::BYTES, site)?;
        Some(T::from_bytes(bytes))
    }

    pub(super) fn store_global<T: Word>(&mut self, address: u64, value: T, site: SiteId) -> Option<()> {
        let bytes = self.global(Access::Write, address, T::BYTES, site)?;
        value.to_bytes(bytes);
        Some(())
    }

    pub(super) fn load_shared<T: Word>(&mut self, address: u32, site: SiteId) -> Option<T> {
        let bytes = self.shared(Access::Read, address, T::BYTES, site)?;
        Some(T::from_bytes(bytes))
    }

    pub(super) fn store_shared<T: Word>(&mut self, address: u32, value: T, site: SiteId) -> Option<()> {
        let bytes = self.shared(Access::Write, address, T::BYTES, site)?;
        value.to_bytes(bytes);
        Some(())
    }

    /// Replaces the item at a global address, atomically, and returns what stood there.
    pub(super) fn update_global<T: Word>(
        &mut self,
        address: u64,
        site: SiteId,
        update: impl FnOnce(T) -> T,
    ) -> Option<T> {
        let bytes = self.global(Access::Atomic, address, T::BYTES, site)?;
        let before = T::from_bytes(bytes);
        update(before).to_bytes(bytes);
        Some(before)
    }

    /// Replaces the item at a shared address, atomically for the block, and returns what stood there.
    pub(super) fn update_shared<T: Word>(
        &mut self,
        address: u32,
        site: SiteId,
        update: impl FnOnce(T) -> T,
    ) -> Option<T> {
        self.note_scope(self.rank, address, T::BYTES, site);
        let bytes = self.shared(Access::Atomic, address, T::BYTES, site)?;
        let before = T::from_bytes(bytes);
        update(before).to_bytes(bytes);
        Some(before)
    }

    /// Orders the thread that runs behind what was released at the atomic variable, and releases what it did.
    pub(super) fn acquire_release(&mut self, address: u64) {
        let thread = usize::from(self.current);
        let released: &mut Released = self.released.entry(address).or_default();
        released.acquire_release(self.now.cluster, thread, &mut self.clocks[thread]);
    }

    /// Checks and notes an access to global memory. Returns the bytes, unless they do not exist or must not be
    /// touched that way.
    pub(super) fn global(
        &mut self,
        access: Access,
        address: u64,
        bytes: usize,
        site: SiteId,
    ) -> Option<&mut [u8]> {
        let (number, offset) = memory::locate(address);
        let Some(allocation) = self.memory.get_mut(number) else {
            let place = Place::Nowhere { address };
            self.report(site, Fault::OutOfBounds { access, place, bytes, size: 0 });
            return None;
        };
        let place = Place::Global { allocation: number, offset };
        let size = allocation.bytes.len();
        let Some(start) = usize::try_from(offset).ok().filter(|start| start + bytes <= size) else {
            self.report(site, Fault::OutOfBounds { access, place, bytes, size: size as u64 });
            return None;
        };
        if !start.is_multiple_of(bytes) {
            self.report(site, Fault::Misaligned { access, place, bytes });
            return None;
        }
        if access != Access::Read && allocation.role == Role::Input {
            self.report(site, Fault::ReadOnly { place });
            return None;
        }
        if allocation.is_followed() {
            let needs_write = allocation.needs_write();
            let thread = self.current;
            let stamp = self.stamp(thread, site);
            let clock = &self.clocks[usize::from(thread)];
            let readers = Readers::thread(thread, clock);
            let visit = Visit { access, stamp, readers, clock, now: self.now };
            let allocation = self.memory.get_mut(number)?;
            let mut verdict = allocation.shadow.visit(start, bytes, &visit);
            verdict.unwritten &= needs_write;
            self.judge(verdict, access, place, bytes, site);
        }
        Some(&mut self.memory.get_mut(number)?.bytes[start..start + bytes])
    }

    /// Checks and notes an access to the block's shared memory, as [`Machine::global`].
    pub(super) fn shared(
        &mut self,
        access: Access,
        address: u32,
        bytes: usize,
        site: SiteId,
    ) -> Option<&mut [u8]> {
        self.shared_of(self.rank, access, address, bytes, site)
    }

    /// Checks and notes an access to the shared memory of the cluster's block `rank`.
    #[inline]
    pub(super) fn shared_of(
        &mut self,
        rank: usize,
        access: Access,
        address: u32,
        bytes: usize,
        site: SiteId,
    ) -> Option<&mut [u8]> {
        let start = self.shared_place(rank, access, address, bytes, site)?;
        self.visit_shared(rank, access, start, bytes, site);
        Some(&mut self.shared[rank].bytes[start..start + bytes])
    }

    /// Checks and notes an access to shared memory that is in bounds and aligned.
    #[inline]
    pub(super) fn visit_shared(
        &mut self,
        rank: usize,
        access: Access,
        start: usize,
        bytes: usize,
        site: SiteId,
    ) {
        let thread = self.current;
        let stamp = self.stamp(thread, site);
        let clock = &self.clocks[usize::from(thread)];
        let visit = Visit { access, stamp, readers: Readers::thread(thread, clock), clock, now: self.now };
        let verdict = self.shared[rank].shadow.visit(start, bytes, &visit);
        self.judge(verdict, access, self.place(rank, start as u32), bytes, site);
    }

    /// Checks the bounds and the alignment of an access to shared memory, and that no mbarrier lies there.
    #[inline]
    pub(super) fn shared_place(
        &mut self,
        rank: usize,
        access: Access,
        address: u32,
        bytes: usize,
        site: SiteId,
    ) -> Option<usize> {
        let start = self.shared_bounds(rank, access, address, bytes, site)?;
        if self.mbarriers.lie_in(rank, start..start + bytes) {
            self.report_mbarrier(rank, address, "accessed as plain memory", site);
            return None;
        }
        Some(start)
    }

    /// Checks the bounds and the alignment of an access to shared memory.
    pub(super) fn shared_bounds(
        &mut self,
        rank: usize,
        access: Access,
        address: u32,
        bytes: usize,
        site: SiteId,
    ) -> Option<usize> {
        let (start, size) = (address as usize, self.shared[rank].bytes.len());
        if start + bytes > size {
            let place = self.place(rank, address);
            self.report(site, Fault::OutOfBounds { access, place, bytes, size: size as u64 });
            return None;
        }
        if !start.is_multiple_of(bytes) {
            let place = self.place(rank, address);
            self.report(site, Fault::Misaligned { access, place, bytes });
            return None;
        }
        Some(start)
    }

    /// A place in the shared memory of the cluster's block `rank`.
    #[inline]
    pub(super) fn place(&self, rank: usize, address: u32) -> Place {
        if rank == self.rank {
            Place::Shared { address }
        } else {
            Place::Remote { block: self.cluster.block(rank), address }
        }
    }

    /// Reports what a history says of an access.
    #[inline]
    pub(super) fn judge(
        &mut self,
        verdict: Verdict,
        access: Access,
        place: Place,
        bytes: usize,
        site: SiteId,
    ) {
        let Verdict { race, unwritten, in_flight } = verdict;
        if let Some(stamp) = in_flight {
            let other = self.party(stamp);
            self.report(site, Fault::InFlight { access, place, other });
        } else if let Some((earlier, stamp)) = race {
            let other = self.party(stamp);
            self.report(site, Fault::Race { access, place, bytes, earlier, other });
        } else if unwritten {
            self.report(site, Fault::Unwritten { place, bytes });
        }
    }
}
