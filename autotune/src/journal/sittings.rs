//! What a journal knows of the problems of a run.

use std::collections::VecDeque;

use dustin::profile::Choice;

use super::record::{Record, Subject};
use crate::search::Conditions;

/// How often the system may end while a candidate begins before that is held against it.
const ENDINGS: usize = 3;

/// The problems of a run, in the order in which they were prepared.
#[derive(Debug, Default)]
pub(super) struct Sittings(VecDeque<(Subject, Sitting)>);

/// What is known of one problem.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sitting {
    /// Its number in the file.
    pub(super) number: u32,
    /// The nearest choice that the profile held when it began.
    pub(crate) near: Option<Choice>,
    /// What came of each candidate, in order.
    pub(super) known: Vec<(Choice, VecDeque<Event>)>,
    /// What the device was like, in order.
    pub(super) conditions: VecDeque<Conditions>,
    /// The most bytes of the device's memory that were in use, where that is known.
    pub(crate) memory: Option<u64>,
}

/// What came of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// It was about to run in one of the runs, by its number, and nothing came of it.
    Started(usize),
    /// It was right.
    Checked(Option<f64>),
    /// It was timed.
    Timed(Vec<Option<f64>>),
    /// It was right as it is timed.
    Confirmed,
    /// It cannot serve.
    Failed(String),
}

impl Sittings {
    /// Those of the last run in `records`, and of the runs that it resumed. `now` tells the time since the system was started from
    /// all others.
    pub(super) fn of_the_last_run(records: Vec<Record>, now: Option<&str>) -> Self {
        let begins = |record: &Record| matches!(record, Record::Run { resumed: false, .. });
        let first = records.iter().rposition(begins).unwrap_or(0);
        let (mut sittings, mut boots) = (Self::default(), Vec::new());
        for record in records.into_iter().skip(first) {
            match record {
                Record::Run { boot, .. } => boots.push(boot),
                record => sittings.add(record, boots.len().saturating_sub(1)),
            }
        }
        boots.push(now.map(ToOwned::to_owned));
        // Whoever ended a run in any other way had it in hand: the command outlives what a candidate does to its worker.
        let system_ended = |run: usize| matches!(&boots[run..], [Some(then), Some(next), ..] if then != next);
        for (_, sitting) in &mut sittings.0 {
            sitting.known.iter_mut().for_each(|(_, events)| settle(events, system_ended));
        }
        sittings
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one left for `subject`.
    pub(super) fn knows(&self, subject: &Subject) -> bool {
        self.0.iter().any(|(known, _)| known == subject)
    }

    /// The first one left for `subject`.
    pub(super) fn take(&mut self, subject: &Subject) -> Option<Sitting> {
        let place = self.0.iter().position(|(known, _)| known == subject)?;
        self.0.remove(place).map(|(_, sitting)| sitting)
    }

    fn numbered(&mut self, problem: u32) -> Option<&mut Sitting> {
        self.0.iter_mut().map(|(_, sitting)| sitting).find(|sitting| sitting.number == problem)
    }

    /// Adds a record of the run of that number.
    fn add(&mut self, record: Record, run: usize) {
        let (problem, candidate, event) = match record {
            Record::Problem { number, subject, near } => {
                self.0.push_back((*subject, Sitting::new(number, near)));
                return;
            }
            Record::Started { problem, candidate } => (problem, candidate, Event::Started(run)),
            Record::Checked { problem, candidate, us } => (problem, candidate, Event::Checked(us)),
            Record::Timed { problem, candidate, us } => (problem, candidate, Event::Timed(us)),
            Record::Confirmed { problem, candidate } => (problem, candidate, Event::Confirmed),
            Record::Failed { problem, candidate, reason } => (problem, candidate, Event::Failed(reason)),
            Record::Conditions { problem, now } => {
                if let Some(sitting) = self.numbered(problem) {
                    sitting.conditions.push_back(now);
                }
                return;
            }
            Record::Chosen { problem, memory, .. } => {
                if let Some(sitting) = self.numbered(problem) {
                    sitting.memory = sitting.memory.max(memory);
                }
                return;
            }
            Record::Run { .. } => return,
        };
        // A number that is none of the run's belongs to a problem whose record could not be read.
        let Some(sitting) = self.numbered(problem) else { return };
        match sitting.known.iter_mut().find(|(known, _)| *known == candidate) {
            Some((_, events)) => events.push_back(event),
            None => sitting.known.push((candidate, [event].into())),
        }
    }
}

impl Sitting {
    /// Nothing is known.
    pub(super) fn new(number: u32, near: Option<Choice>) -> Self {
        Self { number, near, known: Vec::new(), conditions: VecDeque::new(), memory: None }
    }
}

/// Leaves of what came of a candidate what counts: beginnings are behind, unless nothing else ever came of them and
/// `system_ended` in the runs that they are of.
fn settle(events: &mut VecDeque<Event>, system_ended: impl Fn(usize) -> bool) {
    let ended = |event: &&Event| matches!(event, Event::Started(run) if system_ended(*run));
    let ended = events.iter().filter(ended).count();
    events.retain(|event| !matches!(event, Event::Started(_)));
    if events.is_empty() && ended >= ENDINGS {
        let reason = format!("quarantined: the whole system ended {ended} times while it ran");
        events.push_back(Event::Failed(reason));
    }
}

impl Record {
    /// The number that a problem is given.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Problem { number, .. } => Some(*number),
            _ => None,
        }
    }
}
