//! The candidates next to one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    SearchSpace,
    point::{Head, Point, fits},
    pool::{Member, Pool},
    seeds::RECIPE_HEADS,
};
use crate::calibration::ModelRole;

/// How a candidate's heads are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A head, a group's or a layer's heads less.
    Drop,
    /// A head, a group's or a layer's best heads more.
    Add,
    /// A head, or all heads of a group, for others.
    Swap,
}

impl Change {
    /// All candidates that `point` becomes by it, within the space's limits.
    pub(super) fn of(self, point: &Point, pool: &Pool, space: &SearchSpace) -> Vec<Point> {
        let mut points = Vec::new();
        for role in ModelRole::ALL.into_iter().filter(|&role| point.reads(role)) {
            let heads = point.heads(role);
            let sets = match self {
                Self::Drop => drops(heads, pool, role),
                Self::Add => additions(heads, pool, role),
                Self::Swap => swaps(heads, pool, role),
            };
            let allowed =
                sets.into_iter().filter(|set| !set.is_empty() && set != heads && fits(set, space, role));
            points.extend(allowed.map(|set| {
                let mut point = point.clone();
                *point.heads_mut(role) = set;
                point
            }));
        }
        points
    }
}

/// Heads by the key that `of` gives them, in the order in which they come.
fn grouped<K: Ord>(members: &[Member], of: impl Fn(&Member) -> K) -> BTreeMap<K, Vec<Head>> {
    let mut groups = BTreeMap::new();
    for member in members {
        groups.entry(of(member)).or_insert_with(Vec::new).push(member.head);
    }
    groups
}

/// What reads one KV head.
const fn group(member: &Member) -> (u32, u32) {
    (member.head.layer, member.kv_head)
}

fn members(heads: &BTreeSet<Head>, pool: &Pool, role: ModelRole) -> Vec<Member> {
    // A head that is not in the pool, as a start may have them, is a group of its own.
    let member = |(index, &head): (usize, &Head)| Member {
        head,
        kv_head: pool.kv_head(role, head).unwrap_or(u32::MAX - index as u32),
    };
    heads.iter().enumerate().map(member).collect()
}

fn drops(heads: &BTreeSet<Head>, pool: &Pool, role: ModelRole) -> Vec<BTreeSet<Head>> {
    let members = members(heads, pool, role);
    let singles = heads.iter().map(|&head| vec![head]);
    let parts = singles
        .chain(grouped(&members, group).into_values())
        .chain(grouped(&members, |it| it.head.layer).into_values());
    let without = |part: Vec<Head>| heads.iter().filter(|head| !part.contains(head)).copied().collect();
    unique(parts.map(without))
}

fn additions(heads: &BTreeSet<Head>, pool: &Pool, role: ModelRole) -> Vec<BTreeSet<Head>> {
    let members = pool.additions(role, heads);
    let singles = members.iter().map(|it| vec![it.head]);
    let parts = singles.chain(grouped(&members, group).into_values()).chain(
        grouped(&members, |it| it.head.layer).into_values().map(|mut layer| {
            layer.truncate(RECIPE_HEADS as usize);
            layer
        }),
    );
    unique(parts.map(|part| heads.iter().copied().chain(part).collect()))
}

fn swaps(heads: &BTreeSet<Head>, pool: &Pool, role: ModelRole) -> Vec<BTreeSet<Head>> {
    let additions = pool.additions(role, heads);
    let singles = heads.iter().flat_map(|&out| additions.iter().map(move |it| (vec![out], vec![it.head])));
    let others = grouped(&additions, group);
    let groups = grouped(&members(heads, pool, role), group);
    let moved = groups.values().flat_map(|out| {
        others.values().map(|others| (out.clone(), others.iter().copied().take(out.len()).collect()))
    });
    let swapped = |(out, into): (Vec<Head>, Vec<Head>)| {
        heads.iter().filter(|head| !out.contains(head)).copied().chain(into).collect()
    };
    unique(singles.chain(moved).map(swapped))
}

/// Each set once, in the order in which they come.
fn unique(sets: impl Iterator<Item = BTreeSet<Head>>) -> Vec<BTreeSet<Head>> {
    let mut seen = BTreeSet::new();
    sets.filter(|set| seen.insert(set.clone())).collect()
}
