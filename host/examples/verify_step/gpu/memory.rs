//! An engine's arrays in device memory, and their addresses as the verifier takes them.

use dustin::{
    accept::arrays::AcceptStrides,
    attention::arrays::{AttentionStrides, LogBase, OutputType},
    cache::append::arrays::AppendStrides,
    cuda::{CudaError, DeviceBuffer, DeviceItem, Stream},
    geometry::Geometry,
    verifier::{
        AcceptanceBuffers, AppendRows, AttentionRows, CaptureRows, DraftBuffers, EngineMemory, Sizes,
        StepBuffers,
    },
};

use crate::{device::Results, needles::Needle, world::World};

/// All arrays of the step.
pub(crate) struct Memory {
    pub engine: EngineMemory,
    pub step: StepBuffers,
    pub acceptance: AcceptanceBuffers,
    /// The prompt's queries of each captured layer of the target.
    pub prompt: Vec<CaptureRows>,
    /// The queries of each captured layer of the draft, of each forward.
    pub forwards: Vec<Vec<CaptureRows>>,
    /// The rows' queries, of which the last accepted ones are captured.
    pub last: CaptureRows,
    append: AppendRows,
    attention: AttentionRows,
    maps: [DeviceBuffer<f32>; 2],
    set: DeviceBuffer<i32>,
    set_sizes: DeviceBuffer<i32>,
    output: DeviceBuffer<u16>,
    emitted: DeviceBuffer<i32>,
    // Keep what the addresses name.
    _items: Vec<DeviceBuffer<u16>>,
    _indices: Vec<DeviceBuffer<i32>>,
    _temperatures: DeviceBuffer<f32>,
    _counters: [DeviceBuffer<u64>; 2],
}

impl Memory {
    pub(crate) fn new(stream: &Stream, world: &World) -> Result<Self, CudaError> {
        let mut arrays = Arrays { stream, world, items: Vec::new(), indices: Vec::new() };
        let (sizes, stages, batch) = (Sizes::new(&world.stages), &world.stages, world.lengths.len());
        let zeros = |len: u64| {
            let mut buffer = DeviceBuffer::allocate(stream.context(), len as usize)?;
            buffer.fill(stream, 0)?;
            Ok::<_, CudaError>(buffer)
        };
        let maps = [zeros(sizes.target_map)?, zeros(sizes.draft_map)?];
        let engine = arrays.engine(&sizes)?;

        let unwritten = |len: u64| DeviceBuffer::of(stream, &vec![-1; len as usize]);
        let (set, set_sizes) = (unwritten(sizes.set)?, unwritten(sizes.set_sizes)?);
        let emitted = unwritten(sizes.emitted)?;
        let width = world.shape.pages().into();
        let lengths = arrays.of(&world.lengths)?;
        let row_starts = arrays.of(&world.row_starts)?;
        let slots = arrays.of(&world.slots)?;
        let step = StepBuffers {
            lengths,
            row_starts,
            block_table: arrays.of(&world.target.block_table)?,
            table_stride: width,
            map_starts: arrays.of(&world.map_starts)?,
            slots,
            draft: DraftBuffers {
                lengths,
                block_table: arrays.of(&world.draft.block_table)?,
                table_stride: width,
                slots: 0,
            },
            target_map: maps[0].address(),
            draft_map: maps[1].address(),
            set: set.address(),
            physical: 0,
            set_sizes: set_sizes.address(),
            masks: 0,
        };

        let query = arrays.items(&world.query)?;
        let strides = AttentionStrides::dense(&stages.attention);
        let append = AppendRows {
            key: arrays.items(&world.key)?,
            value: arrays.items(&world.value)?,
            query: 0,
            query_copy: 0,
            strides: AppendStrides::dense(&stages.append),
            stable: false,
        };
        let output = DeviceBuffer::allocate(stream.context(), world.query.len())?;
        let attention = AttentionRows {
            query,
            query_row: strides.query_row,
            query_head: strides.query_head,
            output: output.address(),
            output_row: strides.output_row,
            output_head: strides.output_head,
            output_type: OutputType::Rounded,
            lse: 0,
            lse_base: LogBase::E,
            stable: true,
        };

        let Some(problem) = &stages.acceptance else { unreachable!("the shape's problem accepts") };
        let mut logits = DeviceBuffer::allocate(stream.context(), sizes.target_scores as usize)?;
        world.logits(|first, piece| logits.upload(stream, first, piece))?;
        // Greedy: nothing is drawn.
        let temperatures = DeviceBuffer::of(stream, &vec![0.0f32; batch])?;
        let counters = [DeviceBuffer::of(stream, &vec![0u64; batch])?, DeviceBuffer::of(stream, &[0u64])?];
        let acceptance = AcceptanceBuffers {
            target: keep(&mut arrays.items, logits),
            draft: 0,
            draft_rows: 0,
            tokens: arrays.of(&world.tokens)?,
            parents: 0,
            temperatures: temperatures.address(),
            seeds: counters[0].address(),
            step: counters[1].address(),
            accepted: arrays.unwritten(batch)?,
            emitted: emitted.address(),
            path: arrays.unwritten(sizes.accepted as usize)?,
            last_rows: arrays.unwritten(batch)?,
            new_lengths: arrays.unwritten(batch)?,
            strides: AcceptStrides::dense(problem),
        };

        let starts = arrays.of(&world.one_row_starts)?;
        let mut one_row = |model: Geometry, items: &[u16]| {
            Ok::<_, CudaError>(CaptureRows {
                query: arrays.items(items)?,
                query_row: (model.query_heads * model.head_dim).into(),
                query_head: model.head_dim.into(),
                total_rows: world.shape.batch,
                row_starts: starts,
                rows: 0,
                slots: 0,
            })
        };
        let prompt = world.target.queries.iter().map(|items| one_row(world.shape.target, items));
        let prompt = prompt.collect::<Result<_, _>>()?;
        let tokens = stages.draft_captured.tokens as usize;
        let forwards = world.draft.queries.chunks(tokens).map(|layer| {
            layer.iter().map(|items| one_row(world.shape.draft, items)).collect::<Result<_, _>>()
        });
        let forwards = forwards.collect::<Result<_, _>>()?;
        let last = CaptureRows {
            query,
            query_row: strides.query_row,
            query_head: strides.query_head,
            total_rows: stages.attention.total_rows,
            row_starts,
            rows: acceptance.last_rows,
            slots,
        };
        let Arrays { items, indices, .. } = arrays;
        Ok(Self {
            engine,
            step,
            acceptance,
            prompt,
            forwards,
            last,
            append,
            attention,
            maps,
            set,
            set_sizes,
            output,
            emitted,
            _items: items,
            _indices: indices,
            _temperatures: temperatures,
            _counters: counters,
        })
    }

    /// The rows of layer `layer`, which stand before the layer's attention; what comes before the first changes what `stable` says
    /// does not change.
    pub(crate) const fn append(&self, layer: u32) -> AppendRows {
        AppendRows { stable: layer > 0, ..self.append }
    }

    /// What attention reads and writes of them, right behind their launch.
    pub(crate) const fn attention(&self) -> AttentionRows {
        self.attention
    }

    pub(crate) fn results(&self, stream: &Stream) -> Result<Results, CudaError> {
        Ok(Results {
            maps: [self.maps[0].download(stream)?, self.maps[1].download(stream)?],
            set: self.set.download(stream)?,
            set_sizes: self.set_sizes.download(stream)?,
            output: self.output.download(stream)?,
            emitted: self.emitted.download(stream)?,
        })
    }
}

/// Arrays in device memory, as they come to be.
struct Arrays<'a> {
    stream: &'a Stream,
    world: &'a World,
    items: Vec<DeviceBuffer<u16>>,
    indices: Vec<DeviceBuffer<i32>>,
}

impl Arrays<'_> {
    /// Caches, and captured queries, of which there are none yet.
    fn engine(&mut self, sizes: &Sizes) -> Result<EngineMemory, CudaError> {
        let world = self.world;
        let span = world.target.model.kv.extent();
        let mut engine = EngineMemory::default();
        for layer in 0..world.shape.caches {
            let [keys, values] = World::target_arrays(layer);
            let needles = world.target.needles_of(layer);
            engine.target_keys.push(self.cache(keys, span, needles)?);
            engine.target_values.push(self.cache(values, span, std::iter::empty())?);
        }
        for layer in 0..world.draft_layers() {
            let (span, needles) = (world.draft.model.kv.extent(), world.draft.needles_of(layer));
            engine.draft_keys.push(self.cache(world.draft_array(layer), span, needles)?);
        }
        engine.target_queries = self.items(&vec![0; sizes.target_queries as usize])?;
        engine.draft_queries = self.items(&vec![0; sizes.draft_queries as usize])?;
        Ok(engine)
    }

    /// Array `array` of the tile with `needles` in it.
    fn cache<'n>(
        &mut self,
        array: u32,
        len: u64,
        needles: impl Iterator<Item = &'n Needle>,
    ) -> Result<u64, CudaError> {
        let mut cache = DeviceBuffer::allocate(self.stream.context(), len as usize)?;
        self.world.tile.fill(array, len as usize, |first, piece| cache.upload(self.stream, first, piece))?;
        for needle in needles {
            cache.upload(self.stream, needle.offset as usize, &needle.key)?;
        }
        Ok(keep(&mut self.items, cache))
    }

    fn items(&mut self, items: &[u16]) -> Result<u64, CudaError> {
        Ok(keep(&mut self.items, DeviceBuffer::of(self.stream, items)?))
    }

    fn of(&mut self, items: &[i32]) -> Result<u64, CudaError> {
        Ok(keep(&mut self.indices, DeviceBuffer::of(self.stream, items)?))
    }

    fn unwritten(&mut self, len: usize) -> Result<u64, CudaError> {
        self.of(&vec![-1; len])
    }
}

/// Puts `array` behind the others; its address.
fn keep<T: DeviceItem>(arrays: &mut Vec<DeviceBuffer<T>>, array: DeviceBuffer<T>) -> u64 {
    let address = array.address();
    arrays.push(array);
    address
}
