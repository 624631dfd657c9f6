//! Bounds of figures whose truth is known. `tests/coverage.rs` holds those of judged captures to it.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;

#[test]
fn bounds_lie_below_the_mean_and_come_closer_with_more_prompts() {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let full: Vec<f64> = (0..200).map(|_| 0.8 + 0.1 * rng.random::<f64>()).collect();
    let candidate: Vec<f64> = full.iter().map(|rate| rate * (0.9 + 0.1 * rng.random::<f64>())).collect();
    let share = |count: usize| {
        let (candidate, full) = (&candidate[..count], &full[..count]);
        let mean = candidate.iter().sum::<f64>() / full.iter().sum::<f64>();
        mean - lower_bound_of_share(candidate, full, Bound::default()).unwrap()
    };
    assert!(share(200) > 0.0 && share(200) < share(10) && share(10) < 0.03, "{} {}", share(200), share(10));
    assert_eq!(lower_bound_of_mean(&[0.5; 9], Bound::default()), Some(0.5));
    assert_eq!(lower_bound_of_mean(&[0.5], Bound::default()), None);
    assert_eq!(lower_bound_of_share(&[0.5; 3], &[0.5; 2], Bound::default()), None);
    assert_eq!(lower_bound_of_share(&[0.0; 3], &[0.0; 3], Bound::default()), None);
}

#[test]
fn an_upper_bound_is_the_lower_one_of_what_is_lost() {
    let rates: Vec<f64> = (0..12).map(|prompt| 0.9 - 0.01 * f64::from(prompt * prompt % 7)).collect();
    let lost: Vec<f64> = rates.iter().map(|rate| 1.0 - rate).collect();
    let (lower, upper) =
        (lower_bound_of_mean(&rates, Bound::default()), upper_bound_of_mean(&lost, Bound::default()));
    assert!((1.0 - upper.unwrap() - lower.unwrap()).abs() < 1e-9);
    // As the Python package's divergences have it, from other draws.
    assert!((lower.unwrap() - 0.8729).abs() < 5e-4, "{lower:?}");
}

#[test]
fn a_prompt_that_differs_from_all_others_is_not_left_out() {
    let mut rates = [1.0; 8];
    rates[3] = 0.9;
    assert_eq!(lower_bound_of_mean(&rates, Bound::default()), Some(0.9));
    assert_eq!(lower_bound_of_mean(&[0.9, 0.8], Bound::default()), Some(0.8));
}

/// How often the bound lies below the mean.
fn coverage(prompts: usize, mean: f64, mut rate: impl FnMut(&mut Pcg64Mcg) -> f64) -> f64 {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let bound = Bound { resamples: 400, ..Bound::default() };
    let draws = 2000;
    let held = (0..draws).filter(|_| {
        let rates: Vec<f64> = (0..prompts).map(|_| rate(&mut rng)).collect();
        lower_bound_of_mean(&rates, bound).unwrap() <= mean
    });
    held.count() as f64 / f64::from(draws)
}

#[test]
fn bounds_hold_as_often_as_they_say() {
    // Less two standard errors.
    for prompts in [8, 16, 32] {
        let uniform = coverage(prompts, 0.85, |rng| 0.75 + 0.2 * rng.random::<f64>());
        assert!((0.94..0.985).contains(&uniform), "{prompts} {uniform}");
    }
    // Most prompts near the ceiling, and few far below it: the sum of two exponentials is taken away.
    let skewed = |rng: &mut Pcg64Mcg| {
        let mut uniform = || 1.0 - rng.random::<f64>();
        0.95 + 0.03 * (uniform() * uniform()).ln()
    };
    let skewed = coverage(32, 0.95 - 0.06, skewed);
    assert!(skewed > 0.93, "{skewed}");
}
