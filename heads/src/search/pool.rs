//! The heads that moves may take.

use std::collections::BTreeSet;

use super::point::{Head, Point};
use crate::calibration::ModelRole;

/// The best heads that every candidate may be given; besides these, it may be given any that read a KV head
/// that is read already.
const NEAREST: usize = 24;

/// A head with the KV head that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) head: Head,
    pub(super) kv_head: u32,
}

/// The heads of both models among which a search chooses.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// By model: best alone first.
    members: [Vec<Member>; 2],
    /// By model: heads that do well together, for a map that a candidate has not read so far.
    together: [BTreeSet<Head>; 2],
}

impl Pool {
    /// Of the heads of the target and of the draft, best alone first.
    pub(super) fn new(members: [Vec<Member>; 2]) -> Self {
        let together =
            [0, 1].map(|role: usize| members[role].first().map(|it| it.head).into_iter().collect());
        Self { members, together }
    }

    pub(super) fn of(&self, role: ModelRole) -> &[Member] {
        &self.members[role as usize]
    }

    /// Whether `point` reads no other heads.
    pub(super) fn has_all(&self, point: &Point) -> bool {
        ModelRole::ALL
            .into_iter()
            .filter(|&role| point.reads(role))
            .all(|role| point.heads(role).iter().all(|&head| self.kv_head(role, head).is_some()))
    }

    /// What a map that was not read so far begins with.
    pub(super) const fn together(&self, role: ModelRole) -> &BTreeSet<Head> {
        &self.together[role as usize]
    }

    pub(super) fn set_together(&mut self, role: ModelRole, heads: BTreeSet<Head>) {
        self.together[role as usize] = heads;
    }

    /// What `heads` may be given: the best heads, and all of the groups that are read already.
    pub(super) fn additions(&self, role: ModelRole, heads: &BTreeSet<Head>) -> Vec<Member> {
        let group = |head: &Head| Some((head.layer, self.kv_head(role, *head)?));
        let read: BTreeSet<(u32, u32)> = heads.iter().filter_map(group).collect();
        let is_near =
            |place: usize, it: &Member| place < NEAREST || read.contains(&(it.head.layer, it.kv_head));
        let members = self.of(role).iter().enumerate();
        members
            .filter(|(place, it)| !heads.contains(&it.head) && is_near(*place, it))
            .map(|(_, it)| *it)
            .collect()
    }

    /// The KV head that a head of the pool reads.
    pub(super) fn kv_head(&self, role: ModelRole, head: Head) -> Option<u32> {
        self.of(role).iter().find(|it| it.head == head).map(|it| it.kv_head)
    }
}
