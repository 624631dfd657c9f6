//! What a candidate's estimation costs.

use std::error::Error;

use dustin::verifier::Rules;

/// Tells what estimating costs, as measured or modelled. Each rules are asked for once in a search.
pub trait Cost {
    /// The time in microseconds that one verification step takes to gather the maps that `rules` read and to
    /// choose the sets: finite, not negative. If budgets of several sizes are searched, a cost that adds what
    /// attention over the sets takes compares them better.
    ///
    /// # Errors
    /// Whatever keeps it from being known; it ends the search.
    fn estimation_us(&mut self, rules: &Rules) -> Result<f64, Box<dyn Error + Send + Sync>>;
}

/// A formula is a cost.
impl<F: FnMut(&Rules) -> f64> Cost for F {
    fn estimation_us(&mut self, rules: &Rules) -> Result<f64, Box<dyn Error + Send + Sync>> {
        Ok(self(rules))
    }
}
