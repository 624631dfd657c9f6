//! An oracle that knows every candidate's time, in the place of a device.

use std::{cell::Cell, rc::Rc, time::Duration};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::search::*;

/// A device that answers from a table; each repetition advances a clock that the test shares.
pub(super) struct Oracle {
    pub(super) candidates: Vec<Candidate>,
    pub(super) times: Vec<f64>,
    pub(super) wrong: Vec<usize>,
    /// Right alone, but not as they are timed.
    pub(super) wrong_as_timed: Vec<usize>,
    pub(super) broken: Vec<usize>,
    /// A candidate that no longer launches once it has been timed so often.
    pub(super) wears_out: Option<(usize, usize)>,
    pub(super) lost_after: Option<usize>,
    pub(super) noise: f64,
    /// What a check's run takes longer than others; nothing if it is not timed.
    pub(super) start_us: Option<f64>,
    /// The time of a candidate while it is alone, and what is added once the finals begin.
    pub(super) flattery: Vec<f64>,
    pub(super) checked: Vec<usize>,
    pub(super) timed: Vec<usize>,
    pub(super) confirmed: Vec<usize>,
    /// The clock, each time it is asked for: the last one stays.
    pub(super) clocks_mhz: Vec<u32>,
    pub(super) rng: Pcg64Mcg,
    pub(super) method: MethodKind,
    pub(super) seed: u64,
    pub(super) near: Option<usize>,
    pub(super) trials: Option<usize>,
    pub(super) clock: Rc<Cell<Duration>>,
}

impl Oracle {
    pub(super) fn new(times: &[f64]) -> Self {
        let candidate = |index: usize| Candidate {
            id: format!("c{index:03}"),
            resources: Resources { threads: 128 + index as u64, ..Resources::default() },
        };
        Self {
            candidates: (0..times.len()).map(candidate).collect(),
            times: times.to_vec(),
            wrong: Vec::new(),
            wrong_as_timed: Vec::new(),
            broken: Vec::new(),
            wears_out: None,
            lost_after: None,
            noise: 0.0,
            start_us: None,
            flattery: vec![0.0; times.len()],
            checked: Vec::new(),
            timed: Vec::new(),
            confirmed: Vec::new(),
            clocks_mhz: Vec::new(),
            rng: Pcg64Mcg::seed_from_u64(5),
            method: MethodKind::Random,
            seed: 1,
            near: None,
            trials: None,
            clock: Rc::new(Cell::new(Duration::ZERO)),
        }
    }

    pub(super) fn search(
        &mut self,
        settings: &Settings,
        watcher: &mut Watcher,
    ) -> Result<Outcome, SearchError> {
        watcher.clock = Rc::clone(&self.clock);
        let candidates = self.candidates.clone();
        let points: Vec<Vec<Value>> =
            (0..self.times.len()).map(|index| vec![Value::Number(index as f64)]).collect();
        let space = Space::new(&points);
        let mut course = Course::new(&space, self.method, self.seed).from(self.near);
        if let Some(trials) = self.trials {
            course = course.at_most(trials);
        }
        search(Field { candidates: &candidates, default: 0 }, course, self, settings, watcher)
    }
}

impl Bench for Oracle {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        self.checked.push(candidate);
        if self.wrong.contains(&candidate) {
            return Err(Failure::Candidate("output differs from the reference at row 3".into()));
        }
        Ok(self.start_us.map(|start| start + self.times[candidate]))
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        assert!(self.checked.contains(&candidate), "candidate {candidate} was timed before it was checked");
        if self.lost_after.is_some_and(|limit| self.timed.len() >= limit) {
            return Err(Failure::Device("the driver reports an illegal address".into()));
        }
        if self.broken.contains(&candidate) {
            return Err(Failure::Candidate("too many resources requested".into()));
        }
        let turns = self.timed.iter().filter(|&&timed| timed == candidate).count();
        if self.wears_out.is_some_and(|(worn, limit)| worn == candidate && turns >= limit) {
            return Err(Failure::Candidate("it no longer launches".into()));
        }
        let flattered = turns >= 2;
        self.timed.push(candidate);
        let time = self.times[candidate] + if flattered { self.flattery[candidate] } else { 0.0 };
        let times = (0..repetitions).map(|_| {
            let noise = (self.rng.random::<f64>() - 0.5) * 2.0 * self.noise;
            let step = Duration::try_from_secs_f64(time * 1e-6).unwrap_or_default();
            self.clock.set(self.clock.get() + step);
            time + noise
        });
        Ok(times.collect())
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        assert!(self.timed.contains(&candidate), "candidate {candidate} was confirmed before it was timed");
        self.confirmed.push(candidate);
        if self.wrong_as_timed.contains(&candidate) {
            return Err(Failure::as_timed("item 5 differs".into()));
        }
        Ok(())
    }

    fn conditions(&mut self) -> Option<Conditions> {
        let sm_mhz = Some(*self.clocks_mhz.first()?);
        if self.clocks_mhz.len() > 1 {
            self.clocks_mhz.remove(0);
        }
        Some(Conditions { sm_mhz, ..Conditions::default() })
    }
}

#[derive(Default)]
pub(super) struct Watcher {
    pub(super) clock: Rc<Cell<Duration>>,
    pub(super) interrupt_at: Option<(Stage, usize)>,
    pub(super) interrupted: bool,
}

impl Surroundings for Watcher {
    fn elapsed(&self) -> Duration {
        self.clock.get()
    }

    fn interrupted(&self) -> bool {
        self.interrupted
    }

    fn progress(&mut self, stage: Stage, done: usize, _: usize, _: Option<f64>) {
        self.interrupted |= self.interrupt_at == Some((stage, done));
    }
}
