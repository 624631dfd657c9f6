//! Many searches of many spaces, summed up.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use serde::Serialize;

use super::{
    Measuring, Recording,
    run::{Reading, run},
};
use crate::search::MethodKind;

/// A series of searches.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// How points are chosen.
    pub(crate) method: MethodKind,
    /// How often each is launched.
    pub(crate) measuring: Measuring,
    /// The numbers of trials after which the choice is scored, ascending.
    pub(crate) trials: Vec<usize>,
    /// Searches of each space.
    pub(crate) repetitions: u32,
    /// What the seeds of the searches are drawn from.
    pub(crate) seed: u64,
}

/// The fraction of the optimum that was reached, over all spaces.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Score {
    /// Mean of the spaces' means.
    pub(crate) mean: f64,
    /// Least of the spaces' means.
    pub(crate) worst: f64,
}

/// What a series amounts to, by the number of trials.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Over all spaces.
    pub(crate) trials: BTreeMap<usize, Score>,
    /// The mean fraction of each space.
    pub(crate) spaces: BTreeMap<String, BTreeMap<usize, f64>>,
    /// Launches of a search, on average.
    pub(crate) launches: BTreeMap<usize, f64>,
    /// Time of a search's launches, on average: what a device would be busy for.
    pub(crate) simulated_seconds: BTreeMap<usize, f64>,
}

impl Series {
    /// Runs the series on every recording, calling `done` after each search. The sums depend on the seed alone, not on
    /// the order in which searches end.
    pub(crate) fn run(&self, recordings: &[Recording], done: &(dyn Fn() + Sync)) -> Summary {
        let spaces =
            recordings.iter().map(|recording| (recording.name.clone(), self.average(recording, done)));
        Summary::of(&self.trials, spaces.collect())
    }

    /// The mean reading for each number of trials.
    fn average(&self, recording: &Recording, done: &(dyn Fn() + Sync)) -> Vec<Reading> {
        let mut rng = Pcg64Mcg::seed_from_u64(self.seed);
        let seeds: Vec<u64> = (0..self.repetitions).map(|_| rng.random()).collect();
        let search = |seed: u64| {
            let readings = run(recording, self.method, self.measuring, &self.trials, seed);
            done();
            readings
        };
        let searches: Vec<Vec<Reading>> = seeds.into_par_iter().map(search).collect();
        let level = |level: usize| mean(searches.iter().map(|readings| readings[level]));
        (0..self.trials.len()).map(level).collect()
    }
}

impl Summary {
    /// Launches with which the mean fraction is at least `mean`, between two numbers of trials as if it grew evenly;
    /// nothing if it never is.
    pub(crate) fn launches_to_reach(&self, mean: f64) -> Option<f64> {
        let mut before: Option<(f64, f64)> = None;
        for (score, &launches) in self.trials.values().zip(self.launches.values()) {
            if score.mean >= mean {
                let Some((low, fewer)) = before else { return Some(launches) };
                return Some(fewer + (launches - fewer) * (mean - low) / (score.mean - low));
            }
            before = Some((score.mean, launches));
        }
        None
    }

    fn of(trials: &[usize], spaces: Vec<(String, Vec<Reading>)>) -> Self {
        let over_spaces =
            |level: usize| spaces.iter().map(move |(_, readings)| readings[level]).collect::<Vec<_>>();
        let by_level = |figure: &dyn Fn(Vec<Reading>) -> f64| -> BTreeMap<usize, f64> {
            trials.iter().enumerate().map(|(level, &trials)| (trials, figure(over_spaces(level)))).collect()
        };
        let score = |readings: Vec<Reading>| Score {
            worst: readings.iter().map(|reading| reading.fraction).fold(f64::INFINITY, f64::min),
            mean: mean(readings.into_iter()).fraction,
        };
        Self {
            trials: (trials.iter().enumerate())
                .map(|(level, &trials)| (trials, score(over_spaces(level))))
                .collect(),
            launches: by_level(&|readings| mean(readings.into_iter()).launches),
            simulated_seconds: by_level(&|readings| mean(readings.into_iter()).seconds),
            spaces: (spaces.iter())
                .map(|(name, readings)| {
                    let fractions = readings.iter().map(|reading| reading.fraction);
                    (name.clone(), trials.iter().copied().zip(fractions).collect())
                })
                .collect(),
        }
    }
}

fn mean(readings: impl Iterator<Item = Reading>) -> Reading {
    let (mut sum, mut count) = (Reading::default(), 0.0);
    for Reading { fraction, launches, seconds } in readings {
        sum.fraction += fraction;
        sum.launches += launches;
        sum.seconds += seconds;
        count += 1.0;
    }
    Reading { fraction: sum.fraction / count, launches: sum.launches / count, seconds: sum.seconds / count }
}
