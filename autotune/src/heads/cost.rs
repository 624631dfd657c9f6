//! The measured time of estimation.

use std::{collections::HashMap, error::Error};

use anyhow::bail;
use dustin::{
    profile::{Catalogue, Key, Source, Tuned},
    verifier::Rules,
};
use dustin_heads::{Capture, search::Cost};
use serde::{Deserialize, Serialize};

use super::{
    StepShape,
    parts::{Part, parts},
};
use crate::{
    device::Device,
    search::{Bench as _, Failure, SearchError, bursts},
    task::{Task, name, spell},
    worker::Supervisor,
};

/// Seed of the inputs: what is timed does not depend on the search.
const SEED: u64 = 1;

/// A launch that was timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// What it is for.
    pub(crate) what: String,
    /// Its sizes.
    pub(crate) problem: String,
    /// Who served it.
    pub(crate) chosen: String,
    /// Where that choice comes from.
    pub(crate) source: String,
    /// The median, in microseconds.
    pub(crate) us: f64,
    /// The median's 95 % confidence interval.
    pub(crate) ci95_us: [f64; 2],
}

/// Times the launches of a step's estimation on a device, each once: with the tuned choice if there is one, else the default.
pub(crate) struct MeasuredCost<'a> {
    pub(crate) capture: &'a Capture,
    pub(crate) step: StepShape,
    pub(crate) device: &'a Device,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) tuned: Tuned<&'a dyn Catalogue>,
    /// By the sizes that were timed.
    pub(crate) timings: HashMap<Key, Timing>,
}

impl<'a> MeasuredCost<'a> {
    /// A cost of which nothing has been measured yet.
    pub(crate) fn new(
        capture: &'a Capture,
        step: StepShape,
        (supervisor, device): (&'a Supervisor, &'a Device),
        tuned: Tuned<&'a dyn Catalogue>,
    ) -> Self {
        Self { capture, step, device, supervisor, tuned, timings: HashMap::new() }
    }

    /// What the estimation of `rules` takes, in microseconds.
    ///
    /// # Errors
    /// The library refuses the rules; no variant serves a launch, it gives wrong results, or the device is lost.
    pub(crate) fn estimate(&mut self, rules: &Rules) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for part in parts(&self.step.stages(self.capture, rules)?)? {
            sum += part.weight * self.time(&part)?;
        }
        Ok(sum)
    }

    /// The timings of the estimation of `rules`, which has been asked for before.
    pub(crate) fn of(&self, rules: &Rules) -> anyhow::Result<Vec<Timing>> {
        let parts = parts(&self.step.stages(self.capture, rules)?)?;
        let known = |part: &Part| self.timings.get(&part.keys(self.device)[1]).cloned();
        Ok(parts.iter().filter_map(known).collect())
    }

    /// The median time of a part.
    fn time(&mut self, part: &Part) -> anyhow::Result<f64> {
        let [bucket, sizes] = part.keys(self.device);
        if let Some(known) = self.timings.get(&sizes) {
            return Ok(known.us);
        }
        let found = self.tuned.find(&bucket)?;
        let task = Task::of_choice(&sizes, &found.choice);
        let mut bench = self.supervisor.bench(self.device, &task, SEED)?;
        let estimate = match bench.check(0).and_then(|_| bursts(&mut bench, 0)) {
            Ok(estimate) => estimate,
            Err(Failure::Candidate(reason)) => {
                bail!("{}: {} does not serve: {reason}", part.what, task.points[0])
            }
            Err(Failure::Device(reason)) => return Err(SearchError::Device(reason).into()),
        };
        let timing = Timing {
            what: part.what.into(),
            problem: name(&sizes),
            chosen: spell(&found.choice.variant, &found.choice.launch),
            source: match &found.source {
                Source::Exact => "its own entry".into(),
                Source::Near { distance } => format!("an entry near by {distance:.2}"),
                Source::OtherGpu { name, .. } => format!("an entry of {name}"),
                Source::Default => "the default".into(),
            },
            us: estimate.median,
            ci95_us: [estimate.low, estimate.high],
        };
        self.timings.insert(sizes, timing);
        Ok(estimate.median)
    }
}

impl Cost for MeasuredCost<'_> {
    fn estimation_us(&mut self, rules: &Rules) -> Result<f64, Box<dyn Error + Send + Sync>> {
        Ok(self.estimate(rules)?)
    }
}
