//! What a tuned workload amounts to: one row, for tables and for JSON.

use dustin::profile::{Choice, Entry, Measurement, Timed};
use serde::Serialize;

use crate::{
    device::Device,
    search::{Ending, Estimate, Outcome, Status},
    task::Task,
};

/// The result of one search.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The workload.
    pub(crate) workload: String,
    /// The bucket, in words.
    pub(crate) bucket: String,
    /// The choice, with its launch parameters.
    pub(crate) chosen: String,
    /// Median of the choice, in microseconds.
    pub(crate) us: f64,
    /// Its 95 % confidence interval.
    pub(crate) ci95_us: [f64; 2],
    /// What would have run without tuning.
    pub(crate) default: String,
    /// Its median; absent if it cannot serve.
    pub(crate) default_us: Option<f64>,
    /// The default's median, divided by the choice's.
    pub(crate) speedup: Option<f64>,
    /// Bytes that the operation must move, per second, in units of 10⁹.
    pub(crate) gigabytes_per_second: f64,
    /// The least time that memory allows, divided by the median.
    pub(crate) roofline: Option<f64>,
    /// Candidates that were checked.
    pub(crate) tried: usize,
    /// Candidates that the search did not reach.
    pub(crate) untried: usize,
    /// Points left out beforehand.
    pub(crate) excluded: usize,
    /// Candidates that failed, and why.
    pub(crate) rejected: Vec<Rejected>,
    /// Candidates that cannot be told from the fastest.
    pub(crate) tied: Vec<String>,
    /// How far above the fastest they may lie, in microseconds.
    pub(crate) tie_band_us: f64,
    /// Why the search ended.
    pub(crate) ending: &'static str,
    /// Rounds that were not counted, and why.
    pub(crate) discarded_rounds: Vec<String>,
    /// The most bytes of the device's memory that were in use while it was searched, where that is known.
    pub(crate) peak_memory_bytes: Option<u64>,
    /// Rounds that were counted although the device was not steady, and why.
    pub(crate) unsteady_rounds: Vec<String>,
}

/// A candidate that failed.
#[derive(Debug, Serialize)]
pub(crate) struct Rejected {
    /// Variant and launch parameters.
    pub(crate) point: String,
    /// What it did wrong.
    pub(crate) reason: String,
}

impl Row {
    pub(crate) fn new(task: &Task, outcome: &Outcome, device: &Device) -> Self {
        let Outcome { chosen, time, default_time, tied, band, statuses, ending, discarded, unsteady } =
            outcome;
        let point = |index: usize| task.points[index].to_string();
        let rejected = statuses.iter().enumerate().filter_map(|(index, status)| match status {
            Status::Rejected(reason) => Some(Rejected { point: point(index), reason: reason.clone() }),
            _ => None,
        });
        let untried = statuses.iter().filter(|status| **status == Status::Untried).count();
        Self {
            workload: task.name.clone(),
            bucket: task.key.to_string(),
            chosen: point(*chosen),
            us: rounded(time.median),
            ci95_us: [time.low, time.high].map(rounded),
            default: point(task.default),
            default_us: default_time.map(|default| rounded(default.median)),
            speedup: default_time.map(|default| default.median / time.median),
            gigabytes_per_second: task.problem.bytes() as f64 / time.median / 1e3,
            roofline: roofline(task, time.median, device),
            tried: statuses.len() - untried,
            untried,
            excluded: task.excluded.len(),
            rejected: rejected.collect(),
            tied: tied.iter().map(|&index| point(index)).collect(),
            tie_band_us: *band,
            ending: match ending {
                Ending::Complete => "complete",
                Ending::Budget => "budget",
                Ending::Interrupted => "interrupted",
            },
            discarded_rounds: discarded.clone(),
            peak_memory_bytes: None,
            unsteady_rounds: unsteady.clone(),
        }
    }
}

/// One schedule for every batch, and what it costs each of them.
#[derive(Debug, Serialize)]
pub(crate) struct EveryBatch {
    /// The workloads that differ only in their batch.
    pub(crate) workload: String,
    /// The bucket, in words.
    pub(crate) bucket: String,
    /// The choice, with its launch parameters.
    pub(crate) chosen: String,
    /// Its median for the batch that stands for all, in microseconds.
    pub(crate) us: f64,
    /// What would have run without tuning.
    pub(crate) default: String,
    /// Its median for that batch; absent if it cannot serve.
    pub(crate) default_us: Option<f64>,
    /// What the choice costs each batch.
    pub(crate) batches: Vec<BatchCost>,
    /// Rounds that were counted although the device was not steady, and why.
    pub(crate) unsteady_rounds: Vec<String>,
}

/// What a choice for every batch costs one of them.
#[derive(Debug, Serialize)]
pub(crate) struct BatchCost {
    /// The batch's workload.
    pub(crate) workload: String,
    /// Median of the choice, in microseconds.
    pub(crate) us: f64,
    /// The fastest candidate for this batch.
    pub(crate) best: String,
    /// Its median beside the choice's.
    pub(crate) best_us: f64,
    /// The choice's median, divided by the best one's.
    pub(crate) ratio: f64,
}

impl EveryBatch {
    pub(crate) fn new(task: &Task, outcome: &Outcome, batches: Vec<BatchCost>) -> Self {
        let Outcome { chosen, time, default_time, unsteady, .. } = outcome;
        Self {
            workload: task.name.clone(),
            bucket: task.key.to_string(),
            chosen: task.points[*chosen].to_string(),
            us: rounded(time.median),
            default: task.points[task.default].to_string(),
            default_us: default_time.map(|default| rounded(default.median)),
            batches,
            unsteady_rounds: unsteady.clone(),
        }
    }
}

impl BatchCost {
    pub(crate) fn new(task: &Task, us: f64, (best, best_us): (usize, f64)) -> Self {
        Self {
            workload: task.name.clone(),
            us: rounded(us),
            best: task.points[best].to_string(),
            best_us: rounded(best_us),
            ratio: rounded(us / best_us),
        }
    }
}

/// The least time that memory allows, divided by `us`; nothing where the device's bandwidth is not known.
pub(crate) fn roofline(task: &Task, us: f64, device: &Device) -> Option<f64> {
    device.bandwidth().map(|bandwidth| task.problem.bytes() as f64 / bandwidth * 1e6 / us)
}

/// The profile's entry for the result of a search; nothing if the default has no time, which the entry must name.
pub(crate) fn entry(task: &Task, outcome: &Outcome, device: &Device) -> Option<Entry> {
    let Outcome { chosen, time, default_time, tied, statuses, .. } = outcome;
    let timed = |index: usize, time: &Estimate| {
        let Choice { variant, launch, .. } = task.points[index].choice.clone();
        Timed { variant, launch, median_us: rounded(time.median) }
    };
    let tied = tied.iter().filter(|&index| index != chosen).filter_map(|&index| match &statuses[index] {
        Status::Finalist(time) => Some(timed(index, time)),
        _ => None,
    });
    let measurement = Measurement {
        repetitions: u32::try_from(time.samples).unwrap_or(u32::MAX),
        median_us: rounded(time.median),
        ci95_low_us: rounded(time.low),
        ci95_high_us: rounded(time.high),
        roofline_fraction: roofline(task, time.median, device).map(rounded),
        default: timed(task.default, default_time.as_ref()?),
        tied: tied.collect(),
    };
    Some(Entry::measured(task.key.clone(), task.points[*chosen].choice.clone(), measurement))
}

/// Three decimals: nanoseconds, which is finer than any clock in use, and the same in the report as in the profile.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
