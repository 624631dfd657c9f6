//! A model with its paged caches: forwards whose attention the library computes.

use anyhow::Context as _;
use dustin::{
    Dtype,
    attention::{arrays::AttentionStrides, problem::Mask},
    cache::{append::arrays::AppendStrides, layer::LayerMut},
    cpu::{
        AcceptedArrays, AppendRowArrays, AttentionRowArrays, CpuBackend, CpuVerifier, DraftArrays, OutputMut,
        SetArrays, StepArrays,
    },
    element::encode,
    profile::{CpuCatalogue, DeviceId, Tuned},
    verifier::{Stages, VerifierProblem},
};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_pcg::Pcg64Mcg;

use crate::{model::Model, rows::Rows};

/// Bits of a NaN, which stand wherever nothing has been written.
const UNWRITTEN: u16 = 0x7fff;

/// What a forward's attention reads of the confirmed tokens.
#[derive(Clone, Copy)]
pub(crate) enum Reads<'a> {
    Everything,
    Set(SetArrays<'a>),
}

/// What a forward gives.
pub(crate) struct Forward {
    /// Logits, `[rows, vocabulary]`, of as many rows as there may be.
    pub(crate) logits: Vec<f32>,
    /// Queries of each layer, `[rows, query_heads, head_dim]`, likewise.
    pub(crate) queries: Vec<Vec<u16>>,
}

/// One sequence of one model.
pub(crate) struct Runner {
    pub(crate) model: Model,
    pub(crate) verifier: CpuVerifier,
    pub(crate) stages: Stages,
    pub(crate) keys: Vec<Vec<u16>>,
    values: Vec<Vec<u16>>,
    /// Physical pages, in random order.
    pub(crate) block_table: Vec<i32>,
    /// Confirmed tokens: their keys and values are in the caches.
    pub(crate) length: usize,
}

/// A sequence's arrays of a step.
pub(crate) struct Step {
    lengths: [i32; 1],
    pub(crate) row_starts: [i32; 2],
    map_starts: [i32; 2],
    masks: Vec<u64>,
}

impl Runner {
    pub(crate) fn new(model: Model, problem: &VerifierProblem, seed: u64) -> anyhow::Result<Self> {
        let backend = CpuBackend::new(1).context("a thread cannot be started")?;
        let tuned = Tuned::new([], CpuCatalogue { limits: backend.limits() });
        let verifier = CpuVerifier::new(backend, problem, &tuned, &DeviceId::cpu("this CPU"))?;
        let kv = problem.target.kv;
        let cache = || vec![vec![UNWRITTEN; kv.extent() as usize]; model.layers.len()];
        let mut block_table: Vec<i32> = (0..problem.target_table_width() as i32).collect();
        block_table.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
        Ok(Self {
            keys: cache(),
            values: cache(),
            stages: verifier.stages().clone(),
            verifier,
            model,
            block_table,
            length: 0,
        })
    }

    /// The most rows of a forward.
    pub(crate) fn capacity(&self) -> usize {
        self.stages.attention.total_rows as usize
    }

    /// The arrays of a step with `rows`.
    pub(crate) fn step(&self, rows: &Rows) -> Step {
        let tree = self.stages.attention.mask == Mask::Tree;
        let mut masks = if tree { rows.masks() } else { Vec::new() };
        masks.resize(if tree { self.capacity() } else { 0 }, 0);
        let length = self.length as i32;
        Step { lengths: [length], row_starts: [0, rows.len() as i32], map_starts: [0, length], masks }
    }

    /// Appends `rows` behind the confirmed tokens, layer by layer, with attention to what `reads` says and to the rows themselves.
    pub(crate) fn forward(&mut self, rows: &Rows, reads: Reads<'_>) -> anyhow::Result<Forward> {
        let (step, capacity, length) = (self.step(rows), self.capacity(), self.length);
        let Self { model, verifier, stages, keys, values, block_table, .. } = self;
        let arrays = step.arrays(block_table, &[]);
        let (dtype, head_dim) = (stages.attention.dtype, model.geometry.head_dim as usize);
        let strides = AttentionStrides::dense(&stages.attention);
        let [queries_row, keys_row] =
            [model.geometry.query_heads, model.geometry.kv_heads].map(|heads| heads as usize * head_dim);
        let mut states: Vec<Vec<f32>> = rows.tokens.iter().map(|&token| model.embed(token)).collect();
        let depths = rows.depths();
        let mut queries = Vec::new();
        for ((layer, keys), values) in model.layers.iter().zip(keys).zip(values) {
            let [mut query, mut key, mut value] =
                [queries_row, keys_row, keys_row].map(|row| vec![UNWRITTEN; capacity * row]);
            for (row, state) in states.iter().enumerate() {
                // A tree's row stands at its depth, wherever it lies in the cache until it is accepted.
                let own = layer.project(state, length + depths[row], head_dim);
                put(dtype, &mut query, row, &own.query);
                put(dtype, &mut key, row, &own.key);
                put(dtype, &mut value, row, &own.value);
            }
            let append = AppendRowArrays {
                key: &key,
                value: &value,
                query: &[],
                strides: AppendStrides::dense(&stages.append),
            };
            let mut layer_mut = LayerMut::Separate { key: keys, value: values };
            verifier.append(&arrays, &append, &mut layer_mut, &mut [])?;
            let attend = AttentionRowArrays {
                query: &query,
                key: keys,
                value: values,
                query_row: strides.query_row,
                query_head: strides.query_head,
                output_row: strides.output_row,
                output_head: strides.output_head,
            };
            let mut attended = vec![0.0; capacity * queries_row];
            let output = OutputMut::F32(&mut attended);
            match reads {
                Reads::Everything => verifier.full_attention(&arrays, &attend, output, None)?,
                Reads::Set(set) => verifier.attention(&arrays, &set, &attend, output, None)?,
            }
            for (state, attended) in states.iter_mut().zip(attended.chunks(queries_row)) {
                layer.finish(state, attended);
            }
            queries.push(query);
        }
        let mut logits: Vec<f32> = states.iter().flat_map(|state| model.logits(state)).collect();
        logits.resize(capacity * model.geometry.vocabulary as usize, f32::NAN);
        Ok(Forward { logits, queries })
    }

    /// Confirms `tokens`, as a prompt's are; the last forward, if there are any.
    pub(crate) fn prefill(&mut self, tokens: &[i32]) -> anyhow::Result<Option<(usize, Forward)>> {
        let mut last = None;
        for chunk in tokens.chunks(self.capacity()) {
            last = Some((chunk.len(), self.forward(&Rows::chain(chunk), Reads::Everything)?));
            self.length += chunk.len();
        }
        Ok(last)
    }

    /// Moves the accepted rows of a tree up behind the confirmed tokens.
    pub(crate) fn compact(&mut self, step: &Step, path: &[i32]) -> anyhow::Result<()> {
        let Self { verifier, stages, keys, values, block_table, .. } = self;
        let layers = keys.iter_mut().zip(values);
        let mut layers: Vec<LayerMut<'_>> =
            layers.map(|(key, value)| LayerMut::Separate { key, value }).collect();
        let accepted = AcceptedArrays { rows: path, stride: stages.compaction.accepted.into(), counts: &[] };
        Ok(verifier.compact(&step.arrays(block_table, &[]), &accepted, &mut layers)?)
    }
}

impl Step {
    /// The same as the verifier takes them, with the block tables of this model and, where it is read, of the draft.
    pub(crate) fn arrays<'a>(&'a self, block_table: &'a [i32], draft_table: &'a [i32]) -> StepArrays<'a> {
        StepArrays {
            lengths: &self.lengths,
            row_starts: &self.row_starts,
            block_table,
            table_stride: block_table.len() as u64,
            map_starts: &self.map_starts,
            slots: &[0],
            draft: DraftArrays {
                lengths: &self.lengths,
                block_table: draft_table,
                table_stride: draft_table.len() as u64,
                slots: None,
            },
            masks: &self.masks,
        }
    }
}

/// Rounds a row's items to where they belong in `rows`.
fn put(dtype: Dtype, rows: &mut [u16], row: usize, items: &[f32]) {
    let own = &mut rows[row * items.len()..][..items.len()];
    own.iter_mut().zip(items).for_each(|(bits, &item)| *bits = encode(dtype, item));
}
