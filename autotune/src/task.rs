//! A task: one bucket of the tuning key on one device, the problem that stands for it, and the points to try.

use std::fmt;

use anyhow::Context as _;
use dustin::{
    attention::problem::AttentionProblem,
    kv::PagedKv,
    profile::{Choice, Key, Launch, bucket},
};
use dustin_autotune::workload::{self, Workload};

use crate::{
    device::Device,
    search::{Candidate, Field, Resources},
};

/// A variant and its launch parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Stable id of the variant.
    pub(crate) variant: String,
    /// What is decided at the launch.
    pub(crate) launch: Launch,
    /// What it occupies.
    pub(crate) resources: Resources,
}

/// A point that cannot serve, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    /// Variant and launch parameters.
    pub(crate) point: String,
    /// What stands against it.
    pub(crate) reason: String,
}

/// What is tuned at a time.
#[derive(Debug)]
pub(crate) struct Task {
    /// Name in tables.
    pub(crate) name: String,
    /// The bucket.
    pub(crate) key: Key,
    /// The problem that stands for the bucket.
    pub(crate) problem: AttentionProblem,
    /// Confirmed tokens of each of its sequences.
    pub(crate) context: u32,
    /// What may run.
    pub(crate) points: Vec<Point>,
    /// The point that runs where nothing was tuned.
    pub(crate) default: usize,
    /// What may not run.
    pub(crate) excluded: Vec<Excluded>,
    candidates: Vec<Candidate>,
}

impl Task {
    /// The whole space of the bucket that `workload` falls into.
    ///
    /// # Errors
    /// No variant of the device serves the bucket.
    pub(crate) fn new(workload: &Workload, device: &dyn Device) -> anyhow::Result<Self> {
        let key = Key::of(&workload.problem, device.id(), device.policy());
        let (problem, context) = representative(&key);
        let of = || format!("workload {}", workload.name);
        let (found, mut excluded) = device.points(&problem).with_context(of)?;
        let mut points = Vec::with_capacity(found.len());
        for point in found {
            // A choice that no profile accepts would be lost on the next reading.
            match device.catalogue().check(&key, &point.variant, &point.launch) {
                Ok(()) => points.push(point),
                Err(error) => {
                    excluded.push(Excluded { point: point.to_string(), reason: error.to_string() });
                }
            }
        }
        let default = device.catalogue().default(&key).with_context(|| {
            format!("{}: no variant of this build serves {key}; choose another shape or --device", of())
        })?;
        let is_default = |point: &Point| point.variant == default.variant && point.launch == default.launch;
        let default = points.iter().position(is_default).unwrap_or_else(|| {
            let resources = Resources::default();
            points.push(Point { variant: default.variant, launch: default.launch, resources });
            points.len() - 1
        });
        Ok(Self::of_points(workload.name.clone(), key, (problem, context), points, default, excluded))
    }

    /// A task of one point: the choice of a profile's entry.
    pub(crate) fn of_choice(key: &Key, choice: &Choice) -> Self {
        let Choice { variant, launch, .. } = choice.clone();
        let point = Point { variant, launch, resources: Resources::default() };
        Self::of_points(name(key), key.clone(), representative(key), vec![point], 0, Vec::new())
    }

    fn of_points(
        name: String,
        key: Key,
        (problem, context): (AttentionProblem, u32),
        points: Vec<Point>,
        default: usize,
        excluded: Vec<Excluded>,
    ) -> Self {
        let candidate = |point: &Point| Candidate { id: point.to_string(), resources: point.resources };
        let candidates = points.iter().map(candidate).collect();
        Self { name, key, problem, context, points, default, excluded, candidates }
    }

    /// The points, as the search sees them.
    pub(crate) fn field(&self) -> Field<'_> {
        Field { candidates: &self.candidates, default: self.default }
    }
}

/// A bucket in few words, all that tells it from the others of a device's profile but the policy.
pub(crate) fn name(key: &Key) -> String {
    let Key { batch, rows, set_capacity, query_heads, kv_heads, head_dim, length_class, page_size, .. } = key;
    let (dtype, layout) = (workload::dtype_name(key.dtype), workload::layout_name(key.layout));
    let lse = if key.lse { ", LSE" } else { "" };
    format!(
        "{query_heads}/{kv_heads}x{head_dim} {dtype}, batch {batch} x {length_class}, {rows} rows, k {set_capacity}, \
         page {page_size} {layout}{lse}"
    )
}

/// The problem that stands for a bucket, and its context: capacities at their upper ends; contexts at the lower end
/// of the length class, which a gather hardly notices, so that the caches fit smaller devices.
pub(crate) fn representative(key: &Key) -> (AttentionProblem, u32) {
    let pages = |tokens: u32| tokens.div_ceil(key.page_size.max(1)).max(1);
    let half = key.length_class / 2;
    let longest = key.length_class.saturating_sub(key.rows);
    let fits = |context: u32| {
        context >= key.set_capacity
            && bucket::length_class(u64::from(pages(context + key.rows)) * u64::from(key.page_size))
                == key.length_class
    };
    let context = if fits(half) { half } else { longest };
    let table_width = pages(context.saturating_add(key.rows));
    let kv_pages = key.batch.saturating_mul(table_width);
    let problem = AttentionProblem {
        batch: key.batch,
        rows: key.rows,
        total_rows: key.batch.saturating_mul(key.rows),
        set_capacity: key.set_capacity.min(table_width.saturating_mul(key.page_size)),
        query_heads: key.query_heads,
        kv: PagedKv::dense(key.layout, kv_pages, key.page_size, key.kv_heads, key.head_dim),
        table_width,
        dtype: key.dtype,
        lse: key.lse,
    };
    (problem, context)
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell(&self.variant, &self.launch))
    }
}

/// A variant and its launch parameters, in words.
pub(crate) fn spell(variant: &str, launch: &Launch) -> String {
    let Launch { splits, threads } = launch;
    let splits = splits.map(|splits| format!(", {splits} split{}", if splits == 1 { "" } else { "s" }));
    let threads = threads.map(|threads| format!(", {threads} thread{}", if threads == 1 { "" } else { "s" }));
    format!("{variant}{}{}", splits.unwrap_or_default(), threads.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use dustin::profile::{DeviceId, Policy};

    use super::*;

    #[test]
    fn a_built_in_workload_stands_for_its_own_bucket() {
        for (name, ..) in workload::built_in() {
            let workload = workload::named(name).unwrap();
            let key = Key::of(&workload.problem, &DeviceId::cpu("any"), Policy::default());
            let (problem, context) = representative(&key);
            assert_eq!((problem, context), (workload.problem, workload.shape.context), "{name}");
        }
    }

    #[test]
    fn the_problem_that_stands_for_a_bucket_is_valid_and_in_it() {
        for page_size in [1, 16, 256] {
            for (batch, rows, k, tokens) in
                [(5, 7, 100, 700), (1, 1, 1, 2), (3, 64, 60, 65), (16, 9, 4000, 5000)]
            {
                let table_width = u32::div_ceil(tokens, page_size);
                let problem = AttentionProblem {
                    batch,
                    rows,
                    total_rows: batch * rows,
                    set_capacity: k,
                    query_heads: 8,
                    kv: PagedKv::dense(dustin::kv::KvLayout::Nhd, batch * table_width, page_size, 2, 64),
                    table_width,
                    dtype: dustin::Dtype::Bf16,
                    lse: false,
                };
                problem.validate().unwrap();
                let key = Key::of(&problem, &DeviceId::cpu("any"), Policy::default());
                let (stands, context) = representative(&key);
                let case = format!("page {page_size}, k {k}, {tokens} tokens: {stands:?}");
                assert_eq!(stands.validate(), Ok(()), "{case}");
                assert_eq!(Key::of(&stands, &key.device, key.policy), key, "{case}");
                assert!(context + stands.rows <= stands.table_width * page_size, "{case}");
            }
        }
    }
}
