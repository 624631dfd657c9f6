//! Asynchronous copies: in flight from their start until the thread that started them has waited.

use std::collections::VecDeque;

use super::{
    clock::Readers,
    history::Visit,
    machine::Machine,
    report::{Access, Fault, Place},
    sites::SiteId,
};

/// Bytes of one copy.
const BYTES: usize = 16;

/// One copy in flight.
#[derive(Clone, Debug)]
struct Copy {
    to: u32,
    from: Option<u64>,
    bytes: [u8; BYTES],
    site: SiteId,
}

/// One thread's copies in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// Not committed yet.
    open: Vec<Copy>,
    /// Committed groups, oldest first.
    groups: VecDeque<Vec<Copy>>,
    /// Vectors of groups that have ended, for reuse.
    spare: Vec<Vec<Copy>>,
}

impl Machine {
    /// Starts a copy of 16 bytes to shared memory: from global memory, or of zeros.
    pub(super) fn copy_start(&mut self, to: u32, from: Option<u64>, site: SiteId) -> Option<()> {
        let source = match from {
            None => Some([0; BYTES]),
            Some(from) => self.global(Access::Read, from, BYTES, site).map(|bytes| {
                let mut copy = [0; BYTES];
                copy.copy_from_slice(bytes);
                copy
            }),
        };
        let (access, place) = (Access::Write, Place::Shared { address: to });
        let start = self.shared_place(self.rank, access, to, BYTES, site)?;
        let thread = self.current;
        let stamp = self.stamp(thread, site);
        let clock = &self.clocks[usize::from(thread)];
        let visit = Visit { access, stamp, readers: Readers::thread(thread, clock), clock, now: self.now };
        let shadow = &mut self.shared[self.rank].shadow;
        let verdict = shadow.visit(start, BYTES, &visit);
        shadow.take_off(start, stamp);
        self.judge(verdict, access, place, BYTES, site);
        let copy =
            Copy { to, from: from.filter(|_| source.is_some()), bytes: source.unwrap_or_default(), site };
        self.copies[usize::from(thread)].open.push(copy);
        Some(())
    }

    /// Closes the running thread's group of copies.
    pub(super) fn copy_commit(&mut self) {
        let copies = &mut self.copies[usize::from(self.current)];
        let next = copies.spare.pop().unwrap_or_default();
        copies.groups.push_back(std::mem::replace(&mut copies.open, next));
    }

    /// Ends all of the running thread's groups but the `pending` youngest.
    pub(super) fn copy_wait(&mut self, pending: u32) {
        let thread = usize::from(self.current);
        while self.copies[thread].groups.len() > pending as usize {
            let Some(mut group) = self.copies[thread].groups.pop_front() else { return };
            for copy in group.drain(..) {
                self.land(&copy);
            }
            self.copies[thread].spare.push(group);
        }
    }

    /// Lets a copy's bytes appear, written by the thread that has waited for it.
    fn land(&mut self, copy: &Copy) {
        if let Some(from) = copy.from {
            // The source was read at some time until now: whoever writes it must be ordered behind the wait.
            self.global(Access::Read, from, BYTES, copy.site);
        }
        let start = copy.to as usize;
        let stamp = self.stamp(self.current, copy.site);
        let shared = &mut self.shared[self.rank];
        shared.shadow.land(start, stamp);
        shared.bytes[start..start + BYTES].copy_from_slice(&copy.bytes);
    }

    /// Reports the copies that the running thread, which has ended, never waited for.
    pub(super) fn copies_end(&mut self) {
        let copies = std::mem::take(&mut self.copies[usize::from(self.current)]);
        for copy in copies.groups.iter().flatten().chain(&copies.open) {
            self.report(copy.site, Fault::NotAwaited { place: Place::Shared { address: copy.to } });
        }
    }
}
