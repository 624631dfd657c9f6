//! What compacting reads and writes.

use rand::{Rng, RngExt, SeedableRng, seq::index};
use rand_pcg::Pcg64Mcg;

use super::{Plant, Recipe, StepInput, layer, poison_index};
use crate::{
    cache::{
        compact::{
            arrays::{CompactArrays, accepted_extent},
            problem::CompactProblem,
            reference,
        },
        compare::Written,
        layer::Layer,
    },
    error::InvalidInput,
};

/// What is accepted, in how many layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Layers.
    pub layers: u32,
    /// Rows that are accepted of each sequence, if it has as many; else any number.
    pub accepted: Option<u32>,
    /// Whether an array says how many entries each list has.
    pub counted: bool,
}

/// A fault to plant in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListPlant {
    /// An entry is one less than the one before.
    Descending,
    /// An entry is the same as the one before.
    Repeated,
    /// The last entry is the number of the sequence's rows.
    Beyond,
    /// The first entry is negative, though the count says that there is one.
    Negative,
    /// The count is negative.
    CountNegative,
    /// The count exceeds the list's room.
    CountBeyond,
}

impl ListPlant {
    /// Every fault.
    pub const ALL: [Self; 6] = [
        Self::Descending,
        Self::Repeated,
        Self::Beyond,
        Self::Negative,
        Self::CountNegative,
        Self::CountBeyond,
    ];
}

/// A step with the rows that are accepted and the caches that they lie in, in host memory.
#[derive(Clone, Debug)]
pub struct CompactInput {
    /// The step and its arrays.
    pub step: StepInput,
    /// Layers, and the lists' room.
    pub problem: CompactProblem,
    /// The accepted rows of each sequence; what lies behind a list's end is poison.
    pub accepted: Vec<i32>,
    /// Items from one sequence's list to the next.
    pub accepted_stride: u64,
    /// Entries of each list, if the problem counts them.
    pub counts: Option<Vec<i32>>,
    /// The caches before, of each layer.
    pub layers: Vec<Layer>,
}

impl CompactInput {
    /// The input of `recipe`, of which `acceptance` is accepted: any rows in ascending order, the first one mostly among
    /// them.
    ///
    /// # Errors
    /// They are of no valid problem, or the host's memory does not hold the arrays.
    pub fn new(recipe: &Recipe, acceptance: Acceptance) -> Result<Self, InvalidInput> {
        let rng = &mut Pcg64Mcg::seed_from_u64(recipe.seed);
        let step = recipe.step_input(rng)?;
        let lists: Vec<Vec<i32>> = recipe
            .sequences
            .iter()
            .map(|shape| {
                let count = acceptance.accepted.unwrap_or_else(|| rng.random_range(0..=shape.rows));
                accepted_rows(rng, shape.rows, count.min(shape.rows))
            })
            .collect();
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let problem = CompactProblem {
            step: step.step,
            layers: acceptance.layers,
            accepted: (longest + recipe.spare).clamp(1, 64),
            counted: acceptance.counted,
        };
        problem.validate()?;
        let accepted_stride = u64::from(problem.accepted + recipe.spare);
        let items = accepted_extent(&problem, accepted_stride);
        let mut accepted: Vec<i32> = (0..items).map(|_| poison_index(rng)).collect();
        for (sequence, list) in lists.iter().enumerate() {
            let room = &mut accepted[sequence * accepted_stride as usize..][..problem.accepted as usize];
            room[..list.len()].copy_from_slice(list);
            if let Some(end) = room.get_mut(list.len()).filter(|_| !problem.counted) {
                *end = -1;
            }
        }
        let value = recipe.value(&step.step);
        Ok(Self {
            counts: problem.counted.then(|| lists.iter().map(|list| list.len() as i32).collect()),
            layers: (0..problem.layers).map(|_| layer(rng, &step.step, value)).collect::<Result<_, _>>()?,
            accepted,
            accepted_stride,
            problem,
            step,
        })
    }

    /// A random input; in one of four a fault is planted.
    ///
    /// # Errors
    /// None: the recipe is of a valid problem.
    pub fn random(seed: u64, max_length: u32, max_rows: u32) -> Result<Self, InvalidInput> {
        let mut rng = Pcg64Mcg::seed_from_u64(!seed);
        let acceptance =
            Acceptance { layers: rng.random_range(1..=4), accepted: None, counted: rng.random() };
        let mut input = Self::new(&Recipe::random(seed, max_length, max_rows), acceptance)?;
        let sequence = rng.random_range(0..input.step.lengths.len());
        // Not every sequence has what a fault needs: then there is none.
        match rng.random_range(0..8) {
            0 => input.step.plant(Plant::ALL[rng.random_range(0..Plant::ALL.len())], sequence),
            1 => input.plant(ListPlant::ALL[rng.random_range(0..ListPlant::ALL.len())], sequence),
            _ => false,
        };
        Ok(input)
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> CompactArrays<'_> {
        CompactArrays {
            step: self.step.arrays(),
            accepted: &self.accepted,
            accepted_stride: self.accepted_stride,
            counts: self.counts.as_deref(),
        }
    }

    /// What compacting must leave.
    ///
    /// # Errors
    /// The input was changed to one that is not valid.
    pub fn reference(&self) -> Result<Written, InvalidInput> {
        let mut layers = self.layers.clone();
        let mut caches: Vec<_> = layers.iter_mut().map(Layer::as_mut).collect();
        let status = reference::compact(&self.problem, &self.arrays(), &mut caches)?;
        Ok(Written { layers, query_copy: Vec::new(), status })
    }

    /// Plants a fault in the list of `sequence`. Whether it could: entries need a list of two, counts an array of them.
    pub fn plant(&mut self, plant: ListPlant, sequence: usize) -> bool {
        if sequence >= self.step.lengths.len() {
            return false;
        }
        let rows = self.step.row_starts[sequence + 1].saturating_sub(self.step.row_starts[sequence]);
        let start = sequence * self.accepted_stride as usize;
        let list = &mut self.accepted[start..start + self.problem.accepted as usize];
        let counted = self.counts.as_ref().map(|counts| counts[sequence]);
        let entries = counted.map_or_else(
            || list.iter().take_while(|&&entry| entry >= 0).count(),
            |count| usize::try_from(count).unwrap_or(0),
        );
        let entry = match plant {
            ListPlant::CountNegative | ListPlant::CountBeyond => {
                let Some(counts) = &mut self.counts else { return false };
                let beyond = self.problem.accepted.cast_signed() + 1;
                counts[sequence] = if plant == ListPlant::CountBeyond { beyond } else { i32::MIN };
                return true;
            }
            _ if entries < 2 || entries > list.len() => return false,
            ListPlant::Negative if counted.is_none() => return false,
            ListPlant::Negative => (0, -1),
            // The entry before may be row 0: one less would end a list without a count.
            ListPlant::Descending if list[entries - 2] == 0 && counted.is_none() => return false,
            ListPlant::Descending => (entries - 1, list[entries - 2] - 1),
            ListPlant::Repeated => (entries - 1, list[entries - 2]),
            ListPlant::Beyond => (entries - 1, rows),
        };
        list[entry.0] = entry.1;
        true
    }
}

/// `count` of `rows` rows, in ascending order; of as many as there are in three of four, the first one.
fn accepted_rows(rng: &mut impl Rng, rows: u32, count: u32) -> Vec<i32> {
    let mut accepted: Vec<i32> =
        index::sample(rng, rows as usize, count as usize).into_iter().map(|row| row as i32).collect();
    accepted.sort_unstable();
    if let Some(first) = accepted.first_mut().filter(|_| rng.random_range(0..4) > 0) {
        *first = 0;
    }
    accepted
}
