//! Faults to be found: a candidate that looks fastest and then does harm, for tests of what keeps a search alive.
//!
//! The variable [`VARIABLE`] names one, as `HARM[@MOMENT]=CANDIDATE`, such as `hang@finals=cpu_attention_t64, 1 split`, with
//! `*` for all candidates.

use std::{env, str::FromStr};

use anyhow::bail;

use crate::{
    device::backend::{Backend, Spoil},
    search::{Bench, Failure},
    task::Task,
};

/// Names the fault; unset in any real use.
const VARIABLE: &str = "DUSTIN_AUTOTUNE_FAULT";

/// The candidate that stands for all.
const EVERYBODY: &str = "*";

/// The factor by which the candidate seems faster than it is, so that only the fault keeps it from winning.
const FLATTERY: f64 = 0.01;

/// Turns of timing before the finals.
const SCREENING_TURNS: u32 = 2;

/// What a candidate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// None: it only looks fastest.
    None,
    /// It accesses memory that is nobody's.
    IllegalAccess,
    /// It runs on and on; it ends by itself after 30 s, so that nothing hangs for ever where it is not stopped.
    Hang,
    /// It gives wrong results.
    Wrong,
    /// It asks for more memory than there is.
    OutOfMemory,
    /// It gives NaN.
    Nan,
    /// It takes the driver's context with it, and on a CPU the process.
    Crash,
}

/// When it does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Check,
    Time,
    Finals,
}

/// A fault of one candidate, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    harm: Harm,
    moment: Moment,
    candidate: String,
}

impl Fault {
    /// The fault that is asked for, if any is.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn asked() -> anyhow::Result<Option<Self>> {
        env::var(VARIABLE).ok().map(|text| text.parse()).transpose()
    }

    /// The fault aimed at its candidate; nothing if the task has no such candidate.
    pub(super) fn aim(self, task: &Task) -> Option<Aimed> {
        let Self { harm, moment, candidate } = self;
        let candidate = match candidate.as_str() {
            EVERYBODY => None,
            name => Some(task.points.iter().position(|point| point.to_string() == name)?),
        };
        Some(Aimed { harm, moment, candidate, turns: 0 })
    }
}

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((what, candidate)) = text.split_once('=') else {
            bail!("{VARIABLE} is {text:?}, without a =")
        };
        let (harm, moment) = what.split_once('@').unwrap_or((what, "check"));
        let harm = match harm {
            "none" => Harm::None,
            "illegal-access" => Harm::IllegalAccess,
            "hang" => Harm::Hang,
            "wrong" => Harm::Wrong,
            "out-of-memory" => Harm::OutOfMemory,
            "nan" => Harm::Nan,
            "crash" => Harm::Crash,
            _ => bail!("{VARIABLE} has the unknown fault {harm:?}"),
        };
        let moment = match moment {
            "check" => Moment::Check,
            "time" => Moment::Time,
            "finals" => Moment::Finals,
            _ => bail!("{VARIABLE} has the unknown moment {moment:?}"),
        };
        Ok(Self { harm, moment, candidate: candidate.into() })
    }
}

/// A fault of one candidate of a task.
#[derive(Clone, Debug)]
pub(super) struct Aimed {
    harm: Harm,
    moment: Moment,
    /// Its position; nothing if all do it.
    candidate: Option<usize>,
    /// Turns of timing so far.
    turns: u32,
}

impl Aimed {
    /// What happens to the candidate's results when it is checked.
    pub(super) fn spoil(&self) -> Option<Spoil> {
        // A float of which every bit is set is NaN; one with every other byte bit set is a tiny number.
        let byte = match (self.moment, self.harm) {
            (Moment::Check, Harm::Wrong) => 0x11,
            (Moment::Check, Harm::Nan) => 0xff,
            _ => return None,
        };
        Some(Spoil { candidate: self.candidate?, byte })
    }

    /// Whether `candidate` is one that does it.
    fn is_of(&self, candidate: usize) -> bool {
        self.candidate.is_none_or(|aimed| aimed == candidate)
    }

    /// Whether the harm is due, before the candidate is timed.
    fn is_due(&self) -> bool {
        match self.moment {
            Moment::Check => false,
            Moment::Time => true,
            Moment::Finals => self.turns >= SCREENING_TURNS,
        }
    }
}

/// A bench with a fault.
pub(super) struct Faulty<'a> {
    bench: Box<dyn Bench + 'a>,
    fault: Aimed,
    backend: &'a dyn Backend,
}

impl<'a> Faulty<'a> {
    pub(super) fn new(bench: Box<dyn Bench + 'a>, fault: Aimed, backend: &'a dyn Backend) -> Self {
        Self { bench, fault, backend }
    }
}

impl Bench for Faulty<'_> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        let harm = self.fault.harm;
        let due = self.fault.is_of(candidate) && self.fault.moment == Moment::Check;
        if due && !matches!(harm, Harm::Wrong | Harm::Nan) {
            self.backend.suffer(harm)?;
        }
        self.bench.check(candidate)
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        if !self.fault.is_of(candidate) {
            return self.bench.time(candidate, repetitions);
        }
        if self.fault.is_due() {
            match self.fault.harm {
                Harm::Nan => return Ok(vec![f64::NAN; repetitions as usize]),
                Harm::Wrong => return Ok(vec![-1.0; repetitions as usize]),
                harm => self.backend.suffer(harm)?,
            }
        }
        self.fault.turns += 1;
        let mut times = self.bench.time(candidate, repetitions)?;
        times.iter_mut().for_each(|time| *time *= FLATTERY);
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_spelt_as_harm_moment_and_candidate() {
        let fault: Fault = "hang@finals=a, 1 split".parse().unwrap();
        let candidate = "a, 1 split".into();
        assert_eq!(fault, Fault { harm: Harm::Hang, moment: Moment::Finals, candidate });
        assert_eq!("nan=a".parse::<Fault>().unwrap().moment, Moment::Check);
        for bad in ["nan", "sleep=a", "nan@noon=a"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
