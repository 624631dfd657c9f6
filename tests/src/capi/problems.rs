//! Problems as structs of the C ABI.

use dustin::{
    Dtype,
    attention::problem::{AttentionProblem, Confirmed, Entries, Mask},
    cache::{append::problem::AppendProblem, compact::problem::CompactProblem},
    kv::PagedKv,
    score::problem::ScoreProblem,
    select::problem::{Fallback, Maps, SelectProblem},
};
use dustin_c::{
    dustin_append_problem, dustin_attention_problem, dustin_compact_problem, dustin_confirmed, dustin_dtype,
    dustin_entries, dustin_fallback, dustin_maps, dustin_mask, dustin_paged_kv, dustin_score_heads,
    dustin_score_problem, dustin_select_problem,
};

use super::sized;

/// An element type.
#[must_use]
pub const fn dtype(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::Bf16 => dustin_dtype::Bf16 as u32,
        Dtype::F16 => dustin_dtype::F16 as u32,
    }
}

/// A cache.
#[must_use]
pub const fn paged_kv(kv: &PagedKv, items: Dtype) -> dustin_paged_kv {
    dustin_paged_kv {
        pages: kv.pages,
        page_size: kv.page_size,
        kv_heads: kv.kv_heads,
        head_dim: kv.head_dim,
        page_stride: kv.page_stride,
        token_stride: kv.token_stride,
        kv_head_stride: kv.kv_head_stride,
        dtype: dtype(items),
        reserved: 0,
    }
}

/// What counts of sets.
#[must_use]
pub const fn entries(entries: Entries) -> u32 {
    match entries {
        Entries::Positions => dustin_entries::Positions as u32,
        Entries::Slots => dustin_entries::Slots as u32,
    }
}

/// A mask.
#[must_use]
pub const fn mask(mask: Mask) -> u32 {
    match mask {
        Mask::Causal => dustin_mask::Causal as u32,
        Mask::Tree => dustin_mask::Tree as u32,
    }
}

/// Attention.
#[must_use]
pub fn attention_problem(problem: &AttentionProblem) -> dustin_attention_problem {
    let own = dustin_attention_problem {
        struct_size: sized::<dustin_attention_problem>(),
        batch: problem.batch,
        rows: problem.rows,
        total_rows: problem.total_rows,
        query_heads: problem.query_heads,
        table_width: problem.table_width,
        dtype: dtype(problem.dtype),
        confirmed: dustin_confirmed::Everything as u32,
        kv: paged_kv(&problem.kv, problem.dtype),
        mask: mask(problem.mask),
        lse: problem.lse.into(),
        batch_invariant: problem.batch_invariant.into(),
        ..dustin_attention_problem::default()
    };
    match problem.confirmed {
        Confirmed::Everything => own,
        Confirmed::Window { sinks, recent } => {
            dustin_attention_problem { confirmed: dustin_confirmed::Window as u32, sinks, recent, ..own }
        }
        Confirmed::Sets(sets) => dustin_attention_problem {
            confirmed: dustin_confirmed::Sets as u32,
            set_capacity: sets.capacity,
            set_block: sets.block,
            set_entries: entries(sets.entries),
            set_per_kv_head: sets.per_kv_head.into(),
            ..own
        },
    }
}

/// Score gathering, with the lists that its struct points to.
#[derive(Debug)]
pub struct ScoreDescription {
    problem: dustin_score_problem,
    heads: Vec<Vec<u32>>,
    weights: Vec<Vec<f32>>,
    layers: Vec<dustin_score_heads>,
}

impl ScoreDescription {
    /// The description of `problem`, every weight given.
    #[must_use]
    pub fn new(problem: &ScoreProblem) -> Self {
        let sources = &problem.sources;
        let heads = sources.iter().map(|own| own.heads.iter().map(|head| head.head).collect()).collect();
        let weights = sources.iter().map(|own| own.heads.iter().map(|head| head.weight).collect()).collect();
        let own = dustin_score_problem {
            struct_size: sized::<dustin_score_problem>(),
            batch: problem.batch,
            map_capacity: problem.map_capacity,
            tokens: problem.tokens,
            slots: problem.slots,
            query_heads: problem.query_heads,
            table_width: problem.table_width,
            dtype: dtype(problem.dtype),
            kv: paged_kv(&problem.kv, problem.dtype),
            layers: std::ptr::null(),
            layer_count: sources.len() as u32,
            accumulate: problem.accumulate.into(),
        };
        Self { problem: own, heads, weights, layers: Vec::new() }
    }

    /// The struct, valid as long as this is.
    #[must_use]
    pub fn problem(&mut self) -> dustin_score_problem {
        let lists = self.heads.iter().zip(&self.weights);
        self.layers = lists
            .map(|(heads, weights)| dustin_score_heads {
                heads: heads.as_ptr(),
                weights: weights.as_ptr(),
                count: heads.len() as u32,
                reserved: 0,
            })
            .collect();
        dustin_score_problem { layers: self.layers.as_ptr(), ..self.problem }
    }
}

/// Selection.
#[must_use]
pub fn select_problem(problem: &SelectProblem) -> dustin_select_problem {
    let maps = match problem.maps {
        Maps::Target => dustin_maps::Target,
        Maps::Draft => dustin_maps::Draft,
        Maps::Both => dustin_maps::Both,
        Maps::Neither => dustin_maps::Neither,
    };
    dustin_select_problem {
        struct_size: sized::<dustin_select_problem>(),
        batch: problem.batch,
        map_capacity: problem.map_capacity,
        budget: problem.budget,
        maps: maps as u32,
        quota: problem.quota,
        sinks: problem.sinks,
        recent: problem.recent,
        block: problem.block,
        pooling: problem.pooling,
        everything: problem.everything,
        slots: problem.slots.unwrap_or(0),
        without_target: fallback(problem.without_target),
        pages: problem.table.map_or(0, |table| table.pages),
        page_size: problem.table.map_or(0, |table| table.page_size),
        table_width: problem.table.map_or(0, |table| table.table_width),
    }
}

/// What a sequence without a target map gets.
#[must_use]
pub const fn fallback(fallback: Fallback) -> u32 {
    match fallback {
        Fallback::Everything => dustin_fallback::Everything as u32,
        Fallback::Draft => dustin_fallback::Draft as u32,
    }
}

/// Appending.
#[must_use]
pub const fn append_problem(problem: &AppendProblem) -> dustin_append_problem {
    dustin_append_problem {
        struct_size: sized::<dustin_append_problem>(),
        batch: problem.step.batch,
        rows: problem.step.rows,
        total_rows: problem.step.total_rows,
        table_width: problem.step.table_width,
        query_heads: problem.query_heads,
        kv: paged_kv(&problem.step.kv, Dtype::Bf16),
    }
}

/// Compaction.
#[must_use]
pub fn compact_problem(problem: &CompactProblem) -> dustin_compact_problem {
    dustin_compact_problem {
        struct_size: sized::<dustin_compact_problem>(),
        batch: problem.step.batch,
        rows: problem.step.rows,
        total_rows: problem.step.total_rows,
        table_width: problem.step.table_width,
        layers: problem.layers,
        accepted: problem.accepted,
        counted: problem.counted.into(),
        kv: paged_kv(&problem.step.kv, Dtype::Bf16),
    }
}
