//! Medians and what is known about them.

/// A median with the confidence interval that its samples support.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// Median, in microseconds.
    pub(crate) median: f64,
    /// Lower end of the 95 % confidence interval of the median.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Samples that stand behind it.
    pub(crate) samples: usize,
}

impl Estimate {
    /// The estimate from `samples`; nothing if there are none.
    ///
    /// The interval lies between order statistics, whose coverage follows from the binomial distribution whatever
    /// the shape of the noise. Fewer than six samples cannot reach 95 %: the interval is then their whole range.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let count = sorted.len();
        let median = middle(&sorted)?;
        let skipped = skipped(count);
        Some(Self { median, low: sorted[skipped], high: sorted[count - 1 - skipped], samples: count })
    }

    /// The estimate from times of a device that was steady, or was not: then they are no draws from one distribution, and
    /// nothing narrower than their whole range is known of the median.
    pub(crate) fn told(samples: &[f64], steady: bool) -> Option<Self> {
        let estimate = Self::of(samples)?;
        if steady {
            return Some(estimate);
        }
        let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { low, high, ..estimate })
    }
}

/// The median of `samples`; nothing if there are none.
pub(crate) fn median(samples: &[f64]) -> Option<f64> {
    middle(&sorted(samples))
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[half]),
        _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
    }
}

/// Samples outside the interval at each end: the most for which the median lies inside in 95 % of all draws.
fn skipped(count: usize) -> usize {
    // Logarithm of the probability that exactly `tail` of `count` samples fall below the median.
    let mut term = -(count as f64) * std::f64::consts::LN_2;
    let (mut below, mut tail) = (0.0, 0);
    while tail < count / 2 {
        below += term.exp();
        if below > 0.025 {
            break;
        }
        term += ((count - tail) as f64 / (tail + 1) as f64).ln();
        tail += 1;
    }
    tail.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_samples() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn the_interval_follows_the_binomial_table() {
        // Tabulated ranks of the 95 % interval: n = 5 none, 6 → [1, 6], 8 → [1, 8], 9 → [2, 8], 20 → [6, 15].
        for (count, low, high) in [(5, 1, 5), (6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15)] {
            let samples: Vec<f64> = (1..=count).rev().map(f64::from).collect();
            let estimate = Estimate::of(&samples).unwrap();
            assert_eq!((estimate.low, estimate.high), (f64::from(low), f64::from(high)), "n = {count}");
        }
    }

    #[test]
    fn of_a_device_that_was_not_steady_the_interval_is_the_whole_range() {
        let samples: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(Estimate::told(&samples, true), Estimate::of(&samples));
        let told = Estimate::told(&samples, false).unwrap();
        assert_eq!((told.low, told.median, told.high, told.samples), (1.0, 10.5, 20.0, 20));
        assert_eq!(Estimate::told(&[], false), None);
    }

    #[test]
    fn one_sample_is_its_own_interval() {
        let estimate = Estimate::of(&[7.0]).unwrap();
        assert_eq!((estimate.low, estimate.median, estimate.high), (7.0, 7.0, 7.0));
    }
}
