//! Gaussian-process regression: what the trials say about the points that were not tried, and how surely.
//!
//! Rasmussen and Williams, Gaussian Processes for Machine Learning (2006): equations 2.25, 2.26 and 5.8, with a Matérn
//! kernel of smoothness 5/2 and a rate (an inverse length scale) for each coordinate. Mean and variance of the process
//! follow from the data in closed form; rates, roughness and noise maximise the likelihood under a broad prior.

/// Rates of a new process, and the middle of their prior: half of the unit cube is near.
const RATE: f64 = 1.0;

/// Roughness of a new process, and the middle of its prior.
const ROUGHNESS: f64 = 0.4;

/// Noise of a new process, as a share of the variance, and the middle of its prior.
const NOISE: f64 = 0.01;

/// Noise never falls below this share: the factor would no longer exist.
const LEAST_NOISE: f64 = 1e-5;

/// Passes over the parameters of one fit.
const SWEEPS: u32 = 4;

/// How the process varies: what is fitted.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    rates: Vec<f64>,
    /// The distance that any difference in a coordinate adds, however small: the next size may fit a warp, and this one
    /// not.
    roughness: f64,
    /// Variance of the measurements, as a share of the process's.
    noise: f64,
}

impl Kernel {
    /// The kernel before anything is known of `dimensions` coordinates.
    pub(super) fn new(dimensions: usize) -> Self {
        Self { rates: vec![RATE; dimensions], roughness: ROUGHNESS, noise: NOISE }
    }

    /// The correlation between two points.
    fn correlation(&self, a: &[f64], b: &[f64]) -> f64 {
        let jump = self.roughness * self.roughness;
        let mut square = 0.0;
        for ((rate, a), b) in self.rates.iter().zip(a).zip(b) {
            square += (rate * (a - b)).powi(2) + if a == b { 0.0 } else { jump };
        }
        let distance = (5.0_f64 * square).sqrt();
        (1.0 + distance + distance * distance / 3.0) * (-distance).exp()
    }

    /// The kernel with its parameters moved uphill in likelihood, one at a time with shrinking steps.
    pub(super) fn fitted(mut self, inputs: &[&[f64]], targets: &[f64]) -> Self {
        let mut least = self.misfit(inputs, targets);
        let mut step = 0.8_f64;
        for _ in 0..SWEEPS {
            for parameter in 0..self.rates.len() + 2 {
                for factor in [step.exp(), (-step).exp()] {
                    let mut moved = self.clone();
                    match parameter.checked_sub(self.rates.len()) {
                        None => moved.rates[parameter] *= factor,
                        Some(0) => moved.roughness *= factor,
                        // Noise is known less well.
                        Some(_) => moved.noise = (moved.noise * factor * factor).max(LEAST_NOISE),
                    }
                    let misfit = moved.misfit(inputs, targets);
                    if misfit < least {
                        (self, least) = (moved, misfit);
                        break;
                    }
                }
            }
            step *= 0.7;
        }
        self
    }

    /// The negative logarithm of likelihood and prior, up to a constant; mean and variance are the likeliest ones.
    fn misfit(&self, inputs: &[&[f64]], targets: &[f64]) -> f64 {
        let process = Process::new(self.clone(), inputs, targets);
        let data = targets.len() as f64 * process.deviation.ln() + process.factor.half_log_determinant();
        let surprise =
            |value: f64, expected: f64, width: f64| ((value / expected).ln() / width).powi(2) / 2.0;
        let rates: f64 = self.rates.iter().map(|&rate| surprise(rate, RATE, 1.0)).sum();
        data + rates + surprise(self.roughness, ROUGHNESS, 1.0) + surprise(self.noise, NOISE, 1.5)
    }
}

/// A kernel and the data seen so far.
#[derive(Debug)]
pub(super) struct Process {
    kernel: Kernel,
    inputs: Vec<Box<[f64]>>,
    factor: Factor,
    mean: f64,
    deviation: f64,
    /// The targets less the mean, divided by the factor.
    whitened: Vec<f64>,
}

impl Process {
    /// The process that saw `targets` at `inputs`.
    pub(super) fn new(kernel: Kernel, inputs: &[&[f64]], targets: &[f64]) -> Self {
        let mut process = Self {
            kernel,
            inputs: Vec::with_capacity(inputs.len()),
            factor: Factor::default(),
            mean: 0.0,
            deviation: 0.0,
            whitened: Vec::new(),
        };
        process.see(inputs, targets);
        process
    }

    /// Sees more: `inputs` begins with those seen before, whose targets may have changed.
    pub(super) fn see(&mut self, inputs: &[&[f64]], targets: &[f64]) {
        for input in &inputs[self.inputs.len()..] {
            let row = self.inputs.iter().map(|seen| self.kernel.correlation(seen, input)).collect();
            self.factor.push(row, 1.0 + self.kernel.noise);
            self.inputs.push((*input).into());
        }
        let ones = self.factor.solve(&vec![1.0; targets.len()]);
        let scaled = self.factor.solve(targets);
        self.mean = dot(&ones, &scaled) / dot(&ones, &ones);
        self.whitened = scaled.iter().zip(&ones).map(|(target, one)| target - self.mean * one).collect();
        let variance = dot(&self.whitened, &self.whitened) / targets.len() as f64;
        // Equal targets have no variance; what then counts is that the process stays one.
        self.deviation = variance.sqrt().max(1e-9);
    }

    /// The kernel alone.
    pub(super) fn into_kernel(self) -> Kernel {
        self.kernel
    }

    /// Mean and standard deviation at the point with `coordinates`. `column` is the point's own, empty at first; it is
    /// extended by what the process has seen since.
    pub(super) fn predict(&self, coordinates: &[f64], column: &mut Vec<f64>) -> (f64, f64) {
        for (input, row) in self.inputs.iter().zip(&self.factor.rows).skip(column.len()) {
            let covariance = self.kernel.correlation(input, coordinates);
            let (diagonal, before) = row.split_last().unwrap_or((&1.0, &[]));
            column.push((covariance - dot(before, column)) / diagonal);
        }
        let mean = self.mean + dot(column, &self.whitened);
        let variance = (1.0 - dot(column, column)).max(1e-9);
        (mean, self.deviation * variance.sqrt())
    }
}

/// The lower triangle whose product with its transpose is a covariance matrix (Cholesky), row by row.
#[derive(Debug, Default)]
struct Factor {
    rows: Vec<Vec<f64>>,
}

impl Factor {
    /// Adds a point: its covariances with the earlier ones, and its variance.
    fn push(&mut self, covariances: Vec<f64>, variance: f64) {
        let mut row = self.solve(&covariances);
        let left = variance - dot(&row, &row);
        row.push(left.max(LEAST_NOISE * LEAST_NOISE).sqrt());
        self.rows.push(row);
    }

    /// The vector whose product with the factor is `vector`.
    fn solve(&self, vector: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(vector.len() + 1);
        for (row, value) in self.rows.iter().zip(vector) {
            let (diagonal, before) = row.split_last().unwrap_or((&1.0, &[]));
            solved.push((value - dot(before, &solved)) / diagonal);
        }
        solved
    }

    fn half_log_determinant(&self) -> f64 {
        self.rows.iter().filter_map(|row| row.last()).map(|diagonal| diagonal.ln()).sum()
    }
}

/// The inner product, in eight sums side by side: one sum would wait for itself at every step.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

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

    #[test]
    fn an_inner_product_counts_what_is_left_of_the_blocks() {
        let numbers: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(dot(&numbers, &numbers), 2470.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }
}
