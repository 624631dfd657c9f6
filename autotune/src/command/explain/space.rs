//! The candidates of a task: how many there are, and what leaves the others out.

use std::collections::{BTreeMap, BTreeSet};

use dustin::limits::Bound;
use serde::Serialize;

use crate::task::{self, Task, parameters};

/// The space of a task.
#[derive(Serialize)]
pub(super) struct Space {
    /// Points that may run.
    pub(super) points: usize,
    /// Variants among them, pairs of them in scoring.
    pub(super) variants: usize,
    /// What tells the points apart: each parameter with its values.
    pub(super) parameters: BTreeMap<String, Vec<String>>,
    /// Points that are left out, by what leaves them out.
    pub(super) excluded: Vec<Excluded>,
}

/// Points that one kind of limit leaves out.
#[derive(Serialize)]
pub(super) struct Excluded {
    /// The limit.
    pub(super) bound: &'static str,
    /// Points that it leaves out.
    pub(super) points: usize,
    /// The reasons, with the points of each, the most frequent first.
    pub(super) reasons: Vec<(String, usize)>,
    /// One of the points.
    pub(super) example: String,
}

impl Space {
    pub(super) fn new(task: &Task) -> Self {
        let mut values: BTreeMap<String, Vec<task::Value>> = BTreeMap::new();
        for (name, value) in task.points.iter().flat_map(|point| parameters(&point.choice)) {
            let known = values.entry(task::parameter(&task.key, &name)).or_default();
            if !known.contains(&value) {
                known.push(value);
            }
        }
        let variants: BTreeSet<_> =
            task.points.iter().map(|point| (&point.choice.variant, &point.choice.launch.fold)).collect();
        Self {
            points: task.points.len(),
            variants: variants.len(),
            parameters: (values.into_iter().filter(|(_, values)| values.len() > 1))
                .map(|(name, values)| {
                    (name, task::in_order(values).iter().map(ToString::to_string).collect())
                })
                .collect(),
            excluded: excluded(task),
        }
    }
}

fn excluded(task: &Task) -> Vec<Excluded> {
    let mut by_bound: BTreeMap<Bound, Vec<&task::Excluded>> = BTreeMap::new();
    for one in &task.excluded {
        by_bound.entry(one.bound).or_default().push(one);
    }
    let told = by_bound.into_iter().map(|(bound, points)| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &points {
            *counts.entry(&one.reason).or_default() += 1;
        }
        let mut reasons: Vec<(String, usize)> =
            counts.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let example = points.first().map(|one| one.point.clone()).unwrap_or_default();
        Excluded { bound: task::bound(bound), points: points.len(), reasons, example }
    });
    told.collect()
}
