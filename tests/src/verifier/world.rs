//! A small pair of models, and the caches of some sequences.

pub use dustin::attention::synthetic::NAN;
use dustin::{
    Dtype,
    accept::problem::{self as accept, ScoreKind, ScoreType, Scores},
    attention::problem::{Entries, Mask},
    element::encode,
    geometry::{Geometry, ModelShare},
    kv::{KvLayout, PagedKv},
    profile::LayerHeads,
    verifier::{Acceptance, Draft, DraftCache, Limits, Model, Rules, Stages, VerifierProblem},
};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

/// A target whose heads 2, 4 and 8 ranks can share.
pub const TARGET: Geometry = Geometry {
    layers: 3,
    query_heads: 16,
    kv_heads: 8,
    head_dim: 64,
    hidden: 1024,
    intermediate: 2048,
    vocabulary: 1000,
};

/// A draft with other heads.
pub const DRAFT: Geometry = Geometry { layers: 2, query_heads: 6, kv_heads: 2, hidden: 384, ..TARGET };

/// Steps whose rows a sequence has pages for.
const STEPS: u32 = 2;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Confirmed tokens of the sequences.
    pub lengths: Vec<u32>,
    /// Sequences without a captured target query.
    pub uncaptured: Vec<usize>,
    /// Sequences of a batch.
    pub max_batch: u32,
    /// The step's own rows of a sequence.
    pub rows: u32,
    /// Draft tokens one after the other.
    pub gamma: u32,
    /// How sets are chosen.
    pub rules: Rules,
    /// Which of the step's own rows a row sees.
    pub mask: Mask,
    /// What attention reads of a set.
    pub entries: Entries,
    /// Whether appending brings the queries, and attention gives the log-sum-exp.
    pub everything_asked: bool,
    /// Whether the verifier accepts drafts.
    pub accepts: bool,
    /// Element type of both models.
    pub dtype: Dtype,
    /// The same seed gives the same world.
    pub seed: u64,
}

impl Recipe {
    /// Sequences around the budget (48) and the threshold (100) below which everything is read, and long ones, one of which has
    /// no captured query; both maps.
    #[must_use]
    pub fn usual(seed: u64) -> Self {
        let heads = |layer, heads: &[u32]| LayerHeads { layer, heads: heads.to_vec() };
        let rules = Rules {
            sinks: 2,
            recent: 5,
            everything: 100,
            ..Rules::by_target(vec![heads(0, &[1, 6]), heads(2, &[0, 1, 9])], 48)
                .with_draft(vec![heads(0, &[4]), heads(1, &[0, 1])], 16)
        };
        Self {
            lengths: vec![700, 100, 101, 47, 48, 49, 0, 333, 450],
            uncaptured: vec![8],
            max_batch: 10,
            rows: 5,
            gamma: 4,
            rules,
            mask: Mask::Causal,
            entries: Entries::Positions,
            everything_asked: false,
            accepts: false,
            dtype: Dtype::Bf16,
            seed,
        }
    }

    /// The same, with a tree, sets of slots, queries that appending brings, log-sum-exps and half precision: all that can be asked.
    #[must_use]
    pub fn all_asked(seed: u64) -> Self {
        Self {
            rows: 9,
            mask: Mask::Tree,
            entries: Entries::Slots,
            everything_asked: true,
            dtype: Dtype::F16,
            ..Self::usual(seed)
        }
    }
}

/// A sequence, and what of the caches is its own.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Confirmed tokens.
    pub length: u32,
    /// The step's own rows.
    pub rows: u32,
    /// Pages of the target's caches.
    pub target_table: Vec<i32>,
    /// Pages of the draft's caches.
    pub draft_table: Vec<i32>,
    /// The slot of its captured target query; -1 if there is none.
    pub slot: i32,
    /// Rows that each of its rows sees.
    pub masks: Vec<u64>,
}

/// One layer's caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caches {
    /// Keys.
    pub key: Vec<u16>,
    /// Values.
    pub value: Vec<u16>,
}

/// One layer's own rows of all sequences, `[sequences, rows, heads, head_dim]`.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Keys.
    pub key: Vec<u16>,
    /// Values.
    pub value: Vec<u16>,
    /// Queries.
    pub query: Vec<u16>,
}

/// The pair, and everything that lies in memory before a step.
#[derive(Clone, Debug)]
pub struct World {
    /// What a verifier is made for.
    pub problem: VerifierProblem,
    /// Its stages.
    pub stages: Stages,
    /// The sequences.
    pub sequences: Vec<Sequence>,
    /// The target's caches, layer by layer; NaN where no confirmed token lies.
    pub target: Vec<Caches>,
    /// The draft's keys, layer by layer, likewise.
    pub draft_keys: Vec<Vec<u16>>,
    /// The target's captured queries.
    pub target_queries: Vec<u16>,
    /// The draft's captured queries; a sequence's slot is its number.
    pub draft_queries: Vec<u16>,
    /// The step's own rows, layer by layer.
    pub rows: Vec<Rows>,
}

/// Random items.
pub(super) struct Normals {
    pub(super) rng: Pcg64Mcg,
    pub(super) dtype: Dtype,
}

impl Normals {
    pub(super) fn fill(&mut self, items: &mut [u16]) {
        for item in items {
            // The method of Box and Muller; 1 - x lies in (0, 1].
            let (radius, angle): (f32, f32) = (1.0 - self.rng.random::<f32>(), self.rng.random());
            let normal = (-2.0 * radius.ln()).sqrt() * (std::f32::consts::TAU * angle).cos();
            *item = encode(self.dtype, normal);
        }
    }

    pub(super) fn items(&mut self, count: usize) -> Vec<u16> {
        let mut items = vec![0; count];
        self.fill(&mut items);
        items
    }

    /// Rows of all layers.
    pub(super) fn rows(&mut self, count: usize) -> Vec<Rows> {
        let items = |heads: u32| count * (heads * TARGET.head_dim) as usize;
        let layer = |_| Rows {
            key: self.items(items(TARGET.kv_heads)),
            value: self.items(items(TARGET.kv_heads)),
            query: self.items(items(TARGET.query_heads)),
        };
        (0..TARGET.layers).map(layer).collect()
    }
}

impl World {
    /// The world of `recipe`, whole on one rank.
    ///
    /// # Panics
    /// The recipe is of no valid problem.
    #[must_use]
    pub fn new(recipe: &Recipe) -> Self {
        let longest = recipe.lengths.iter().max().expect("a sequence") + STEPS * recipe.rows;
        let limits = Limits {
            max_batch: recipe.max_batch,
            max_total_tokens: recipe.lengths.iter().sum::<u32>() + longest,
            max_length: longest,
            rows: recipe.rows,
            gamma: recipe.gamma,
            slots: recipe.max_batch.max(recipe.lengths.len() as u32) + 2,
        };
        let pages = |page_size: u32| {
            let of_sequence = |&length: &u32| (length + STEPS * recipe.rows).div_ceil(page_size);
            recipe.lengths.iter().map(of_sequence).sum::<u32>() + 3
        };
        let target = PagedKv::dense(KvLayout::Nhd, pages(16), 16, TARGET.kv_heads, TARGET.head_dim);
        let draft = PagedKv::dense(KvLayout::Hnd, pages(8), 8, DRAFT.kv_heads, DRAFT.head_dim);
        let model = |geometry, kv| Model::new(ModelShare::whole(geometry), kv, recipe.dtype);
        let draft = Draft { model: model(DRAFT, draft), cache: DraftCache::Complete };
        let problem = VerifierProblem {
            mask: recipe.mask,
            lse: recipe.everything_asked,
            entries: recipe.entries,
            copies_queries: recipe.everything_asked,
            acceptance: recipe.accepts.then(|| acceptance(recipe)),
            ..VerifierProblem::new(model(TARGET, target), Some(draft), limits, recipe.rules.clone())
        };
        let stages = Stages::new(&problem).expect("a valid problem");
        let mut random = Normals { rng: Pcg64Mcg::seed_from_u64(recipe.seed), dtype: recipe.dtype };
        let sequences = sequences(recipe, &problem, &mut random.rng);
        let mut cache = |kv: &PagedKv, tables: fn(&Sequence) -> &[i32]| {
            let mut items = vec![NAN; kv.extent() as usize];
            for sequence in &sequences {
                for position in 0..sequence.length {
                    for head in 0..kv.kv_heads {
                        random.fill(vector(kv, tables(sequence), position, head, &mut items));
                    }
                }
            }
            items
        };
        let (target_kv, draft_kv) = (problem.target.kv, draft.model.kv);
        let target = (0..TARGET.layers)
            .map(|_| Caches {
                key: cache(&target_kv, |sequence| &sequence.target_table),
                value: cache(&target_kv, |sequence| &sequence.target_table),
            })
            .collect();
        let draft_keys =
            (0..DRAFT.layers).map(|_| cache(&draft_kv, |sequence| &sequence.draft_table)).collect();
        let rows = random.rows(recipe.lengths.len() * recipe.rows as usize);
        Self {
            target_queries: random.items(stages.target_captured.items() as usize),
            draft_queries: random.items(stages.draft_captured.items() as usize),
            problem,
            stages,
            sequences,
            target,
            draft_keys,
            rows,
        }
    }
}

/// Logits of both models, of every row.
fn acceptance(recipe: &Recipe) -> Acceptance {
    let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
    let rows = recipe.max_batch * recipe.rows;
    Acceptance { target: scores, draft: Some(accept::Draft { scores, rows, without_replacement: false }) }
}

/// The sequences, on pages of their own, in slots that are not in their order.
fn sequences(recipe: &Recipe, problem: &VerifierProblem, rng: &mut Pcg64Mcg) -> Vec<Sequence> {
    let mut free = |pages: u32| {
        let mut pages: Vec<i32> = (0..pages as i32).collect();
        pages.shuffle(rng);
        pages.into_iter()
    };
    let draft_kv = problem.draft.expect("a draft model").model.kv;
    let (mut target, mut draft) = (free(problem.target.kv.pages), free(draft_kv.pages));
    let of = |(index, &length): (usize, &u32)| {
        // One in four has fewer rows.
        let rows = if index % 4 == 3 { 2 } else { recipe.rows };
        let pages = |page_size: u32| (length + STEPS * recipe.rows).div_ceil(page_size) as usize;
        let mut masks: Vec<u64> = Vec::new();
        for row in 0..rows as usize {
            let parent = row.checked_sub(1).map_or(0, |last| masks[rng.random_range(0..=last)]);
            masks.push(parent | 1 << row);
        }
        Sequence {
            length,
            rows,
            target_table: target.by_ref().take(pages(problem.target.kv.page_size)).collect(),
            draft_table: draft.by_ref().take(pages(draft_kv.page_size)).collect(),
            slot: if recipe.uncaptured.contains(&index) { -1 } else { (recipe.lengths.len() - index) as i32 },
            masks,
        }
    };
    recipe.lengths.iter().enumerate().map(of).collect()
}

/// The head vector of a cached token.
pub fn vector<'a>(
    kv: &PagedKv,
    table: &[i32],
    position: u32,
    head: u32,
    items: &'a mut [u16],
) -> &'a mut [u16] {
    let page = table[(position / kv.page_size) as usize] as u32;
    let at = kv.offset(page, position % kv.page_size, head) as usize;
    &mut items[at..at + kv.head_dim as usize]
}
