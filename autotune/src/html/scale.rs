//! From numbers to places on a chart.

/// A logarithmic axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// The axis on which all of `values` have a place between `from` and `to`, with some room at both ends; nothing if
    /// there is no positive one.
    pub(super) fn of(values: impl IntoIterator<Item = f64>, (from, to): (f64, f64)) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        let room = (high / low).powf(0.06).max(1.04);
        Some(Self { low: low / room, high: high * room, from, to })
    }

    /// The place of `value`.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Both ends.
    pub(super) const fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Round numbers along it, with their places: 1, 2, 5, 10 … where it is long, equal steps where it is short.
    pub(super) fn ticks(&self) -> Vec<(f64, f64)> {
        let decade = 10_f64.powf(self.low.log10().floor());
        let steps = if self.high / self.low > 300.0 { &[1.0][..] } else { &[1.0, 2.0, 5.0] };
        let decades =
            (0..24).flat_map(|power| steps.iter().map(move |step| decade * step * 10_f64.powi(power)));
        let mut values: Vec<f64> =
            decades.skip_while(|&value| value < self.low).take_while(|&value| value <= self.high).collect();
        if values.len() < 3 {
            let step = round((self.high - self.low) / 5.0);
            let first = (self.low / step).ceil();
            values = (0..7)
                .map(|index| (first + f64::from(index)) * step)
                .filter(|&value| value <= self.high)
                .collect();
        }
        values.into_iter().map(|value| (value, self.at(value))).collect()
    }
}

/// An axis of equal steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Linear {
    /// The axis on which all of `values` have a place between `from` and `to`, its ends at round numbers; nothing if there is none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>, (from, to): (f64, f64)) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        // What does not differ gets some room all the same.
        let step = step(low, high.max(low + low.abs().max(1.0) * 1e-3));
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Some(Self { low, high: high.max(low + step), from, to })
    }

    /// The place of `value`.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round numbers along it, with their places.
    pub(super) fn ticks(&self) -> Vec<(f64, f64)> {
        let step = step(self.low, self.high);
        let values = (0..12).map(|index| self.low + f64::from(index) * step);
        let end = self.high + step * 1e-6;
        values.take_while(|&value| value <= end).map(|value| (value, self.at(value))).collect()
    }
}

/// The round step that divides a range into about five.
fn step(low: f64, high: f64) -> f64 {
    round((high - low) / 5.0)
}

/// The next of 1, 2 and 5, times a power of ten, that is not below `value`.
pub(super) fn round(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * decade >= value * (1.0 - 1e-9));
    step.unwrap_or(10.0) * decade
}

/// A number without needless digits.
pub(super) fn short(value: f64) -> String {
    let digits = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6);
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_holds_all_its_values_and_has_round_ticks() {
        for values in [vec![10.0, 11.0], vec![5.0], vec![1.0, 1e6], vec![12.8, 14.1, 90.0], vec![0.002, 0.5]]
        {
            let axis = Log::of(values.clone(), (100.0, 0.0)).unwrap();
            for &value in &values {
                assert!((0.0..=100.0).contains(&axis.at(value)), "{value} of {values:?}");
            }
            let ticks = axis.ticks();
            assert!((2..=14).contains(&ticks.len()), "{values:?}: {ticks:?}");
            for (value, place) in ticks {
                assert!((0.0..=100.0).contains(&place), "{value} of {values:?}");
            }
        }
        assert!(Log::of([0.0, -1.0, f64::NAN], (0.0, 1.0)).is_none());
    }

    #[test]
    fn equal_steps_hold_all_values_and_have_round_ticks() {
        for values in [vec![0.9, 1.02], vec![0.5], vec![0.0, 1.0], vec![0.123, 0.124], vec![3.0, 40.0]] {
            let axis = Linear::of(values.clone(), (100.0, 0.0)).unwrap();
            let ticks = axis.ticks();
            assert!((2..=12).contains(&ticks.len()), "{values:?}: {ticks:?}");
            let (first, last) = (ticks[0].0, ticks[ticks.len() - 1].0);
            for &value in &values {
                assert!((0.0..=100.0).contains(&axis.at(value)), "{value} of {values:?}");
                assert!(first <= value + 1e-9 && value <= last + 1e-9, "{values:?}: {ticks:?}");
            }
        }
        assert!(Linear::of([f64::NAN, f64::INFINITY], (0.0, 1.0)).is_none());
    }

    #[test]
    fn numbers_have_three_digits_at_the_most() {
        let told = [12.841, 0.15, 1234.0, 5.0, 0.0021].map(short);
        assert_eq!(told, ["12.8", "0.15", "1234", "5", "0.0021"]);
        assert_eq!([0.23, 2.0, 7.0, 60.0].map(round), [0.5, 2.0, 10.0, 100.0]);
    }
}
