//! Steps of drafts made up from a seed: for tests and benchmarks.
//!
//! Whatever must not be read is poison: NaN in scores of rows that nobody has and in gaps, huge and negative numbers in entries
//! that nothing uses.

mod contents;
mod fault;
mod recipe;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

pub use self::{
    contents::ScoreArray,
    fault::Plant,
    recipe::{Contents, DraftShape, Recipe, SequenceShape},
};
use crate::{
    accept::{
        arrays::{AcceptArrays, AcceptStrides, ScoreItems},
        problem::{AcceptProblem, Draft, ScoreKind},
        reference::{Reference, accept},
    },
    error::InvalidInput,
    synthetic::POISON_INDICES,
};

/// A problem with everything that acceptance reads, in host memory.
#[derive(Clone, Debug)]
pub struct AcceptInput {
    /// The problem.
    pub problem: AcceptProblem,
    /// Distances between rows.
    pub strides: AcceptStrides,
    /// The target's scores.
    pub target: ScoreArray,
    /// The draft's, if the problem has them.
    pub draft: Option<ScoreArray>,
    /// Rows of the draft's scores, if the problem names them.
    pub draft_rows: Option<Vec<i32>>,
    /// The token of each row.
    pub tokens: Vec<i32>,
    /// The row that each row continues, for trees.
    pub parents: Option<Vec<i32>>,
    /// First rows.
    pub row_starts: Vec<i32>,
    /// Temperatures.
    pub temperatures: Vec<f32>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Steps taken before.
    pub step: u64,
    /// Confirmed lengths, if new ones are asked for.
    pub lengths: Option<Vec<i32>>,
}

impl AcceptInput {
    /// The input of `recipe`.
    ///
    /// # Errors
    /// The recipe is of no valid problem, or the host's memory does not hold the arrays.
    pub fn new(recipe: &Recipe) -> Result<Self, InvalidInput> {
        let rng = &mut Pcg64Mcg::seed_from_u64(recipe.contents.seed);
        let parents: Vec<Vec<i32>> =
            recipe.sequences.iter().map(|shape| parents(recipe.tree, shape.rows, rng)).collect();
        let problem = problem(recipe, &parents);
        problem.validate()?;
        let dense = AcceptStrides::dense(&problem);
        let gap = u64::from(recipe.padding);
        let strides = AcceptStrides {
            target_row: dense.target_row + gap,
            draft_row: dense.draft_row + 2 * gap,
            emitted: dense.emitted + gap,
            path: dense.path + 2 * gap,
        };
        let rows = problem.total_rows as usize;
        let poison: Vec<i32> = (0..rows).map(|_| poison_index(rng)).collect();
        let draft = problem
            .draft
            .map(|draft| ScoreArray::poisoned(draft.scores.dtype, strides.draft_extent(&problem)));
        let mut input = Self {
            target: ScoreArray::poisoned(problem.target.dtype, strides.target_extent(&problem))?,
            draft: draft.transpose()?,
            draft_rows: problem.names_draft_rows().then(|| poison.clone()),
            tokens: poison.clone(),
            parents: recipe.tree.then_some(poison),
            row_starts: vec![0],
            temperatures: recipe.sequences.iter().map(|shape| shape.temperature).collect(),
            seeds: recipe.sequences.iter().map(|_| rng.random()).collect(),
            step: rng.random_range(0..1 << 40),
            lengths: recipe
                .new_lengths
                .then(|| recipe.sequences.iter().map(|_| rng.random_range(0..100_000)).collect()),
            strides,
            problem,
        };
        // Rows of the draft's scores are handed out from the last one.
        let mut free = problem.draft.map_or(0, |draft| draft.rows as usize);
        let mut first = 0;
        for (sequence, parents) in parents.iter().enumerate() {
            for row in 0..parents.len() {
                input.fill_row(recipe, (sequence, first), parents, row, &mut free, rng);
            }
            first += parents.len();
            input.row_starts.push(first as i32);
        }
        Ok(input)
    }

    /// Fills the scores of `row` of a sequence whose rows continue `parents`, and draws what continues it.
    fn fill_row(
        &mut self,
        recipe: &Recipe,
        (sequence, first): (usize, usize),
        parents: &[i32],
        row: usize,
        free: &mut usize,
        rng: &mut Pcg64Mcg,
    ) {
        let (contents, temperature) = (&recipe.contents, self.temperatures[sequence]);
        let at = first + row;
        let logits = contents::target_logits(contents, recipe.vocabulary, rng);
        for (token, score) in contents::scores(recipe.target, &logits, temperature).into_iter().enumerate() {
            let item = at * self.strides.target_row as usize + token;
            self.target.set(recipe.target.dtype, item, score);
        }
        if let Some(own) = &mut self.parents {
            own[at] = parents[row];
        }
        let children: Vec<usize> = (0..parents.len()).filter(|&child| parents[child] == row as i32).collect();
        let mut place = None;
        if recipe.draft.is_some() && !children.is_empty() {
            if recipe.tree {
                *free -= 1;
            }
            let in_chain = sequence * (self.problem.rows as usize - 1) + row;
            place = Some(if recipe.tree { *free } else { in_chain });
        }
        if let Some(named) = &mut self.draft_rows {
            named[at] = place.map_or(-1, |place| place as i32);
        }
        let drafted = contents::draft_logits(contents, &logits, rng);
        let (mut kind, mut scores) = (ScoreKind::Logits, drafted);
        if let (Some(shape), Some(place), Some(array)) = (recipe.draft, place, &mut self.draft) {
            kind = shape.scores.kind;
            scores = contents::scores(shape.scores, &scores, temperature);
            for (token, score) in scores.iter_mut().enumerate() {
                let item = place * self.strides.draft_row as usize + token;
                *score = array.set(shape.scores.dtype, item, *score);
            }
        }
        let replaced = recipe.draft.is_some_and(|shape| !shape.without_replacement);
        let drawn = contents::draw(kind, &scores, temperature, children.len(), !replaced, rng);
        for (child, token) in children.into_iter().zip(drawn) {
            self.tokens[first + child] = token;
        }
    }

    /// A random input; in one of four a fault is planted.
    ///
    /// # Errors
    /// The host's memory does not hold the arrays.
    pub fn random(seed: u64, max_vocabulary: u32, max_rows: u32) -> Result<Self, InvalidInput> {
        let mut input = Self::sound(seed, max_vocabulary, max_rows)?;
        let mut rng = Pcg64Mcg::seed_from_u64(!seed);
        if rng.random_range(0..4) == 0 {
            let sequence = rng.random_range(0..input.temperatures.len());
            // Not every sequence has what a fault needs: then there is none.
            input.plant(Plant::ALL[rng.random_range(0..Plant::ALL.len())], sequence);
        }
        Ok(input)
    }

    /// [`AcceptInput::random`] without a fault.
    ///
    /// # Errors
    /// The host's memory does not hold the arrays.
    pub fn sound(seed: u64, max_vocabulary: u32, max_rows: u32) -> Result<Self, InvalidInput> {
        Self::new(&Recipe::random(seed, max_vocabulary, max_rows))
    }

    /// The arrays, as the reference and the CPU back end read them.
    #[must_use]
    pub fn arrays(&self) -> AcceptArrays<'_> {
        AcceptArrays {
            target: self.target.items(),
            draft: self.draft.as_ref().map(ScoreArray::items),
            draft_rows: self.draft_rows.as_deref(),
            tokens: &self.tokens,
            parents: self.parents.as_deref(),
            row_starts: &self.row_starts,
            temperatures: &self.temperatures,
            seeds: &self.seeds,
            step: self.step,
            lengths: self.lengths.as_deref(),
            strides: self.strides,
        }
    }

    /// What acceptance must give.
    ///
    /// # Errors
    /// The input was changed to one that is not valid.
    pub fn reference(&self) -> Result<Reference, InvalidInput> {
        accept(&self.problem, &self.arrays())
    }
}

impl ScoreArray {
    /// The items, as arrays name them.
    #[must_use]
    pub fn items(&self) -> ScoreItems<'_> {
        match self {
            Self::F32(items) => ScoreItems::F32(items),
            Self::Half(items) => ScoreItems::Half(items),
        }
    }
}

/// The row that each of a sequence's rows continues, -1 for the first: the one before, or in trees any, mostly a late one.
fn parents(tree: bool, rows: u32, rng: &mut impl Rng) -> Vec<i32> {
    let parent = |row: i32| match row {
        0 => -1,
        _ if tree && rng.random() => rng.random_range(0..row),
        _ if tree => (row - 1 - rng.random_range(0..3)).max(0),
        _ => row - 1,
    };
    (0..rows as i32).map(parent).collect()
}

/// The problem: the least capacities that hold the batch, plus what is to spare.
fn problem(recipe: &Recipe, parents: &[Vec<i32>]) -> AcceptProblem {
    let shapes = || recipe.sequences.iter().map(|shape| shape.rows);
    let (batch, most) = (recipe.sequences.len() as u32, shapes().max().unwrap_or(0));
    let rows = (most + recipe.spare).clamp(1, 64);
    let inner =
        |parents: &Vec<i32>| (0..parents.len() as i32).filter(|row| parents.contains(row)).count() as u32;
    let draft_rows = if recipe.tree { parents.iter().map(inner).sum() } else { batch * (rows - 1) };
    AcceptProblem {
        batch,
        rows,
        total_rows: (shapes().sum::<u32>() + recipe.spare).clamp(1, batch.max(1) * rows),
        vocabulary: recipe.vocabulary,
        target: recipe.target,
        draft: recipe.draft.map(|shape| Draft {
            scores: shape.scores,
            rows: (draft_rows + recipe.spare).max(1),
            without_replacement: shape.without_replacement,
        }),
        tree: recipe.tree,
        new_lengths: recipe.new_lengths,
    }
}

/// An index that lies outside of everything.
fn poison_index(rng: &mut impl Rng) -> i32 {
    POISON_INDICES[rng.random_range(0..POISON_INDICES.len())]
}

#[cfg(test)]
mod tests;
