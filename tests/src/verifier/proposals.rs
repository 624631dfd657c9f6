//! Drafts and scores of which it is known what is accepted.

use dustin::accept::arrays::{AcceptStrides, ScoreItems};
use dustin::cpu::AcceptanceArrays;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::world::World;

/// The token behind the last accepted row: no draft has it.
pub const STOP: i32 = 5;

/// What acceptance reads of a batch. Both models are sure of themselves: the target's rows give all weight to the draft that
/// continues the sequence's planned path, or behind its last row to [`STOP`]; the draft's the same weight to each draft behind a row. So
/// sequences at every temperature accept just this path.
#[derive(Clone, Debug)]
pub struct Proposals {
    /// The target's logits.
    pub target: Vec<f32>,
    /// The draft's logits.
    pub draft: Vec<f32>,
    /// The row of them behind each row, for trees.
    pub draft_rows: Option<Vec<i32>>,
    /// The token of each row.
    pub tokens: Vec<i32>,
    /// The row that each row continues, for trees.
    pub parents: Option<Vec<i32>>,
    /// Every other sequence is greedy.
    pub temperatures: Vec<f32>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Distances between rows.
    pub strides: AcceptStrides,
    /// The rows that each sequence accepts; none where it has none.
    pub planned: Vec<Vec<u32>>,
    rows: usize,
}

impl Proposals {
    /// Those of the sequences `order` of `world`, whose first rows are `row_starts`.
    pub(super) fn new(world: &World, order: &[usize], row_starts: &[i32]) -> Self {
        let problem = world.stages.acceptance.expect("a verifier that accepts");
        let (batch, rows) = (problem.batch as usize, problem.rows as usize);
        let (total, vocabulary) = (problem.total_rows as usize, problem.vocabulary as usize);
        let none = f32::NEG_INFINITY;
        let mut found = Self {
            target: vec![none; total * vocabulary],
            draft: vec![none; problem.draft.expect("scores of the draft").rows as usize * vocabulary],
            draft_rows: problem.tree.then(|| vec![-1; total]),
            tokens: vec![-1; total],
            parents: problem.tree.then(|| vec![-1; total]),
            temperatures: (0..batch).map(|index| if index % 2 == 0 { 0.0 } else { 0.8 }).collect(),
            seeds: (0..batch as u64).collect(),
            strides: AcceptStrides::dense(&problem),
            planned: vec![Vec::new(); batch],
            rows,
        };
        for (index, &sequence) in order.iter().enumerate() {
            let (first, own) = (row_starts[index] as usize, &world.sequences[sequence]);
            let count = own.rows as usize;
            let parent = |row: usize| match problem.tree {
                true => (own.masks[row] & !(1 << row)).checked_ilog2().map(|parent| parent as usize),
                false => row.checked_sub(1),
            };
            let token = |row: usize| 10 + 3 * row + sequence % 3;
            let mut random = Pcg64Mcg::seed_from_u64(sequence as u64 + u64::from(own.length));
            let mut path = vec![0];
            loop {
                let last = path[path.len() - 1];
                let next: Vec<usize> = (last + 1..count).filter(|&row| parent(row) == Some(last)).collect();
                if next.is_empty() || random.random_range(0..4) == 0 {
                    break;
                }
                path.push(next[random.random_range(0..next.len())]);
            }
            for row in 0..count {
                found.tokens[first + row] = token(row) as i32;
                if let Some(parents) = &mut found.parents {
                    parents[first + row] = parent(row).map_or(-1, |parent| parent as i32);
                }
                let place = path.iter().position(|&own| own == row);
                let next =
                    place.and_then(|place| path.get(place + 1)).map_or(STOP as usize, |&next| token(next));
                found.target[(first + row) * vocabulary + next] = 1.0;
                let behind: Vec<usize> =
                    (row + 1..count).filter(|&behind| parent(behind) == Some(row)).collect();
                if behind.is_empty() {
                    continue;
                }
                let of_draft = if problem.tree { first + row } else { index * (rows - 1) + row };
                if let Some(draft_rows) = &mut found.draft_rows {
                    draft_rows[first + row] = of_draft as i32;
                }
                for draft in behind {
                    found.draft[of_draft * vocabulary + token(draft)] = 1.0;
                }
            }
            found.planned[index] = path.into_iter().map(|row| row as u32).collect();
        }
        found
    }

    /// The paths as acceptance writes them.
    #[must_use]
    pub fn paths(&self) -> Vec<i32> {
        let row = |path: &[u32], place: usize| path.get(place).map_or(-1, |&row| row as i32);
        self.planned.iter().flat_map(|path| (0..self.rows).map(move |place| row(path, place))).collect()
    }

    /// Their lengths.
    #[must_use]
    pub fn counts(&self) -> Vec<i32> {
        self.planned.iter().map(|path| path.len() as i32).collect()
    }

    /// Their last rows.
    #[must_use]
    pub fn last_rows(&self) -> Vec<i32> {
        self.planned.iter().map(|path| path.last().map_or(-1, |&row| row as i32)).collect()
    }

    /// The tokens that are emitted, of sequences whose first rows are `row_starts`.
    #[must_use]
    pub fn emitted(&self, row_starts: &[i32]) -> Vec<i32> {
        let mut emitted = vec![-1; self.planned.len() * self.rows];
        for (index, path) in self.planned.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            let tokens = path[1..].iter().map(|&row| self.tokens[row_starts[index] as usize + row as usize]);
            let own = &mut emitted[index * self.rows..];
            own.iter_mut().zip(tokens.chain([STOP])).for_each(|(item, token)| *item = token);
        }
        emitted
    }

    /// What a verifier on the CPU reads.
    #[must_use]
    pub fn arrays(&self) -> AcceptanceArrays<'_> {
        AcceptanceArrays {
            target: ScoreItems::F32(&self.target),
            draft: Some(ScoreItems::F32(&self.draft)),
            draft_rows: self.draft_rows.as_deref(),
            tokens: &self.tokens,
            parents: self.parents.as_deref(),
            temperatures: &self.temperatures,
            seeds: &self.seeds,
            step: 0,
            strides: self.strides,
        }
    }
}
