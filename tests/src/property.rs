//! Random problems, for every back end alike.

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dustin::{
    Dtype,
    attention::{
        arrays::{LogBase, OutputType},
        launch::Splits,
        problem::{Confirmed, Entries, Mask, Sets},
        reference::{self, Reference},
        synthetic::{AttentionInput, Contents, Logits, Plant, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::registry::{ATTENTION, AttentionVariant};
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

/// How large random problems are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The most sequences.
    pub batch: usize,
    /// The most KV heads.
    pub kv_heads: u32,
    /// The most confirmed tokens of a sequence.
    pub length: u32,
    /// The most query rows of a sequence.
    pub rows: u32,
}

/// A random problem with its input's recipe, and how it is asked for.
#[derive(Clone, Debug)]
pub struct Case {
    /// The input.
    pub recipe: Recipe,
    /// Faults planted in it, each in a sequence.
    pub plants: Vec<(Plant, usize)>,
    /// Splits of each sequence's tokens.
    pub splits: u32,
    /// Whether they are a cluster, where a variant can.
    pub clustered: bool,
    /// Item type of the output.
    pub output_type: OutputType,
    /// Base of the log-sum-exp.
    pub lse_base: LogBase,
}

impl Case {
    /// How `variant` is to divide sequences.
    #[must_use]
    pub fn divided_by(&self, variant: &AttentionVariant) -> Splits {
        let clusters = self.clustered && variant.tile.clusters(variant.head_dim);
        if clusters && self.splits > 1 { Splits::of_cluster(self.splits) } else { self.splits.into() }
    }

    /// The input with its faults, and what it must give.
    ///
    /// # Errors
    /// The recipe is of no valid problem.
    pub fn input(&self) -> Result<(AttentionInput, Reference), String> {
        let mut input = self.recipe.input().map_err(|error| error.to_string())?;
        for &(plant, sequence) in &self.plants {
            // Not every sequence has what a fault needs: then there is none.
            input.plant(plant, sequence);
        }
        let reference =
            reference::attention(&input.problem, &input.arrays()).map_err(|error| error.to_string())?;
        Ok((input, reference))
    }
}

/// Random problems of an element type and a head size: ragged lengths, row counts from 0, sets from nothing to the
/// whole length and the flag EVERYTHING in one batch, sets of tokens and of blocks, by positions and by slots, for a sequence or for each
/// KV head, windows, whole caches, trees, page sizes 1 to 256, groups 1 to 16, both layouts, rows or heads outside, gaps in the strides,
/// poison, and now and then a planted fault.
pub fn cases(dtype: Dtype, head_dim: u32, size: Size) -> impl Strategy<Value = Case> {
    let sequences = prop::collection::vec(sequence(size), 1..=size.batch);
    let cache = (1..=size.kv_heads, 1u32..=16, 0u32..=8, select(vec![KvLayout::Nhd, KvLayout::Hnd]));
    let capacities = (0u32..=3, 0u32..=2, any::<bool>(), any::<bool>());
    let read = (confirmed(size), select(vec![Mask::Causal, Mask::Tree]));
    let contents = (select(vec![Logits::Flat, Logits::Peaked]), any::<bool>(), any::<bool>(), any::<u64>());
    let plants = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((select(&Plant::ALL[..]), 0..size.batch), 1..=2),
    ];
    let asked = (
        1u32..=8,
        any::<bool>(),
        select(vec![OutputType::Rounded, OutputType::F32]),
        select(vec![LogBase::E, LogBase::Two]),
    );
    (sequences, cache, capacities, read, contents, plants, asked).prop_map(
        move |(sequences, cache, (spare, padding, head_major, lse), read, contents, plants, asked)| {
            let (confirmed, mask) = read;
            let (kv_heads, group, page_bits, layout) = cache;
            let (logits, sorted, poison_unselected, seed) = contents;
            let (splits, clustered, output_type, lse_base) = asked;
            let contents = Contents { logits, sorted, poison_unselected, seed };
            let recipe = Recipe {
                dtype,
                head_dim,
                kv_heads,
                group,
                page_size: 1 << page_bits,
                layout,
                sequences,
                confirmed: within(confirmed, 1 << page_bits),
                mask,
                spare,
                padding,
                head_major,
                lse,
                contents,
            };
            Case { recipe, plants, splits, clustered, output_type, lse_base }
        },
    )
}

/// [`cases`] whose first sequence is long: it has rows and a set of `set_size` positions, in at most two splits.
pub fn long_cases(dtype: Dtype, head_dim: u32, size: Size, set_size: u32) -> impl Strategy<Value = Case> {
    (cases(dtype, head_dim, size), 1..=size.rows.max(1), 0..=64u32, 1u32..=2).prop_map(
        move |(mut case, rows, unselected, splits)| {
            case.recipe.sequences[0] = SequenceShape { length: set_size + unselected, rows, set_size };
            Case { splits, ..case }
        },
    )
}

/// What of the confirmed tokens is read.
fn confirmed(size: Size) -> impl Strategy<Value = Confirmed> {
    let block = prop_oneof![2 => Just(0_u32), 1 => 1_u32..=8].prop_map(|bits| 1 << bits);
    let sets = (block, select(vec![Entries::Positions, Entries::Slots]), any::<bool>()).prop_map(
        |(block, entries, per_kv_head)| {
            Confirmed::Sets(Sets { block, entries, per_kv_head, ..Sets::of_positions(0) })
        },
    );
    let part = 0..=size.length / 2;
    let window = (part.clone(), part).prop_map(|(sinks, recent)| Confirmed::Window { sinks, recent });
    prop_oneof![2 => Just(Confirmed::Sets(Sets::of_positions(0))), 4 => sets, 1 => window, 1 => Just(Confirmed::Everything)]
}

/// `confirmed` for pages of `page_size`: slots come in blocks within a page.
fn within(confirmed: Confirmed, page_size: u32) -> Confirmed {
    match confirmed {
        Confirmed::Sets(sets @ Sets { entries: Entries::Slots, .. }) => {
            Confirmed::Sets(Sets { block: sets.block.min(page_size), ..sets })
        }
        any => any,
    }
}

fn sequence(size: Size) -> impl Strategy<Value = SequenceShape> {
    let length = prop_oneof![1 => Just(0), 1 => Just(1), 6 => 0..=size.length];
    (length, 0..=size.rows, 0u32..=7, any::<u32>()).prop_map(|(length, rows, kind, random)| {
        let set_size = match kind {
            0 => 0,
            1 => length,
            2 => SequenceShape::EVERYTHING,
            _ => random % (length + 1),
        };
        SequenceShape { length, rows, set_size }
    })
}

/// Runs case `i` of `count`, drawn from `strategy(i)`, through `test(i, case)`, on all cores; a failing case is shrunk.
/// Cases are the same in every run; `DUSTIN_TEST_SEED` (a number) draws others.
///
/// # Panics
/// A case fails.
pub fn for_each_case<S: Strategy<Value = Case>>(
    count: usize,
    strategy: impl Fn(usize) -> S + Sync,
    test: impl Fn(usize, &Case) -> Result<(), String> + Sync,
) {
    let seed = std::env::var("DUSTIN_TEST_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let one = |index| {
        let mut runner = TestRunner::new_with_rng(
            Config { failure_persistence: None, max_shrink_iters: 64, ..Config::default() },
            rng(seed, index),
        );
        let tree = strategy(index).new_tree(&mut runner).expect("a strategy without filters gives a case");
        let verdict = runner.run_one(tree, |case| test(index, &case).map_err(TestCaseError::fail));
        if let Err(TestError::Fail(reason, case)) = verdict {
            panic!("case {index} of seed {seed}: {reason}\n{case:#?}");
        }
    };
    // Not by a pool: a thread of it that waits for a back end's own threads would begin another case on the same stack.
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(count);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        break;
                    }
                    one(index);
                }
            });
        }
    });
}

/// [`for_each_case`] with the attention kernel's variants in turn: case `i` is drawn from `strategy(i, variant)`, and
/// runs through `test(variant, case)`.
///
/// # Panics
/// A case fails.
pub fn for_each_variant<S: Strategy<Value = Case>>(
    count: usize,
    strategy: impl Fn(usize, &'static AttentionVariant) -> S + Sync,
    test: impl Fn(&'static AttentionVariant, &Case) -> Result<(), String> + Sync,
) {
    let variant = |index: usize| &ATTENTION[index % ATTENTION.len()];
    for_each_case(
        count,
        |index| strategy(index, variant(index)),
        |index, case| {
            let variant = variant(index);
            test(variant, case).map_err(|error| format!("{}: {error}", variant.id))
        },
    );
}

fn rng(seed: u64, index: usize) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&(index as u64).to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}
