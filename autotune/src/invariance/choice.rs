//! The schedule whose worst loss against each batch's own best is least.

use crate::search::Field;

/// Schedules of the least worst loss that are timed once more, side by side.
const COMMON: usize = 12;

/// The fastest schedules of each batch that are timed in the others, too.
const LEADERS: usize = 4;

/// The most schedules that are timed once more, of so many batches.
pub(crate) const fn most(batches: usize) -> usize {
    1 + COMMON + LEADERS * batches
}

/// Losses that differ by no more than this cannot be told apart.
const BAND: f64 = 0.02;

/// What was measured of one batch, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    /// The least time of any candidate.
    pub(crate) best: f64,
    /// The time of each schedule, where it was measured.
    pub(crate) times: Vec<Option<f64>>,
}

/// The schedules worth timing side by side: the default, those of the least worst loss, and, as a search that only samples its
/// space may have measured few in common, the fastest of each batch.
pub(crate) fn shortlist(default: usize, batches: &[Batch]) -> Vec<usize> {
    let fastest = |batch: &Batch| {
        let times = batch.times.iter().enumerate();
        least(times.filter_map(|(schedule, time)| Some((schedule, (*time)?))), LEADERS)
    };
    let mut list = vec![default];
    list.extend(least(losses(batches), COMMON));
    list.extend(batches.iter().flat_map(fastest));
    list.sort_unstable();
    list.dedup();
    list
}

/// The schedules that cannot be told from the one whose worst loss is least, the choice first; nothing if none was measured in
/// all batches.
///
/// Among them the default wins, then the fewest resources, then the id.
pub(crate) fn choose(field: Field<'_>, batches: &[Batch]) -> Vec<usize> {
    let losses: Vec<(usize, f64)> = losses(batches).collect();
    let least = losses.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    let tied = losses.into_iter().filter(|(_, loss)| *loss <= least * (1.0 + BAND));
    let mut tied: Vec<usize> = tied.map(|(schedule, _)| schedule).collect();
    let Field { candidates, default } = field;
    tied.sort_by_key(|&schedule| {
        (schedule != default, candidates[schedule].resources, candidates[schedule].id.as_str())
    });
    tied
}

/// The schedules that were measured in all batches, and how much slower than its best the worst of these is with it: a
/// factor, 1 at the least.
fn losses(batches: &[Batch]) -> impl Iterator<Item = (usize, f64)> {
    let schedules = batches.iter().map(|batch| batch.times.len()).min().unwrap_or(0);
    (0..schedules).filter_map(|schedule| {
        let worst = |worst: f64, batch: &Batch| Some(worst.max(batch.times[schedule]? / batch.best));
        Some((schedule, batches.iter().try_fold(1.0, worst)?))
    })
}

/// The `count` schedules with the least value.
fn least(values: impl Iterator<Item = (usize, f64)>, count: usize) -> Vec<usize> {
    let mut values: Vec<(usize, f64)> = values.collect();
    values.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    values.truncate(count);
    values.into_iter().map(|(schedule, _)| schedule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Candidate, Resources};

    fn batch(times: &[f64]) -> Batch {
        let measured = |&time: &f64| (time > 0.0).then_some(time);
        let times: Vec<Option<f64>> = times.iter().map(measured).collect();
        let best = times.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        Batch { best, times }
    }

    /// The choice among schedules of rising ids and falling numbers of threads, the first being the default.
    fn chosen(batches: &[Batch]) -> Vec<usize> {
        let candidate = |index: usize| Candidate {
            id: format!("c{index}"),
            resources: Resources { threads: 100 - index as u64, ..Resources::default() },
        };
        let candidates: Vec<Candidate> = (0..9).map(candidate).collect();
        choose(Field { candidates: &candidates, default: 0 }, batches)
    }

    #[test]
    fn the_choice_is_nobodys_best_if_it_is_nobodys_worst() {
        let batches = [batch(&[40.0, 10.0, 20.0, 12.0]), batch(&[400.0, 200.0, 100.0, 115.0])];
        assert_eq!(chosen(&batches), [3]);
    }

    #[test]
    fn what_was_not_measured_in_all_batches_cannot_be_chosen() {
        let batches = [batch(&[40.0, 10.0, 20.0]), batch(&[400.0, 0.0, 100.0])];
        assert_eq!(chosen(&batches), [2]);
        assert!(chosen(&[batch(&[0.0, 10.0]), batch(&[10.0, 0.0])]).is_empty());
        assert!(chosen(&[]).is_empty());
    }

    #[test]
    fn among_losses_that_cannot_be_told_apart_the_default_wins_then_fewer_resources() {
        let batches = [batch(&[10.1, 10.0, 10.15]), batch(&[101.0, 101.0, 100.0])];
        assert_eq!(chosen(&batches), [0, 2, 1]);
        let batches = [batch(&[11.0, 10.0, 10.15]), batch(&[101.0, 101.0, 100.0])];
        assert_eq!(chosen(&batches), [2, 1]);
    }

    #[test]
    fn a_batchs_best_counts_even_where_it_is_none_of_the_schedules() {
        let slow = Batch { best: 5.0, times: vec![Some(10.0), Some(20.0)] };
        assert_eq!(chosen(&[slow, batch(&[19.0, 10.0])]), [0]);
    }

    #[test]
    fn the_shortlist_has_the_default_the_least_losses_and_every_batchs_fastest() {
        // The first batch was measured everywhere, the second at a few places alone.
        let first: Vec<f64> = (0..100).map(|schedule| f64::from(100 + schedule)).collect();
        let mut second = vec![0.0; 100];
        for (schedule, time) in [(80, 10.0), (81, 11.0), (82, 12.0), (83, 13.0), (84, 50.0)] {
            second[schedule] = time;
        }
        let batches = [batch(&first), batch(&second)];
        assert_eq!(shortlist(99, &batches), [0, 1, 2, 3, 80, 81, 82, 83, 84, 99]);
        let alike = [batch(&first), batch(&first)];
        assert_eq!(shortlist(99, &alike).len(), 1 + COMMON);
        assert!(shortlist(99, &batches).len() <= most(2));
    }
}
