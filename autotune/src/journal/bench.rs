//! A bench that remembers: what the journal knows is not measured again, and what is measured is written before the search
//! goes on.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, VecDeque},
};

use dustin::profile::Choice;

use super::{
    Journal, Record,
    sittings::{Event, Sitting},
};
use crate::{
    search::{Bench, Conditions, Failure, believed},
    task::Point,
};

/// A bench and its sitting in the journal. It is prepared when something has to be measured, and not before.
pub(crate) struct Journaled<'a, B, P> {
    prepare: P,
    bench: Option<B>,
    journal: &'a RefCell<Journal>,
    points: &'a [Point],
    problem: u32,
    /// What is known of candidates and has not been asked for yet.
    known: HashMap<usize, VecDeque<Event>>,
    /// The same of the device.
    conditions: VecDeque<Conditions>,
    /// Variants of which a candidate was right.
    proven: HashSet<&'a str>,
}

impl<'a, B, P: FnMut() -> Result<B, Failure>> Journaled<'a, B, P> {
    /// The bench that `prepare` gives, for the candidates `points`, going on with `sitting`.
    pub(crate) fn new(
        journal: &'a RefCell<Journal>,
        sitting: Sitting,
        points: &'a [Point],
        prepare: P,
    ) -> Self {
        let place = |choice: &Choice| points.iter().position(|point| point.choice == *choice);
        let (known, conditions) = (sitting.known.into_iter(), sitting.conditions);
        let known = known.filter_map(|(choice, events)| Some((place(&choice)?, events))).collect();
        let proven = HashSet::new();
        Self { prepare, bench: None, journal, points, problem: sitting.number, known, conditions, proven }
    }

    /// Says what was chosen, after how many seconds and with how many bytes of the device's memory at the most.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn choose(
        &self,
        candidate: usize,
        us: f64,
        seconds: f64,
        memory: Option<u64>,
    ) -> Result<(), Failure> {
        let candidate = self.choice(candidate);
        self.note(&Record::Chosen { problem: self.problem, candidate, us, seconds, memory })
    }

    /// What came next of `candidate`, if it is known, and fits the question.
    fn recall(&mut self, candidate: usize, fits: impl Fn(&Event) -> bool) -> Option<Event> {
        let events = self.known.get_mut(&candidate)?;
        let event = events.pop_front()?;
        if fits(&event) || matches!(event, Event::Failed(_)) {
            return Some(event);
        }
        // The search asks other questions than it did: what follows are answers to those.
        events.clear();
        None
    }

    /// The bench, for something that was not measured before. What the device was like behind that then, it may not be now.
    fn bench(&mut self) -> Result<&mut B, Failure> {
        self.conditions.clear();
        let bench = match self.bench.take() {
            Some(bench) => bench,
            None => (self.prepare)()?,
        };
        Ok(self.bench.insert(bench))
    }

    fn choice(&self, candidate: usize) -> Choice {
        self.points[candidate].choice.clone()
    }

    fn note(&self, record: &Record) -> Result<(), Failure> {
        self.journal.borrow_mut().append(record).map_err(|error| Failure::Device(error.to_string()))
    }

    /// Notes that a candidate is about to run for the first time. Before a variant's code has shown what it does, it waits until
    /// that is on the disk: such code may take the whole system with it.
    fn note_beginning(&self, candidate: usize) -> Result<(), Failure> {
        let record = Record::Started { problem: self.problem, candidate: self.choice(candidate) };
        if self.proven.contains(self.variant(candidate)) {
            return self.note(&record);
        }
        let noted = self.journal.borrow_mut().append_durably(&record);
        noted.map_err(|error| Failure::Device(error.to_string()))
    }

    fn variant(&self, candidate: usize) -> &'a str {
        &self.points[candidate].choice.variant
    }

    /// Notes why a candidate failed. What ended the search says nothing of it.
    fn note_failure(&self, candidate: usize, failure: Failure) -> Failure {
        let Failure::Candidate(reason) = &failure else { return failure };
        let (problem, candidate, reason) = (self.problem, self.choice(candidate), reason.clone());
        match self.note(&Record::Failed { problem, candidate, reason }) {
            Ok(()) => failure,
            Err(unwritable) => unwritable,
        }
    }
}

impl<B: Bench, P: FnMut() -> Result<B, Failure>> Bench for Journaled<'_, B, P> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        match self.recall(candidate, |event| matches!(event, Event::Checked(_))) {
            Some(Event::Checked(us)) => {
                self.proven.insert(self.variant(candidate));
                return Ok(us);
            }
            Some(Event::Failed(reason)) => return Err(Failure::Candidate(reason)),
            _ => {}
        }
        // Preparing is no candidate's doing.
        self.bench()?;
        self.note_beginning(candidate)?;
        match self.bench()?.check(candidate) {
            Ok(us) => {
                self.proven.insert(self.variant(candidate));
                self.note(&Record::Checked { problem: self.problem, candidate: self.choice(candidate), us })?;
                Ok(us)
            }
            Err(failure) => Err(self.note_failure(candidate, failure)),
        }
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let fits = |event: &Event| matches!(event, Event::Timed(us) if us.len() == repetitions as usize);
        match self.recall(candidate, fits) {
            Some(Event::Timed(us)) => return Ok(us.iter().map(|time| time.unwrap_or(f64::NAN)).collect()),
            Some(Event::Failed(reason)) => return Err(Failure::Candidate(reason)),
            _ => {}
        }
        match self.bench()?.time(candidate, repetitions).and_then(believed) {
            Ok(times) => {
                let us = times.iter().copied().map(Some).collect();
                let (problem, candidate) = (self.problem, self.choice(candidate));
                self.note(&Record::Timed { problem, candidate, us })?;
                Ok(times)
            }
            Err(failure) => Err(self.note_failure(candidate, failure)),
        }
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        match self.recall(candidate, |event| *event == Event::Confirmed) {
            Some(Event::Confirmed) => return Ok(()),
            Some(Event::Failed(reason)) => return Err(Failure::Candidate(reason)),
            _ => {}
        }
        match self.bench()?.confirm(candidate) {
            Ok(()) => {
                let (problem, candidate) = (self.problem, self.choice(candidate));
                self.note(&Record::Confirmed { problem, candidate })
            }
            Err(failure) => Err(self.note_failure(candidate, failure)),
        }
    }

    fn conditions(&mut self) -> Option<Conditions> {
        if let Some(known) = self.conditions.pop_front() {
            return Some(known);
        }
        // Where nothing has to be measured, nobody has to be asked.
        let now = self.bench.as_mut()?.conditions()?;
        // A journal that cannot be written says so when the next time is noted.
        let _ = self.note(&Record::Conditions { problem: self.problem, now: now.clone() });
        Some(now)
    }
}
