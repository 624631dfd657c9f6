//! Gaussian-process regression: what the trials say about the points that were not tried, and how surely.
//!
//! Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): equations 2.25, 2.26 and 5.8, with a Matérn
//! kernel of smoothness 5/2 and a rate (an inverse length scale) for each coordinate. Mean and variance of the process
//! follow from the data in closed form; rates, roughness and noise maximise the likelihood under a broad prior.
//!
//! `kernel` is how the process varies, `process` what it says once it has seen data, `factor` the linear algebra.

mod factor;
mod kernel;
mod process;

pub(super) use self::{kernel::Kernel, process::Process};

/// Noise never falls below this share: the factor would no longer exist.
const LEAST_NOISE: f64 = 1e-5;

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(x: f64, y: f64) -> f64 {
        (6.0 * x).sin() + 0.0 * y
    }

    /// Points of a grid in two coordinates, of which only the first one matters.
    fn grid(side: usize) -> (Vec<[f64; 2]>, Vec<f64>) {
        let place = |index: usize| index as f64 / (side - 1) as f64;
        let points: Vec<[f64; 2]> =
            (0..side * side).map(|index| [place(index % side), place(index / side)]).collect();
        let targets = points.iter().map(|[x, y]| wave(*x, *y)).collect();
        (points, targets)
    }

    fn slices(points: &[[f64; 2]]) -> Vec<&[f64]> {
        points.iter().map(<[f64; 2]>::as_slice).collect()
    }

    #[test]
    fn a_fitted_process_predicts_what_it_did_not_see() {
        let (points, targets) = grid(7);
        let kernel = Kernel::new(2).fitted(&slices(&points), &targets);
        assert!(kernel.rates[0] > 3.0 * kernel.rates[1], "the second coordinate is idle: {kernel:?}");
        let process = Process::new(kernel, &slices(&points), &targets);
        for (x, y) in [(0.25, 0.4), (0.6, 0.9), (0.93, 0.05)] {
            let (mean, deviation) = process.predict(&[x, y], &mut Vec::new());
            assert!((mean - wave(x, y)).abs() < 0.1, "({x}, {y}): {mean} for {}", wave(x, y));
            assert!(deviation < 0.2, "({x}, {y}): {deviation}");
        }
    }

    #[test]
    fn a_fit_never_lowers_the_likelihood() {
        let (points, targets) = grid(5);
        let misfit = |kernel: &Kernel| kernel.misfit(&slices(&points), &targets);
        let kernel = Kernel::new(2);
        assert!(misfit(&kernel.clone().fitted(&slices(&points), &targets)) < misfit(&kernel));
    }

    #[test]
    fn far_from_the_data_the_process_knows_little() {
        let process = Process::new(Kernel::new(1), &[&[0.0], &[0.1]], &[1.0, 2.0]);
        let near = process.predict(&[0.05], &mut Vec::new()).1;
        let far = process.predict(&[1.0], &mut Vec::new()).1;
        assert!(far > 1.5 * near, "{near} near, {far} far");
    }

    #[test]
    fn what_is_seen_later_counts_as_if_it_had_been_there_at_once() {
        let (points, targets) = grid(4);
        let inputs = slices(&points);
        let whole = Process::new(Kernel::new(2), &inputs, &targets);
        let mut grown = Process::new(Kernel::new(2), &inputs[..5], &[7.0; 5]);
        let mut column = Vec::new();
        grown.predict(&[0.3, 0.4], &mut column);
        grown.see(&inputs, &targets);
        let expected = whole.predict(&[0.3, 0.4], &mut Vec::new());
        let actual = grown.predict(&[0.3, 0.4], &mut column);
        assert!((expected.0 - actual.0).abs() < 1e-9 && (expected.1 - actual.1).abs() < 1e-9);
    }

    #[test]
    fn equal_targets_and_equal_inputs_are_borne() {
        let inputs: [&[f64]; 3] = [&[0.5], &[0.5], &[0.5]];
        let kernel = Kernel::new(1).fitted(&inputs, &[2.0; 3]);
        let (mean, deviation) = Process::new(kernel, &inputs, &[2.0; 3]).predict(&[0.5], &mut Vec::new());
        assert!((mean - 2.0).abs() < 1e-6 && deviation.is_finite() && deviation > 0.0);
    }
}
