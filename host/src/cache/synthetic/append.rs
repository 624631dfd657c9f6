//! What appending reads and writes.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{Plant, Recipe, StepInput, bits, layer};
use crate::{
    cache::{
        append::{
            arrays::{AppendArrays, AppendStrides},
            reference,
        },
        compare::Written,
        layer::Layer,
        step::Step,
    },
    error::InvalidInput,
};

/// A step with the rows that it appends and the caches that they are appended to, in host memory.
#[derive(Clone, Debug)]
pub struct AppendInput {
    /// The step and its arrays.
    pub step: StepInput,
    /// Keys of the rows.
    pub key: Vec<u16>,
    /// Values of the rows.
    pub value: Vec<u16>,
    /// Distances between rows.
    pub strides: AppendStrides,
    /// The caches before.
    pub layer: Layer,
}

impl AppendInput {
    /// The input of `recipe`.
    ///
    /// # Errors
    /// The recipe is of no valid step, or the host's memory does not hold the arrays.
    pub fn new(recipe: &Recipe) -> Result<Self, InvalidInput> {
        let rng = &mut Pcg64Mcg::seed_from_u64(recipe.seed);
        let step = recipe.step_input(rng)?;
        let strides = strides(recipe, &step.step);
        Ok(Self {
            key: bits(rng, strides.key_extent(&step.step))?,
            value: bits(rng, strides.value_extent(&step.step))?,
            strides,
            layer: layer(rng, &step.step, recipe.value(&step.step))?,
            step,
        })
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
        AppendArrays { step: self.step.arrays(), key: &self.key, value: &self.value, strides: self.strides }
    }

    /// What appending must leave.
    ///
    /// # Errors
    /// The input was changed to one that is not valid.
    pub fn reference(&self) -> Result<Written, InvalidInput> {
        let mut layer = self.layer.clone();
        let status = reference::append(&self.step.step, &self.arrays(), &mut layer.as_mut())?;
        Ok(Written { layers: vec![layer], status })
    }
}

/// Rows outside as a packed projection has them, with values at other distances than keys; or heads outside.
fn strides(recipe: &Recipe, step: &Step) -> AppendStrides {
    let (gap, dim) = (recipe.gap(), u64::from(step.kv.head_dim));
    let (rows, heads) = (u64::from(step.total_rows), u64::from(step.kv.kv_heads));
    let [key, value] = [gap, 2 * gap].map(|gap| {
        let inner = dim + gap;
        if recipe.head_major { (inner, rows * inner + gap) } else { (heads * inner + gap, inner) }
    });
    AppendStrides { key_row: key.0, key_head: key.1, value_row: value.0, value_head: value.1 }
}
