//! What a process says, once it has seen data.

use super::{
    Kernel,
    factor::{Factor, dot},
};

/// A kernel and the data seen so far.
#[derive(Debug)]
pub(crate) struct Process {
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
    pub(crate) fn new(kernel: Kernel, inputs: &[&[f64]], targets: &[f64]) -> Self {
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
    pub(crate) fn see(&mut self, inputs: &[&[f64]], targets: &[f64]) {
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

    /// The negative logarithm of the likelihood of what was seen, up to a constant; mean and variance are the likeliest ones.
    pub(super) fn misfit(&self) -> f64 {
        self.inputs.len() as f64 * self.deviation.ln() + self.factor.half_log_determinant()
    }

    /// The kernel alone.
    pub(crate) fn into_kernel(self) -> Kernel {
        self.kernel
    }

    /// Mean and standard deviation at the point with `coordinates`. `column` is the point's own, empty at first; it is
    /// extended by what the process has seen since.
    pub(crate) fn predict(&self, coordinates: &[f64], column: &mut Vec<f64>) -> (f64, f64) {
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
