//! What a line of the journal says.

use dustin::profile::{Choice, Key, Provenance};
use serde::{Deserialize, Serialize};

use crate::search::Conditions;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Record {
    /// A run of `tune` begins.
    Run {
        /// Date and time, RFC 3339.
        date: String,
        /// Whether it goes on where the one before was cut off.
        resumed: bool,
        /// What tells the time since the system was started from all others, where it tells that.
        #[serde(default)]
        boot: Option<String>,
    },
    /// A problem is prepared; those that follow refer to it by its number.
    Problem {
        /// Number within the file.
        number: u32,
        /// What its results hold for.
        subject: Box<Subject>,
        /// The choice of the nearest entry that the profile held by then, which is tried early.
        near: Option<Choice>,
    },
    /// A candidate is about to run for the first time.
    Started {
        /// The problem.
        problem: u32,
        /// The candidate.
        candidate: Choice,
    },
    /// A candidate is right.
    Checked {
        /// The problem.
        problem: u32,
        /// The candidate.
        candidate: Choice,
        /// About how long its run took, in microseconds, where that tells anything.
        us: Option<f64>,
    },
    /// A candidate was timed.
    Timed {
        /// The problem.
        problem: u32,
        /// The candidate.
        candidate: Choice,
        /// Microseconds of each repetition; nothing for what is no number, which earlier builds have written.
        us: Vec<Option<f64>>,
    },
    /// A candidate is right as it is timed, too.
    Confirmed {
        /// The problem.
        problem: u32,
        /// The candidate.
        candidate: Choice,
    },
    /// A candidate cannot serve.
    Failed {
        /// The problem.
        problem: u32,
        /// The candidate.
        candidate: Choice,
        /// Why.
        reason: String,
    },
    /// What the device was like, in the finals and the run-off.
    Conditions {
        /// The problem.
        problem: u32,
        /// What was told.
        now: Conditions,
    },
    /// The search of a problem has ended.
    Chosen {
        /// The problem.
        problem: u32,
        /// The choice.
        candidate: Choice,
        /// Its median, in microseconds.
        us: f64,
        /// How long this run has searched, in seconds.
        #[serde(default)]
        seconds: f64,
        /// The most bytes of the device's memory that were in use, where that is known.
        #[serde(default)]
        memory: Option<u64>,
    },
}

/// What results hold for, beside the candidate: any field that differs makes them those of something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    /// Device, driver and build, but not the date.
    pub(crate) provenance: Provenance,
    /// The problem and the measurement policy.
    pub(crate) key: Key,
    /// Seed of the inputs.
    pub(crate) seed: u64,
    /// What it is searched for.
    #[serde(default, skip_serializing_if = "Purpose::is_bucket")]
    pub(crate) purpose: Purpose,
}

/// What a problem is searched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// The choice for its bucket.
    #[default]
    Bucket,
    /// One choice for every batch, among the leading ones of each.
    EveryBatch,
}

impl Purpose {
    // As serde wants it.
    #[expect(clippy::trivially_copy_pass_by_ref)]
    const fn is_bucket(&self) -> bool {
        matches!(self, Self::Bucket)
    }
}

impl Subject {
    /// What results of the problem of `key` hold for when its bucket is searched, on a device of this provenance.
    pub(crate) fn new(provenance: &Provenance, key: &Key, seed: u64) -> Self {
        let provenance = Provenance { date: String::new(), ..provenance.clone() };
        Self { provenance, key: key.clone(), seed, purpose: Purpose::Bucket }
    }
}
