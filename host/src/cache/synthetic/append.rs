//! What appending reads and writes.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Plant, Recipe, StepInput, bits, layer};
use crate::{
    cache::{
        append::{
            arrays::{AppendArrays, AppendStrides},
            problem::AppendProblem,
            reference,
        },
        compare::Written,
        layer::Layer,
    },
    error::InvalidInput,
};

/// A step with the rows that it appends and the caches that they are appended to, in host memory.
#[derive(Clone, Debug)]
pub struct AppendInput {
    /// The step and its arrays.
    pub step: StepInput,
    /// Query heads.
    pub query_heads: u32,
    /// Keys of the rows.
    pub key: Vec<u16>,
    /// Values of the rows.
    pub value: Vec<u16>,
    /// Queries of the rows; empty where there are no query heads.
    pub query: Vec<u16>,
    /// Distances between rows.
    pub strides: AppendStrides,
    /// The caches before.
    pub layer: Layer,
    /// The array that queries are copied to, before.
    pub query_copy: Vec<u16>,
}

impl AppendInput {
    /// The input of `recipe`.
    ///
    /// # Errors
    /// The recipe is of no valid step, or the host's memory does not hold the arrays.
    pub fn new(recipe: &Recipe) -> Result<Self, InvalidInput> {
        let rng = &mut Pcg64Mcg::seed_from_u64(recipe.seed);
        let step = recipe.step_input(rng)?;
        let problem = AppendProblem { step: step.step, query_heads: recipe.kv_heads * recipe.group };
        let strides = strides(recipe, &problem);
        Ok(Self {
            key: bits(rng, strides.key_extent(&problem))?,
            value: bits(rng, strides.value_extent(&problem))?,
            query: bits(rng, strides.query_extent(&problem))?,
            query_copy: bits(rng, strides.query_copy_extent(&problem))?,
            query_heads: problem.query_heads,
            strides,
            layer: layer(rng, &step.step, recipe.value(&step.step))?,
            step,
        })
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> AppendProblem {
        AppendProblem { step: self.step.step, query_heads: self.query_heads }
    }

    /// A random input; in one of four a fault is planted.
    ///
    /// # Errors
    /// None: the recipe is of a valid step.
    pub fn random(seed: u64, max_length: u32, max_rows: u32) -> Result<Self, InvalidInput> {
        let mut input = Self::new(&Recipe::random(seed, max_length, max_rows))?;
        let mut rng = Pcg64Mcg::seed_from_u64(!seed);
        if rng.random_range(0..4) == 0 {
            let sequence = rng.random_range(0..input.step.lengths.len());
            // Not every sequence has what a fault needs: then there is none.
            input.step.plant(Plant::ALL[rng.random_range(0..Plant::ALL.len())], sequence);
        }
        Ok(input)
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> AppendArrays<'_> {
        let Self { step, key, value, query, strides, .. } = self;
        AppendArrays { step: step.arrays(), key, value, query, strides: *strides }
    }

    /// What appending must leave.
    ///
    /// # Errors
    /// The input was changed to one that is not valid.
    pub fn reference(&self) -> Result<Written, InvalidInput> {
        let (mut layer, mut query_copy) = (self.layer.clone(), self.query_copy.clone());
        let (problem, arrays) = (self.problem(), self.arrays());
        let status = reference::append(&problem, &arrays, &mut layer.as_mut(), &mut query_copy)?;
        Ok(Written { layers: vec![layer], query_copy, status })
    }
}

/// Rows outside as a packed projection has them, with values at other distances than keys; or heads outside. Copied queries are
/// the other way round.
fn strides(recipe: &Recipe, problem: &AppendProblem) -> AppendStrides {
    let (gap, dim) = (recipe.gap(), u64::from(problem.step.kv.head_dim));
    let rows = u64::from(problem.step.total_rows);
    let strides = |heads: u32, gap: u64, head_major: bool| {
        let (heads, inner) = (u64::from(heads), dim + gap);
        if head_major { (inner, rows * inner + gap) } else { (heads * inner + gap, inner) }
    };
    let (kv_heads, head_major) = (problem.step.kv.kv_heads, recipe.head_major);
    let (key, value) = (strides(kv_heads, gap, head_major), strides(kv_heads, 2 * gap, head_major));
    let query = strides(problem.query_heads, gap, head_major);
    let copy = strides(problem.query_heads, 2 * gap, !head_major);
    AppendStrides {
        key_row: key.0,
        key_head: key.1,
        value_row: value.0,
        value_head: value.1,
        query_row: query.0,
        query_head: query.1,
        query_copy_row: copy.0,
        query_copy_head: copy.1,
    }
}
