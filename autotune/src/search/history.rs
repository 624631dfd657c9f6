//! What a search has learnt: the points it tried, in order, and what came of each.

use rand::{Rng, RngExt};

/// One point that was tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trial {
    /// The point.
    pub(crate) point: usize,
    /// Its time; nothing if it failed.
    pub(crate) time: Option<f64>,
}

/// The trials so far, and the points that are left.
#[derive(Clone, Debug)]
pub(crate) struct History {
    trials: Vec<Trial>,
    untried: Vec<usize>,
    /// Where a point stands in `untried`; nothing once it was tried.
    places: Vec<Option<usize>>,
}

impl History {
    /// Of a space with `points` points, none of which was tried.
    pub(crate) fn new(points: usize) -> Self {
        Self { trials: Vec::new(), untried: (0..points).collect(), places: (0..points).map(Some).collect() }
    }

    /// Adds a trial. A point is tried once: of a second result nothing is kept.
    pub(crate) fn tell(&mut self, point: usize, time: Option<f64>) {
        let Some(place) = self.places[point].take() else { return };
        self.untried.swap_remove(place);
        if let Some(&moved) = self.untried.get(place) {
            self.places[moved] = Some(place);
        }
        let time = time.filter(|time| time.is_finite() && *time > 0.0);
        self.trials.push(Trial { point, time });
    }

    /// Every trial, the oldest first.
    pub(crate) fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Whether `point` was tried.
    pub(crate) fn tried(&self, point: usize) -> bool {
        self.places[point].is_none()
    }

    /// The points that are left, in no order.
    pub(crate) fn untried(&self) -> &[usize] {
        &self.untried
    }

    /// A point that was not tried, each as likely as another; nothing once all were.
    pub(crate) fn any_untried(&self, rng: &mut impl Rng) -> Option<usize> {
        match self.untried.len() {
            0 => None,
            left => Some(self.untried[rng.random_range(0..left)]),
        }
    }

    /// The points that ran, with their times, the fastest first.
    pub(crate) fn ranked(&self) -> Vec<(usize, f64)> {
        let mut ran: Vec<(usize, f64)> =
            self.trials.iter().filter_map(|trial| Some((trial.point, trial.time?))).collect();
        ran.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        ran
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64Mcg;

    use super::*;

    #[test]
    fn every_point_is_drawn_once() {
        let mut history = History::new(20);
        let mut rng = Pcg64Mcg::seed_from_u64(1);
        while let Some(point) = history.any_untried(&mut rng) {
            assert!(!history.tried(point));
            history.tell(point, Some(1.0));
        }
        let mut points: Vec<usize> = history.trials().iter().map(|trial| trial.point).collect();
        points.sort_unstable();
        assert_eq!(points, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn failures_and_times_that_are_no_numbers_are_not_ranked() {
        let mut history = History::new(4);
        for (point, time) in [(0, Some(3.0)), (1, None), (2, Some(f64::NAN)), (3, Some(2.0))] {
            history.tell(point, time);
        }
        assert_eq!(history.ranked(), [(3, 2.0), (0, 3.0)]);
        assert_eq!(history.trials()[2].time, None);
    }

    #[test]
    fn of_a_second_result_for_a_point_nothing_is_kept() {
        let mut history = History::new(2);
        history.tell(1, Some(3.0));
        history.tell(1, Some(1.0));
        assert_eq!(history.trials(), [Trial { point: 1, time: Some(3.0) }]);
        assert_eq!(history.untried(), [0]);
    }
}
