//! How far apart two medians must be to count as different.

use dustin::profile::Measurement;

use crate::search::{ABSOLUTE_BAND, RELATIVE_BAND};

/// The tie band of two measurements that were not taken side by side, in microseconds: the share and the resolution of
/// a search's verdict, or the 95 % interval of the difference if that is wider.
pub(crate) fn band(a: &Measurement, b: &Measurement) -> f64 {
    let half = |one: &Measurement| (one.ci95_high_us - one.ci95_low_us) / 2.0;
    let noise = half(a).hypot(half(b));
    (RELATIVE_BAND * a.median_us.min(b.median_us)).max(noise).max(ABSOLUTE_BAND)
}

#[cfg(test)]
mod tests {
    use dustin::profile::{Launch, Timed};

    use super::*;

    fn measured(median_us: f64, half: f64) -> Measurement {
        Measurement {
            repetitions: 15,
            median_us,
            ci95_low_us: median_us - half,
            ci95_high_us: median_us + half,
            roofline_fraction: None,
            default: Timed { variant: "any".into(), launch: Launch::default(), median_us },
            tied: Vec::new(),
        }
    }

    #[test]
    fn the_band_is_the_widest_of_share_noise_and_resolution() {
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        close(band(&measured(100.0, 0.1), &measured(110.0, 0.1)), 2.0);
        close(band(&measured(100.0, 3.0), &measured(110.0, 4.0)), 5.0);
        close(band(&measured(1.0, 0.0), &measured(2.0, 0.0)), 0.15);
    }
}
