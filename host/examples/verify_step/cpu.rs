//! The step on the CPU: a [`CpuVerifier`] over arrays in host memory.

use std::{convert::Infallible, thread, time::Instant};

use anyhow::{Context as _, ensure};
use dustin::{
    accept::arrays::{AcceptOutput, AcceptStrides, ScoreItems},
    attention::arrays::AttentionStrides,
    cache::{append::arrays::AppendStrides, layer::LayerMut},
    cpu::{
        self, AcceptanceArrays, AcceptedArrays, AppendRowArrays, AttentionRowArrays, CaptureRowArrays,
        CpuBackend, CpuVerifier, DraftArrays, OutputMut, SetArrays, StepArrays,
    },
    geometry::Geometry,
    profile::{CpuCatalogue, DeviceId, Entry, Tuned},
    select::arrays::SelectOutput,
    verifier::Report,
};

use crate::{
    device::{Device, Part, Reads, Results, median},
    needles::Needle,
    world::World,
};

const REPETITIONS: usize = 3;

/// The verifier and all that an engine owns.
pub(crate) struct Cpu<'a> {
    verifier: CpuVerifier,
    world: &'a World,
    memory: Memory,
}

struct Memory {
    keys: Vec<Vec<u16>>,
    values: Vec<Vec<u16>>,
    draft_keys: Vec<Vec<u16>>,
    target_queries: Vec<u16>,
    draft_queries: Vec<u16>,
    logits: Vec<u16>,
    results: Results,
    path: Vec<i32>,
    last_rows: Vec<i32>,
    new_lengths: Vec<i32>,
    accepted: Vec<i32>,
}

impl<'a> Cpu<'a> {
    pub(crate) fn new(world: &'a World, entries: Vec<Entry>) -> anyhow::Result<Self> {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
        let backend = CpuBackend::new(threads).context("the CPU's threads cannot be started")?;
        let tuned = Tuned::new(entries, CpuCatalogue { limits: backend.limits() });
        let verifier = CpuVerifier::new(backend, &world.problem, &tuned, &DeviceId::cpu(cpu::name()))?;
        let memory = Memory::new(world, &verifier);
        Ok(Self { verifier, world, memory })
    }

    fn submit(&mut self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::CapturePrompt => self.capture_prompt()?,
            Part::TargetMap => self.target_map()?,
            Part::DraftMap => self.draft_map()?,
            Part::BothMaps => {
                self.target_map()?;
                self.draft_map()?;
            }
            Part::Select => self.select()?,
            Part::Layers(reads) => {
                (0..self.world.shape.layers).try_for_each(|layer| self.layer(layer, reads))?;
            }
            Part::Accept => self.accept()?,
            Part::Compact => self.compact()?,
            Part::Capture => self.capture()?,
        }
        Ok(())
    }

    fn capture_prompt(&mut self) -> anyhow::Result<()> {
        let (world, captured) = (self.world, &self.world.stages.target_captured);
        for (place, own) in captured.layers.iter().enumerate() {
            let rows = of_one_row(world, world.shape.target, world.target.queries(captured, place, 0));
            self.verifier.capture_target(own.layer, &rows, &mut self.memory.target_queries)?;
        }
        Ok(())
    }

    fn target_map(&mut self) -> anyhow::Result<()> {
        let memory = &mut self.memory;
        let keys: Vec<&[u16]> = memory.keys.iter().map(Vec::as_slice).collect();
        let map = &mut memory.results.maps[0];
        self.verifier.score_target(&step(self.world), &memory.target_queries, &keys, map)?;
        Ok(())
    }

    fn draft_map(&mut self) -> anyhow::Result<()> {
        let (world, memory) = (self.world, &mut self.memory);
        let captured = &world.stages.draft_captured;
        for token in 0..captured.tokens {
            for (place, own) in captured.layers.iter().enumerate() {
                let rows = of_one_row(world, world.shape.draft, world.draft.queries(captured, place, token));
                self.verifier.capture_draft(own.layer, token, &rows, &mut memory.draft_queries)?;
            }
        }
        let keys: Vec<&[u16]> = memory.draft_keys.iter().map(Vec::as_slice).collect();
        let map = &mut memory.results.maps[1];
        self.verifier.score_draft(&step(world), &memory.draft_queries, &keys, map)?;
        Ok(())
    }

    fn select(&mut self) -> anyhow::Result<()> {
        let Results { maps: [target, draft], set, set_sizes, .. } = &mut self.memory.results;
        let sets = SelectOutput { set, physical: None, set_sizes };
        self.verifier.select(&step(self.world), Some(target), Some(draft), sets)?;
        Ok(())
    }

    fn layer(&mut self, layer: u32, reads: Reads) -> anyhow::Result<()> {
        let (world, memory, step) = (self.world, &mut self.memory, step(self.world));
        let cache = (layer % world.shape.caches) as usize;
        let (key, value) = (&mut memory.keys[cache], &mut memory.values[cache]);
        let rows = AppendRowArrays {
            key: &world.key,
            value: &world.value,
            query: &[],
            strides: AppendStrides::dense(&world.stages.append),
        };
        self.verifier.append(&step, &rows, &mut LayerMut::Separate { key, value }, &mut [])?;
        let strides = AttentionStrides::dense(&world.stages.attention);
        let rows = AttentionRowArrays {
            query: &world.query,
            key,
            value,
            query_row: strides.query_row,
            query_head: strides.query_head,
            output_row: strides.output_row,
            output_head: strides.output_head,
        };
        let Results { set, set_sizes, output, .. } = &mut memory.results;
        let output = OutputMut::Rounded(output);
        match reads {
            Reads::Nothing => Ok(()),
            Reads::Sets => self.verifier.attention(&step, &SetArrays { set, set_sizes }, &rows, output, None),
            Reads::Everything => self.verifier.full_attention(&step, &rows, output, None),
        }?;
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        let (world, memory) = (self.world, &mut self.memory);
        let Some(problem) = &world.stages.acceptance else { unreachable!("the shape's problem accepts") };
        let batch = world.lengths.len();
        let arrays = AcceptanceArrays {
            target: ScoreItems::Half(&memory.logits),
            draft: None,
            draft_rows: None,
            tokens: &world.tokens,
            parents: None,
            // Greedy: nothing is drawn.
            temperatures: &vec![0.0; batch],
            seeds: &vec![0; batch],
            step: 0,
            strides: AcceptStrides::dense(problem),
        };
        let output = AcceptOutput {
            accepted: &mut memory.accepted,
            emitted: &mut memory.results.emitted,
            path: &mut memory.path,
            last_rows: &mut memory.last_rows,
            new_lengths: Some(&mut memory.new_lengths),
        };
        self.verifier.accept(&step(world), &arrays, output)?;
        Ok(())
    }

    fn compact(&mut self) -> anyhow::Result<()> {
        let memory = &mut self.memory;
        let layers = memory.keys.iter_mut().zip(&mut memory.values);
        let mut layers: Vec<LayerMut<'_>> =
            layers.map(|(key, value)| LayerMut::Separate { key, value }).collect();
        let stride = self.world.stages.compaction.accepted.into();
        let accepted = AcceptedArrays { rows: &memory.path, stride, counts: &[] };
        self.verifier.compact(&step(self.world), &accepted, &mut layers)?;
        Ok(())
    }

    fn capture(&mut self) -> anyhow::Result<()> {
        let (world, memory) = (self.world, &mut self.memory);
        let strides = AttentionStrides::dense(&world.stages.attention);
        let rows = CaptureRowArrays {
            query: &world.query,
            query_row: strides.query_row,
            query_head: strides.query_head,
            total_rows: world.stages.attention.total_rows,
            row_starts: &world.row_starts,
            rows: Some(&memory.last_rows),
            slots: Some(&world.slots),
        };
        for own in &world.stages.target_captured.layers {
            self.verifier.capture_target(own.layer, &rows, &mut memory.target_queries)?;
        }
        Ok(())
    }
}

impl Device for Cpu<'_> {
    fn report(&self) -> &Report {
        self.verifier.report()
    }

    fn run(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        parts.iter().try_for_each(|&part| self.submit(part))
    }

    fn replay(&mut self, parts: &[Part]) -> anyhow::Result<()> {
        self.run(parts)
    }

    fn time(&mut self, parts: &[Part]) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..REPETITIONS {
            let start = Instant::now();
            self.run(parts)?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(times))
    }

    fn results(&mut self) -> anyhow::Result<Results> {
        let found = self.verifier.status();
        ensure!(found.is_empty(), "stages have found {found:?}");
        Ok(self.memory.results.clone())
    }
}

impl Memory {
    fn new(world: &World, verifier: &CpuVerifier) -> Self {
        let sizes = verifier.sizes();
        let (batch, caches) = (world.lengths.len(), 0..world.shape.caches);
        let span = world.target.model.kv.extent() as usize;
        let draft_span = world.draft.model.kv.extent() as usize;
        let array = |array, len| filled(len, |put| world.tile.fill(array, len, put));
        let plant = |cache: &mut [u16], needle: &Needle| {
            cache[needle.offset as usize..][..needle.key.len()].copy_from_slice(&needle.key);
        };
        let mut keys: Vec<Vec<u16>> =
            caches.clone().map(|layer| array(World::target_arrays(layer)[0], span)).collect();
        let mut draft_keys: Vec<Vec<u16>> =
            (0..world.draft_layers()).map(|layer| array(world.draft_array(layer), draft_span)).collect();
        world.target.needles.iter().for_each(|needle| plant(&mut keys[needle.layer as usize], needle));
        world.draft.needles.iter().for_each(|needle| plant(&mut draft_keys[needle.layer as usize], needle));
        Self {
            keys,
            values: caches.map(|layer| array(World::target_arrays(layer)[1], span)).collect(),
            draft_keys,
            target_queries: vec![0; sizes.target_queries as usize],
            draft_queries: vec![0; sizes.draft_queries as usize],
            logits: filled(sizes.target_scores as usize, |put| world.logits(put)),
            results: Results {
                maps: [vec![0.0; sizes.target_map as usize], vec![0.0; sizes.draft_map as usize]],
                set: vec![-1; sizes.set as usize],
                set_sizes: vec![0; sizes.set_sizes as usize],
                output: vec![0; world.query.len()],
                emitted: vec![-1; sizes.emitted as usize],
            },
            path: vec![-1; sizes.accepted as usize],
            last_rows: vec![-1; batch],
            new_lengths: vec![0; batch],
            accepted: vec![0; batch],
        }
    }
}

/// `len` items that `fill` puts piece by piece.
fn filled(
    len: usize,
    fill: impl FnOnce(&mut dyn FnMut(usize, &[u16]) -> Result<(), Infallible>) -> Result<(), Infallible>,
) -> Vec<u16> {
    let mut items = vec![0; len];
    let Ok(()) = fill(&mut |first, piece| {
        items[first..first + piece.len()].copy_from_slice(piece);
        Ok(())
    });
    items
}

/// The step's arrays that do not depend on the layer.
fn step(world: &World) -> StepArrays<'_> {
    let width = world.shape.pages().into();
    StepArrays {
        lengths: &world.lengths,
        row_starts: &world.row_starts,
        block_table: &world.target.block_table,
        table_stride: width,
        map_starts: &world.map_starts,
        slots: &world.slots,
        draft: DraftArrays {
            lengths: &world.lengths,
            block_table: &world.draft.block_table,
            table_stride: width,
            slots: None,
        },
        masks: &[],
    }
}

/// Queries of one row of each sequence, as a prompt's last row and a draft's forward have them.
fn of_one_row<'a>(world: &'a World, model: Geometry, query: &'a [u16]) -> CaptureRowArrays<'a> {
    CaptureRowArrays {
        query,
        query_row: (model.query_heads * model.head_dim).into(),
        query_head: model.head_dim.into(),
        total_rows: world.shape.batch,
        row_starts: &world.one_row_starts,
        rows: None,
        slots: None,
    }
}
