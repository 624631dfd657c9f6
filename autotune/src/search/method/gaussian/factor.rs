//! The factor of a covariance matrix.

use super::LEAST_NOISE;

/// The lower triangle whose product with its transpose is a covariance matrix (Cholesky), row by row.
#[derive(Debug, Default)]
pub(super) struct Factor {
    pub(super) rows: Vec<Vec<f64>>,
}

impl Factor {
    /// Adds a point: its covariances with the earlier ones, and its variance.
    pub(super) fn push(&mut self, covariances: Vec<f64>, variance: f64) {
        let mut row = self.solve(&covariances);
        let left = variance - dot(&row, &row);
        row.push(left.max(LEAST_NOISE * LEAST_NOISE).sqrt());
        self.rows.push(row);
    }

    /// The vector whose product with the factor is `vector`.
    pub(super) fn solve(&self, vector: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(vector.len() + 1);
        for (row, value) in self.rows.iter().zip(vector) {
            let (diagonal, before) = row.split_last().unwrap_or((&1.0, &[]));
            solved.push((value - dot(before, &solved)) / diagonal);
        }
        solved
    }

    pub(super) fn half_log_determinant(&self) -> f64 {
        self.rows.iter().filter_map(|row| row.last()).map(|diagonal| diagonal.ln()).sum()
    }
}

/// The inner product, in eight sums side by side: one sum would wait for itself at every step.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
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

    #[test]
    fn an_inner_product_counts_what_is_left_of_the_blocks() {
        let numbers: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(dot(&numbers, &numbers), 2470.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }
}
