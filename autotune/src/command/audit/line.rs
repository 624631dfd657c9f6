//! What is said of each problem.

use comfy_table::Table;
use dustin::profile::{Found, Source};
use serde::Serialize;

use crate::{
    search::RunOff,
    table,
    task::{Task, name, spell},
};

/// A choice is slower than the default if the interval of what it loses lies above this share of the default's time …
const RELATIVE: f64 = 0.01;
/// … and above these microseconds.
const ABSOLUTE: f64 = 0.15;

/// What the profile's choice is worth for one problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The default itself.
    Default,
    /// Faster than the default, with the interval's confidence.
    Faster,
    /// Neither faster nor slower by more than the bound.
    Equal,
    /// Slower than the default by more than the bound.
    Slower,
    /// Its results are wrong, or it does not run.
    Wrong,
    /// There is no room for the problem here, or the default does not serve it, so nothing is known.
    Unchecked,
}

impl From<&RunOff> for Verdict {
    fn from(RunOff { default, gain, .. }: &RunOff) -> Self {
        if -gain.high > (RELATIVE * default.median).max(ABSOLUTE) {
            Self::Slower
        } else if gain.low > 0.0 {
            Self::Faster
        } else {
            Self::Equal
        }
    }
}

#[derive(Serialize)]
pub(super) struct Line {
    workload: String,
    bucket: String,
    /// Where the choice comes from.
    source: String,
    chosen: String,
    default: String,
    pub(super) us: Option<f64>,
    pub(super) default_us: Option<f64>,
    /// The default's time less the choice's: the 95 % confidence interval of its median over pairs.
    gain_us: Option<[f64; 2]>,
    /// How much longer the choice takes than the fastest that a search of the problem found, in pairs with it; 0 if that cannot be
    /// told from no difference.
    pub(super) regret: Option<f64>,
    /// What the search found instead, if it is faster.
    pub(super) fastest: Option<String>,
    pub(super) verdict: Verdict,
    pub(super) remark: String,
}

impl Line {
    pub(super) fn new(task: &Task, found: &Found, verdict: Verdict) -> Self {
        Self {
            workload: task.name.clone(),
            bucket: name(&task.key),
            source: match &found.source {
                Source::Exact => "its own entry".into(),
                Source::Near { distance } => format!("near by {distance:.2}"),
                Source::OtherGpu { name, .. } => name.clone(),
                Source::Default => "default".into(),
            },
            chosen: spell(&found.choice.variant, &found.choice.launch),
            default: task.points[task.default].to_string(),
            us: None,
            default_us: None,
            gain_us: None,
            regret: None,
            fastest: None,
            verdict,
            remark: String::new(),
        }
    }

    /// Nothing is known, for this reason.
    pub(super) fn unchecked(task: &Task, found: &Found, reason: String) -> Self {
        Self { remark: reason, ..Self::new(task, found, Verdict::Unchecked) }
    }

    /// Takes over what was timed in pairs.
    pub(super) fn compared(&mut self, run_off: &RunOff) {
        self.us = Some(run_off.challenger.median);
        self.default_us = Some(run_off.default.median);
        self.gain_us = Some([run_off.gain.low, run_off.gain.high]);
        self.verdict = run_off.into();
    }
}

pub(super) fn rows(lines: &[Line]) -> Table {
    let mut rows = table::new(
        &["problem", "choice from", "chosen", "verdict", "remark", "µs", "default µs", "regret"],
        5,
    );
    for line in lines {
        let us = |us: Option<f64>| us.map_or("–".into(), table::microseconds);
        rows.add_row([
            line.workload.clone(),
            line.source.clone(),
            line.chosen.clone(),
            format!("{:?}", line.verdict).to_lowercase(),
            line.remark.clone(),
            us(line.us),
            us(line.default_us),
            line.regret.map_or("–".into(), table::percent),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Estimate;

    #[test]
    fn slower_is_what_loses_more_than_the_bound_whatever_the_noise() {
        let of = |default: f64, low: f64, high: f64| {
            let estimate = |median, low, high| Estimate { median, low, high, samples: 20 };
            let gain = estimate(f64::midpoint(low, high), low, high);
            Verdict::from(&RunOff {
                challenger: estimate(default, default, default),
                default: estimate(default, default, default),
                gain,
            })
        };
        assert_eq!(of(10.0, 0.1, 0.4), Verdict::Faster);
        assert_eq!(of(10.0, -0.1, 0.4), Verdict::Equal);
        assert_eq!(of(10.0, -0.4, -0.14), Verdict::Equal, "within 0.15 µs");
        assert_eq!(of(10.0, -0.4, -0.16), Verdict::Slower);
        assert_eq!(of(100.0, -2.0, -0.9), Verdict::Equal, "within a hundredth");
        assert_eq!(of(100.0, -2.0, -1.1), Verdict::Slower);
    }
}
