//! What a step reads and writes, in device memory: random caches, queries and rows; pages in random order.

use dustin::{
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    cuda::{CudaError, DeviceBuffer, DeviceItem, Stream},
    verifier::{
        AppendRows, AttentionRows, DraftBuffers, EngineMemory, Sizes, Stages, StepBuffers, VerifierProblem,
    },
};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_pcg::Pcg64Mcg;

use super::StepShape;
use crate::SEED;

/// Items of the random block that fills arrays, over and over: 8 MiB, a prime number less, so that repetitions lie differently in pages.
const BLOCK: usize = (4 << 20) - 3;

/// A step's arrays. The step's own rows are the same in all layers.
#[derive(Debug)]
pub(super) struct Memory {
    engine: EngineMemory,
    step: StepBuffers,
    append: AppendRows,
    attention: AttentionRows,
    // Keep what the addresses name.
    _items: Vec<DeviceBuffer<u16>>,
    _maps: Vec<DeviceBuffer<f32>>,
    _indices: Vec<DeviceBuffer<i32>>,
}

impl Memory {
    pub(super) fn new(
        stream: &Stream,
        shape: &StepShape,
        problem: &VerifierProblem,
        stages: &Stages,
    ) -> Result<Self, CudaError> {
        let mut arrays = Arrays::new(stream);
        let sizes = Sizes::new(stages);
        let cache = problem.target.kv;
        let caches = |arrays: &mut Arrays<'_>| {
            (0..shape.caches).map(|_| arrays.random(cache.extent() as usize)).collect::<Result<Vec<_>, _>>()
        };
        let (target_keys, target_values) = (caches(&mut arrays)?, caches(&mut arrays)?);
        let draft_layers = stages.draft_captured.layers.iter().map(|own| own.layer + 1).max().unwrap_or(0);
        let draft_span = problem.draft.map_or(0, |draft| draft.model.kv.extent());
        let draft_keys =
            (0..draft_layers).map(|_| arrays.random(draft_span as usize)).collect::<Result<_, _>>()?;
        let engine = EngineMemory {
            target_keys,
            target_values,
            target_queries: arrays.queries(sizes.target_queries as usize)?,
            draft_keys,
            draft_queries: arrays.queries(sizes.draft_queries as usize)?,
        };

        let (batch, rows) = (shape.batch as usize, problem.limits.rows);
        let starts =
            |each: u32| (0..=shape.batch).map(|sequence| (sequence * each) as i32).collect::<Vec<_>>();
        let lengths = arrays.of(&vec![shape.context as i32; batch])?;
        let slots = arrays.of(&starts(1)[..batch])?;
        let width = u64::from(shape.pages());
        let step = StepBuffers {
            lengths,
            row_starts: arrays.of(&starts(rows))?,
            block_table: arrays.pages(batch * width as usize)?,
            table_stride: width,
            map_starts: arrays.of(&starts(shape.context))?,
            slots,
            draft: DraftBuffers {
                lengths,
                block_table: arrays.pages(batch * width as usize)?,
                table_stride: width,
                slots: 0,
            },
            target_map: arrays.map(sizes.target_map as usize)?,
            draft_map: arrays.map(sizes.draft_map as usize)?,
            set: arrays.of(&vec![-1; sizes.set as usize])?,
            physical: 0,
            set_sizes: arrays.of(&vec![-1; batch])?,
            masks: 0,
        };

        let token = (cache.kv_heads * cache.head_dim) as usize;
        let total_rows = batch * rows as usize;
        let query = total_rows * (stages.attention.query_heads * cache.head_dim) as usize;
        let query_copy = arrays.random(query)?;
        let strides = AttentionStrides::dense(&stages.attention);
        let append = AppendRows {
            key: arrays.random(total_rows * token)?,
            value: arrays.random(total_rows * token)?,
            query: arrays.random(query)?,
            query_copy,
            strides: AppendStrides::dense(&stages.append),
            stable: false,
        };
        let attention = AttentionRows {
            query: query_copy,
            query_row: strides.query_row,
            query_head: strides.query_head,
            output: arrays.random(query)?,
            output_row: strides.output_row,
            output_head: strides.output_head,
            output_type: OutputType::Rounded,
            lse: 0,
            lse_base: LogBase::E,
            stable: true,
        };
        let Arrays { items, maps, indices, .. } = arrays;
        Ok(Self { engine, step, append, attention, _items: items, _maps: maps, _indices: indices })
    }

    /// What stays where it is from step to step.
    pub(super) const fn engine(&self) -> &EngineMemory {
        &self.engine
    }

    /// The step's arrays.
    pub(super) const fn step(&self) -> &StepBuffers {
        &self.step
    }

    /// The rows of layer `layer`, which stand before the layer's attention; what comes before the first is not known.
    pub(super) const fn append(&self, layer: u32) -> AppendRows {
        AppendRows { stable: layer > 0, ..self.append }
    }

    /// What attention reads and writes of them, behind their launch.
    pub(super) const fn attention(&self) -> AttentionRows {
        self.attention
    }
}

/// Arrays in device memory, as they come to be.
struct Arrays<'a> {
    stream: &'a Stream,
    random: Pcg64Mcg,
    block: Vec<u16>,
    items: Vec<DeviceBuffer<u16>>,
    maps: Vec<DeviceBuffer<f32>>,
    indices: Vec<DeviceBuffer<i32>>,
}

impl<'a> Arrays<'a> {
    fn new(stream: &'a Stream) -> Self {
        let mut random = Pcg64Mcg::seed_from_u64(SEED);
        let block = (0..BLOCK).map(|_| bf16(&mut random, 1.0)).collect();
        Self { stream, random, block, items: Vec::new(), maps: Vec::new(), indices: Vec::new() }
    }

    /// `len` random bf16 items between -1 and 1.
    fn random(&mut self, len: usize) -> Result<u64, CudaError> {
        let mut array = DeviceBuffer::allocate(self.stream.context(), len)?;
        for first in (0..len).step_by(BLOCK) {
            array.upload(self.stream, first, &self.block[..BLOCK.min(len - first)])?;
        }
        Ok(keep(&mut self.items, array))
    }

    /// `len` random bf16 items between -4 and 4: captured queries, whose logits then spread by more than one, as those of heads that
    /// retrieve do. Maps without peaks are a case of their own for selection.
    fn queries(&mut self, len: usize) -> Result<u64, CudaError> {
        let items: Vec<u16> = (0..len).map(|_| bf16(&mut self.random, 4.0)).collect();
        Ok(keep(&mut self.items, DeviceBuffer::of(self.stream, &items)?))
    }

    /// A map, with nothing in it.
    fn map(&mut self, len: usize) -> Result<u64, CudaError> {
        let mut array = DeviceBuffer::allocate(self.stream.context(), len)?;
        array.fill(self.stream, 0)?;
        Ok(keep(&mut self.maps, array))
    }

    fn of(&mut self, items: &[i32]) -> Result<u64, CudaError> {
        Ok(keep(&mut self.indices, DeviceBuffer::of(self.stream, items)?))
    }

    /// The numbers of all of so many pages, in random order.
    fn pages(&mut self, count: usize) -> Result<u64, CudaError> {
        let mut pages: Vec<i32> = (0..count as i32).collect();
        pages.shuffle(&mut self.random);
        self.of(&pages)
    }
}

/// A random item between minus and plus `bound`: the upper half of a float is the bf16 next to it, towards zero.
fn bf16(random: &mut Pcg64Mcg, bound: f32) -> u16 {
    (random.random_range(-bound..bound).to_bits() >> 16) as u16
}

/// Puts `array` behind the others; its address.
fn keep<T: DeviceItem>(arrays: &mut Vec<DeviceBuffer<T>>, array: DeviceBuffer<T>) -> u64 {
    let address = array.address();
    arrays.push(array);
    address
}
