//! Who accessed a piece of memory last, and whether an access races with that (FastTrack's rules, with read sets).
//!
//! Of each piece the last plain write is kept, and the plain reads and the atomic operations since that are not
//! ordered among themselves.

use super::clock::{Clock, Now, Readers, Stamp};
use super::report::Access;
use super::sites::SiteId;

/// An access to be checked and noted.
#[derive(Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) access: Access,
    pub(super) stamp: Stamp,
    pub(super) readers: Readers<'a>,
    /// The clock of the accessing thread.
    pub(super) clock: &'a Clock,
    pub(super) now: Now,
}

/// What is wrong with an access.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    /// An earlier access that nothing orders before this one.
    pub(super) race: Option<(Access, Stamp)>,
    /// The access reads what nobody has written.
    pub(super) unwritten: bool,
    /// An asynchronous copy into the place is under way.
    pub(super) in_flight: Option<Stamp>,
}

impl Verdict {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            race: self.race.or(other.race),
            unwritten: self.unwritten | other.unwritten,
            in_flight: self.in_flight.or(other.in_flight),
        }
    }
}

/// The history of one piece of memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    write: Option<Stamp>,
    reads: Set,
    atomics: Set,
}

/// What stands for a bulk copy's write, which is ordered by an mbarrier's phase and not by any thread's clock.
pub(super) const BULK: Stamp = Stamp { cluster: 0, clock: 0, thread: 0, site: SiteId::NONE };

/// Unordered accesses of one sort.
#[derive(Clone, Copy, Debug, Default)]
enum Set {
    #[default]
    Empty,
    One(Stamp),
    /// Number of a [`Crowd`] in [`Crowds`].
    Many(u32),
}

impl Cell {
    /// Checks the access against the history, and adds it.
    #[inline]
    pub(super) fn visit(&mut self, visit: &Visit<'_>, crowds: &mut Crowds) -> Verdict {
        let Visit { access, stamp, readers, .. } = *visit;
        if let (Access::Read, Set::One(last), Readers::Thread { .. }) = (access, self.reads, readers)
            && (last.cluster, last.thread, last.clock) == (stamp.cluster, stamp.thread, stamp.clock)
        {
            // The same thread read it since its last release: whatever came between has been reported.
            return Verdict::default();
        }
        self.judge(visit, crowds)
    }

    fn judge(&mut self, visit: &Visit<'_>, crowds: &mut Crowds) -> Verdict {
        let Visit { access, stamp, readers, now, .. } = *visit;
        let unwritten = self.write.is_none() && matches!(self.atomics, Set::Empty);
        let mut race = self.write.filter(|&write| !readers.see(write, now)).map(|w| (Access::Write, w));
        if access != Access::Atomic {
            race = race.or_else(|| self.atomics.unseen(visit, crowds).map(|a| (Access::Atomic, a)));
        }
        if access != Access::Read {
            race = race.or_else(|| self.reads.unseen(visit, crowds).map(|r| (Access::Read, r)));
        }
        match access {
            Access::Read => self.reads.insert(visit, crowds),
            Access::Atomic => self.atomics.insert(visit, crowds),
            Access::Write => self.written(stamp, crowds),
        }
        Verdict { race, unwritten: unwritten && access != Access::Write, in_flight: None }
    }

    /// A write through the generic proxy that no fence, as `fenced` says, separates from the asynchronous one.
    pub(super) fn unfenced(&self, fenced: impl Fn(Stamp) -> bool, crowds: &Crowds) -> Option<Stamp> {
        let unfenced = |stamp: &Stamp| *stamp != BULK && !fenced(*stamp);
        let atomic = match self.atomics {
            Set::Empty => None,
            Set::One(stamp) => Some(stamp).filter(unfenced),
            Set::Many(number) => crowds.crowds[number as usize].members().copied().find(unfenced),
        };
        self.write.filter(unfenced).or(atomic)
    }

    /// Notes a write that has been checked already.
    pub(super) fn written(&mut self, stamp: Stamp, crowds: &mut Crowds) {
        self.clear(crowds);
        self.write = Some(stamp);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, crowds: &mut Crowds) {
        for set in [&self.reads, &self.atomics] {
            if let Set::Many(number) = *set {
                crowds.free.push(number);
            }
        }
        *self = Self::default();
    }

    /// A copy with crowds of its own.
    pub(super) fn duplicate(&self, crowds: &mut Crowds) -> Self {
        let mut copy = *self;
        for set in [&mut copy.reads, &mut copy.atomics] {
            if let Set::Many(number) = *set {
                *set = Set::Many(crowds.duplicate(number));
            }
        }
        copy
    }
}

impl Set {
    /// A member that the visitor does not see, if there is one.
    fn unseen(self, visit: &Visit<'_>, crowds: &Crowds) -> Option<Stamp> {
        let see = |stamp: &Stamp| !visit.readers.see(*stamp, visit.now);
        match self {
            Self::Empty => None,
            Self::One(stamp) => Some(stamp).filter(see),
            Self::Many(number) => crowds.crowds[number as usize].members().copied().find(see),
        }
    }

    /// Adds the visitor and drops members that it makes redundant.
    fn insert(&mut self, visit: &Visit<'_>, crowds: &mut Crowds) {
        let Visit { stamp, clock, now, .. } = *visit;
        match *self {
            Self::Empty => *self = Self::One(stamp),
            Self::One(old) => {
                // Whoever is ordered behind the visitor is ordered behind what the visitor sees.
                if Readers::thread(stamp.thread, clock).see(old, now) {
                    *self = Self::One(stamp);
                } else {
                    let number = crowds.take();
                    let crowd = &mut crowds.crowds[number as usize];
                    crowd.insert(old, now);
                    crowd.insert(stamp, now);
                    *self = Self::Many(number);
                }
            }
            Self::Many(number) => crowds.crowds[number as usize].insert(stamp, now),
        }
    }
}

/// Unordered accesses of many threads of one cluster, and some of earlier clusters of the launch.
///
/// Of earlier clusters a few witnesses are enough to find a fault that is there for all their threads; with all of
/// them, a table that a whole grid reads would be followed by a list of the whole grid at every item.
#[derive(Clone, Debug, Default)]
struct Crowd {
    /// Accesses of earlier clusters, at most [`FEW`], the latest last.
    witnesses: Vec<Stamp>,
    /// The last access of each thread, all of one cluster.
    members: Vec<Stamp>,
    /// Each thread's place in `members`, plus 1; 0 is none. Empty while there are few members.
    places: Vec<u16>,
}

/// Members up to which a search is quicker than a table, and witnesses that are kept.
const FEW: usize = 16;

impl Crowd {
    fn insert(&mut self, stamp: Stamp, now: Now) {
        if self.members.last().is_some_and(|last| last.cluster != stamp.cluster) {
            self.witnesses.append(&mut self.members);
            self.witnesses.retain(|witness| witness.cluster >= now.ordered);
            self.witnesses.drain(..self.witnesses.len().saturating_sub(FEW));
            self.places.clear();
        }
        let thread = usize::from(stamp.thread);
        if self.places.is_empty() {
            if let Some(member) = self.members.iter_mut().find(|member| member.thread == stamp.thread) {
                *member = stamp;
                return;
            }
            self.members.push(stamp);
            if self.members.len() > FEW {
                for (place, member) in (1..).zip(&self.members) {
                    note(&mut self.places, member.thread, place);
                }
            }
        } else if let Some(place) = self.places.get(thread).copied().filter(|&place| place != 0) {
            self.members[usize::from(place) - 1] = stamp;
        } else {
            self.members.push(stamp);
            note(&mut self.places, stamp.thread, self.members.len() as u16);
        }
    }

    fn clear(&mut self) {
        self.witnesses.clear();
        self.members.clear();
        self.places.clear();
    }

    fn members(&self) -> impl Iterator<Item = &Stamp> {
        self.members.iter().chain(&self.witnesses)
    }
}

fn note(places: &mut Vec<u16>, thread: u16, place: u16) {
    let thread = usize::from(thread);
    if places.len() <= thread {
        places.resize(thread + 1, 0);
    }
    places[thread] = place;
}

/// The crowds of one memory, reused.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    crowds: Vec<Crowd>,
    free: Vec<u32>,
    /// Crowds handed out since the last reset, those in `free` included.
    used: usize,
}

impl Crowds {
    fn take(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.used == self.crowds.len() {
                self.crowds.push(Crowd::default());
            }
            self.used += 1;
            u32::try_from(self.used - 1).expect("fewer than 2^32 places are read by many threads")
        });
        self.crowds[number as usize].clear();
        number
    }

    fn duplicate(&mut self, number: u32) -> u32 {
        let copy = self.take();
        if let Ok([from, to]) = self.crowds.get_disjoint_mut([number as usize, copy as usize]) {
            to.clone_from(from);
        }
        copy
    }

    /// Takes all crowds back.
    pub(super) fn reset(&mut self) {
        self.free.clear();
        self.used = 0;
    }
}
