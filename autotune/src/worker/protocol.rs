//! What is said between the command and its worker: for each request one answer, each a line of JSON.

use dustin::profile::{Choice, Key};
use serde::{Deserialize, Serialize};

use crate::{
    device::About,
    resolve::DeviceChoice,
    search::{Conditions, Failure},
};

/// What the command asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// Say what a device is, and leave it alone: others may be measuring it.
    Find(DeviceChoice),
    /// Open the GPU of this number, or the CPU; said once, and before any problem.
    Open(Option<u32>),
    /// Prepare a problem, in the place of the one before.
    Prepare(Assignment),
    /// [`Bench::check`](crate::search::Bench::check).
    Check {
        /// Position among the choices.
        candidate: usize,
    },
    /// [`Bench::time`](crate::search::Bench::time).
    Time {
        /// Position among the choices.
        candidate: usize,
        /// Times to take.
        repetitions: u32,
    },
    /// [`Bench::confirm`](crate::search::Bench::confirm).
    Confirm {
        /// Position among the choices.
        candidate: usize,
    },
    /// [`Bench::conditions`](crate::search::Bench::conditions).
    Conditions,
}

/// A problem and who may run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Assignment {
    /// The workload, for messages.
    pub(super) name: String,
    /// The sizes of the problem: those of a bucket, or of a problem inside.
    pub(super) key: Key,
    /// The candidates.
    pub(super) choices: Vec<Choice>,
    /// Seed of the inputs.
    pub(super) seed: u64,
    /// Whether all candidates are compiled beforehand.
    pub(super) ahead: bool,
}

/// What the worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// There is such a device.
    Found {
        /// What it is.
        about: Box<About>,
        /// What a person should know.
        remark: Option<String>,
    },
    /// The device is open.
    Opened(Opened),
    /// The problem is ready.
    Prepared,
    /// The candidate is right.
    Checked {
        /// About how long its run took, in microseconds, where that tells anything.
        us: Option<f64>,
    },
    /// The candidate ran.
    Timed {
        /// Microseconds of each repetition; nothing for what is no number, which JSON cannot say.
        us: Vec<Option<f64>>,
    },
    /// The candidate is right as it is timed.
    Confirmed,
    /// What the device is like, where anything is known of that.
    Conditions(Option<Conditions>),
    /// The request failed.
    Failed {
        /// Whether the device is lost to this worker.
        lost: bool,
        /// Why, in one sentence.
        reason: String,
    },
}

/// A device, opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// Other processes that compute on it, as far as that is known.
    pub(crate) others: Vec<u32>,
    /// What a person should know.
    pub(crate) remark: Option<String>,
}

/// An answer, and what it left in use.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The answer.
    pub(super) answer: Answer,
    /// Bytes of the device's memory, where that is known.
    pub(super) memory: Option<u64>,
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Candidate(reason) => Self::Failed { lost: false, reason },
            Failure::Device(reason) => Self::Failed { lost: true, reason },
        }
    }
}

/// Times as a line of JSON can hold them.
pub(super) fn sayable(times: &[f64]) -> Vec<Option<f64>> {
    times.iter().map(|&time| time.is_finite().then_some(time)).collect()
}

/// Times as they were said.
pub(super) fn said(times: &[Option<f64>]) -> Vec<f64> {
    times.iter().map(|time| time.unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use dustin::profile::{DeviceId, Launch, Policy};
    use dustin_autotune::workload;

    use super::*;

    #[test]
    fn the_problem_of_every_built_in_workload_is_said_without_loss() {
        for (name, ..) in workload::built_in() {
            let problem = workload::named(name).unwrap().problem;
            let key = Key::of(&problem, &DeviceId::gpu("any", 9, 0), Policy::default());
            let launch = Launch { fold: Some("f".into()), splits: Some(3), ..Launch::default() };
            let choice = Choice { variant: "v".into(), revision: 2, ptx_digest: Some("d".into()), launch };
            let choices = vec![choice];
            let told = Assignment { name: name.into(), key, choices, seed: u64::MAX, ahead: true };
            let line = serde_json::to_string(&Request::Prepare(told.clone())).unwrap();
            assert!(!line.contains('\n'), "{name}");
            let Request::Prepare(heard) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
            assert_eq!((heard.key, heard.choices, heard.seed), (told.key, told.choices, told.seed), "{name}");
        }
    }

    #[test]
    fn times_that_are_no_numbers_are_still_none_behind_the_line() {
        let line = serde_json::to_string(&Answer::Timed { us: sayable(&[1.5, f64::NAN]) }).unwrap();
        let Answer::Timed { us } = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        let times = said(&us);
        assert!(times[0] == 1.5 && times[1].is_nan(), "{times:?}");
    }
}
