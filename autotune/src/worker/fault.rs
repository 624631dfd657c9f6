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

/// A time that is none.
const BAD_TIME: f64 = -1.0;

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
    /// It takes no time, or less.
    BadTime,
}

/// When it does it. Wrong results of whatever is timed, at any of the last three, are for [`Bench::confirm`] to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Check,
    Time,
    Finals,
    Confirm,
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
            "bad-time" => Harm::BadTime,
            _ => bail!("{VARIABLE} has the unknown fault {harm:?}"),
        };
        let moment = match moment {
            "check" => Moment::Check,
            "time" => Moment::Time,
            "finals" => Moment::Finals,
            "confirm" => Moment::Confirm,
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
    /// What happens to the candidate's results.
    pub(super) fn spoil(&self) -> Option<Spoil> {
        // A float of which every bit is set is NaN; one with every other byte bit set is a tiny number.
        let byte = match self.harm {
            Harm::Wrong => 0x11,
            Harm::Nan => 0xff,
            _ => return None,
        };
        Some(Spoil { candidate: self.candidate, byte, timed: self.moment != Moment::Check })
    }

    /// Whether `candidate` is one that does it.
    fn is_of(&self, candidate: usize) -> bool {
        self.candidate.is_none_or(|aimed| aimed == candidate)
    }

    /// Whether the harm is due before `candidate` is timed.
    fn is_due(&self, candidate: usize) -> bool {
        let due = match self.moment {
            Moment::Check | Moment::Confirm => false,
            Moment::Time => true,
            Moment::Finals => self.turns >= SCREENING_TURNS,
        };
        due && self.is_of(candidate)
    }

    /// Whether it is due at `moment`, which comes once.
    fn is_due_at(&self, moment: Moment, candidate: usize) -> bool {
        self.moment == moment && self.is_of(candidate)
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
        if !self.fault.is_due_at(Moment::Check, candidate) {
            return self.bench.check(candidate);
        }
        self.backend.suffer(self.fault.harm)?;
        let us = self.bench.check(candidate)?;
        Ok(if self.fault.harm == Harm::BadTime { Some(BAD_TIME) } else { us })
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        if self.fault.is_due(candidate) {
            if self.fault.harm == Harm::BadTime {
                return Ok(vec![BAD_TIME; repetitions as usize]);
            }
            self.backend.suffer(self.fault.harm)?;
        }
        let mut times = self.bench.time(candidate, repetitions)?;
        if self.fault.is_of(candidate) {
            self.fault.turns += 1;
            times.iter_mut().for_each(|time| *time *= FLATTERY);
        }
        Ok(times)
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        if self.fault.is_due_at(Moment::Confirm, candidate) {
            self.backend.suffer(self.fault.harm)?;
        }
        self.bench.confirm(candidate)
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
        let fault: Fault = "bad-time@confirm=*".parse().unwrap();
        assert_eq!((fault.harm, fault.moment), (Harm::BadTime, Moment::Confirm));
        for bad in ["nan", "sleep=a", "nan@noon=a"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_results_of_one_candidate_or_of_all_are_spoiled_at_one_moment() {
        let spoil = |harm, moment, candidate| Aimed { harm, moment, candidate, turns: 0 }.spoil();
        let hit = |spoil: Option<Spoil>| {
            let check = [3, 4].map(|candidate| Spoil::of_check(spoil, candidate).is_some());
            (check, [3, 4].map(|candidate| Spoil::of_timing(spoil, candidate).is_some()))
        };
        for harm in [Harm::Wrong, Harm::Nan] {
            let check = |candidate| hit(spoil(harm, Moment::Check, candidate));
            assert_eq!(check(Some(3)), ([true, false], [false, false]));
            assert_eq!(check(None), ([true, true], [false, false]));
            for moment in [Moment::Time, Moment::Finals, Moment::Confirm] {
                assert_eq!(hit(spoil(harm, moment, Some(4))), ([false, false], [false, true]));
                assert_eq!(hit(spoil(harm, moment, None)), ([false, false], [true, true]));
            }
        }
        assert!(spoil(Harm::Crash, Moment::Check, None).is_none());
    }
}
