//! One search of a recorded space.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::Recording;
use crate::search::{Course, Entrant, History, MethodKind, Race, median};

/// How often a point is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measuring {
    /// Once, and more often only where that may matter for the choice.
    Racing,
    /// Every point equally often.
    Uniform(usize),
}

impl Measuring {
    /// Launches of a point when it is tried.
    fn launches(self) -> usize {
        match self {
            Self::Racing => 1,
            Self::Uniform(launches) => launches,
        }
    }
}

/// What a search amounts to, were it to end after some number of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Least median on record, divided by that of the choice; 0 if every trial failed.
    pub(crate) fraction: f64,
    /// Launches, failed ones included.
    pub(crate) launches: f64,
    /// Sum of the times drawn, in seconds.
    pub(crate) seconds: f64,
}

/// Searches `recording`, and says for each of `levels`, ascending numbers of trials, what the search amounts to by then.
///
/// The run of many trials begins as that of few, and the race that ends a run has no part in what follows. A space that
/// has fewer points than `levels` asks for is searched wholly.
pub(crate) fn run(
    recording: &Recording,
    method: MethodKind,
    measuring: Measuring,
    levels: &[usize],
    seed: u64,
) -> Vec<Reading> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut course = Course::new(&recording.space, method, rng.random());
    let mut stopwatch = Stopwatch { recording, rng, launches: 0, milliseconds: 0.0 };
    let mut history = History::new(recording.space.len());
    let mut entrants: Vec<Entrant> = Vec::new();
    let mut readings = Vec::with_capacity(levels.len());
    for &level in levels {
        while history.trials().len() < level
            && let Some(point) = course.next(&history)
        {
            let times = stopwatch.time(point, measuring.launches());
            let time = median(&times);
            history.tell(point, time);
            if time.is_some() {
                entrants.push(Entrant { candidate: point, times });
            }
        }
        readings.push(stopwatch.clone().reading(&entrants, measuring));
    }
    readings
}

/// Draws times from the record.
#[derive(Clone)]
struct Stopwatch<'a> {
    recording: &'a Recording,
    rng: Pcg64Mcg,
    launches: usize,
    milliseconds: f64,
}

impl Stopwatch<'_> {
    /// So many of the point's times, any of them, with replacement; none if it failed, which costs one launch.
    fn time(&mut self, point: usize, launches: usize) -> Vec<f64> {
        let samples = &self.recording.samples[point];
        if samples.is_empty() {
            self.launches += 1;
            return Vec::new();
        }
        let times: Vec<f64> =
            (0..launches).map(|_| samples[self.rng.random_range(0..samples.len())]).collect();
        self.launches += launches;
        self.milliseconds += times.iter().sum::<f64>();
        times
    }

    /// Chooses among `entrants`, and what that amounts to.
    fn reading(mut self, entrants: &[Entrant], measuring: Measuring) -> Reading {
        let race = match measuring {
            Measuring::Racing => Race::REPLAY,
            Measuring::Uniform(_) => Race { entrants: 1, ..Race::REPLAY },
        };
        let finish = race.run(entrants.to_vec(), &mut |points| {
            Some(points.iter().map(|&point| self.time(point, 1).pop()).collect())
        });
        let median = finish.ahead.first().and_then(|winner| self.recording.medians[winner.candidate]);
        Reading {
            fraction: median.map_or(0.0, |median| self.recording.optimum / median),
            launches: self.launches as f64,
            seconds: self.milliseconds / 1e3,
        }
    }
}
