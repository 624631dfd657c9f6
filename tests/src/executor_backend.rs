//! The SIMT executor as a back end: the kernel's own source, launched as on the GPU.

use std::ops::Range;

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        launch::{AttentionBuffers, AttentionPlan, WorkspaceLayout},
        problem::Mask,
        space::Candidate,
        synthetic::{AttentionInput, NAN},
    },
    cache::{
        append::{launch::AppendBuffers, problem::AppendProblem},
        launch::StepBuffers,
        synthetic::OwnRows,
    },
};
use dustin_kernels::{
    attention::params::Params,
    executor::{Launch, Memory, Options, Trace, run},
    registry::AppendVariant,
    simt::{Global, grid, thread::lane},
};

use crate::{
    executor_cache::append_in,
    verdict::{Attended, Items, POISON},
};

/// Addresses of the workspace's parts, each an allocation of its own: an access that leaves a part is out of bounds.
struct Workspace {
    status: u64,
    arrivals: u64,
    partial_sums: u64,
    partial_output: u64,
}

impl Workspace {
    fn new(layout: &WorkspaceLayout, memory: &mut Memory) -> Self {
        let items = |part: &Range<u64>| (part.end - part.start) as usize / 4;
        Self {
            status: memory.scratch(&[0_u64]),
            arrivals: memory.scratch(&vec![0_u32; items(&layout.arrivals)]),
            partial_sums: memory.output(items(&layout.partial_sums), POISON),
            partial_output: memory.output(items(&layout.partial_output), POISON),
        }
    }
}

/// An input in the executor's memory, ready to be launched.
pub struct Prepared {
    plan: AttentionPlan,
    buffers: AttentionBuffers,
    workspace: Workspace,
    memory: Memory,
    output_items: usize,
    lse_items: usize,
    /// What brings queries and own rows, once they have been projected.
    append: Option<(AppendProblem, AppendBuffers)>,
}

impl Prepared {
    /// Puts `input` into a memory of its own, with a poisoned output and workspace.
    ///
    /// # Errors
    /// The launch is not possible.
    pub fn new(
        input: &AttentionInput,
        candidate: Candidate,
        output_type: OutputType,
        lse_base: LogBase,
    ) -> Result<Self, String> {
        let plan = AttentionPlan::new(&input.problem, candidate.variant, candidate.splits)
            .map_err(|error| error.to_string())?;
        let mut memory = Memory::new();
        let workspace = Workspace::new(plan.workspace(), &mut memory);
        let (output_items, lse_items) = (input.output_items(), input.lse_items());
        let listed = input.problem.sets().is_some();
        let buffers = AttentionBuffers {
            query: memory.input(&input.query),
            key: memory.input(&input.key),
            value: memory.input(&input.value),
            block_table: memory.input(&input.block_table),
            lengths: memory.input(&input.lengths),
            row_starts: memory.input(&input.row_starts),
            set: if listed { memory.input(&input.set) } else { 0 },
            set_sizes: if listed { memory.input(&input.set_sizes) } else { 0 },
            masks: if input.problem.mask == Mask::Tree { memory.input(&input.masks) } else { 0 },
            output: poisoned(&mut memory, output_type, output_items),
            lse: if input.problem.lse { memory.output(lse_items, POISON) } else { 0 },
            workspace: workspace.status,
            workspace_bytes: plan.workspace_bytes(),
            scale: input.scale,
            lse_base,
            output_type,
            strides: input.strides,
            // Nobody writes what launches look up before they wait.
            stable: true,
        };
        Ok(Self { plan, buffers, workspace, memory, output_items, lse_items, append: None })
    }

    /// The plan's parameters, with each part of the workspace where it lies. A launch of one split has only the status.
    fn params(&self) -> Result<Params, String> {
        let mut params = self.plan.params(&self.buffers).map_err(|error| error.to_string())?;
        params.status = Global::at(self.workspace.status);
        if self.plan.splits().cluster() == 1 && self.plan.splits().count > 1 {
            params.arrivals = Global::at(self.workspace.arrivals);
            params.partial_sums = Global::at(self.workspace.partial_sums);
            params.partial_output = Global::at(self.workspace.partial_output);
        }
        Ok(params)
    }

    /// Gives further launches an output that nobody has written.
    pub fn poison(&mut self) {
        self.buffers.output = poisoned(&mut self.memory, self.buffers.output_type, self.output_items);
        if self.buffers.lse != 0 {
            self.buffers.lse = self.memory.output(self.lse_items, POISON);
        }
    }

    /// Has queries and the step's own rows written by a launch of its own, as a layer's are before its attention.
    ///
    /// # Errors
    /// What the executor found.
    pub fn write_inputs(&mut self, input: &AttentionInput) -> Result<(), String> {
        let own = own_rows(input);
        let arrays = [
            (&mut self.buffers.query, &input.query, (0..input.query.len() as u64).collect()),
            (&mut self.buffers.key, &input.key, own.clone()),
            (&mut self.buffers.value, &input.value, own),
        ];
        let copies = arrays.map(|(array, items, written): (_, _, Vec<u64>)| {
            let mut before = items.clone();
            written.iter().for_each(|&item| before[item as usize] = NAN);
            let from = std::mem::replace(array, self.memory.scratch(&before));
            (Global::<u16>::at(from), Global::<u16>::at(*array), written)
        });
        let launch = of_one_warp("writer", false);
        let body = || {
            for (from, to, written) in &copies {
                for &item in written.iter().skip(lane() as usize).step_by(32) {
                    // SAFETY: the executor checks every access.
                    unsafe { to.store(item, from.load(item)) };
                }
            }
        };
        run(&launch, &mut self.memory, &Options::default(), body).map_err(|report| report.to_string())?;
        Ok(())
    }

    /// Has queries and the step's own rows written by a projection, a launch of its own, to where [`Prepared::append`] finds
    /// them: nothing of them is where attention reads them.
    ///
    /// # Errors
    /// The input's rows are at fault, or what the executor found.
    pub fn project(&mut self, input: &AttentionInput) -> Result<(), String> {
        let mut taken = input.clone();
        let rows = OwnRows::take(&mut taken).map_err(|error| error.to_string())?;
        let memory = &mut self.memory;
        let arrays = [&rows.query, &rows.key, &rows.value]
            .map(|items| (memory.input(items), memory.output(items.len(), NAN), items.len() as u64));
        let to = &mut self.buffers;
        (to.query, to.key) = (memory.scratch(&taken.query), memory.scratch(&taken.key));
        to.value = memory.scratch(&taken.value);
        let [(_, query, _), (_, key, _), (_, value, _)] = arrays;
        let buffers = AppendBuffers {
            step: StepBuffers {
                block_table: to.block_table,
                table_stride: to.strides.table,
                lengths: to.lengths,
                row_starts: to.row_starts,
                workspace: memory.scratch(&[0_u64]),
                workspace_bytes: size_of::<u64>() as u64,
            },
            key,
            value,
            key_cache: to.key,
            value_cache: to.value,
            query,
            query_copy: to.query,
            strides: rows.strides,
            stable: true,
        };
        self.append = Some((rows.problem, buffers));
        let projection = || {
            for (from, to, items) in arrays {
                for item in (u64::from(lane())..items).step_by(32) {
                    // SAFETY: the executor checks every access.
                    unsafe { Global::<u16>::at(to).store(item, Global::<u16>::at(from).load(item)) };
                }
            }
        };
        run(&of_one_warp("projection", false), memory, &Options::default(), projection)
            .map_err(|report| report.to_string())?;
        Ok(())
    }

    /// Appends what was projected, by a launch that overlaps the last one.
    ///
    /// # Errors
    /// Nothing was projected, or what the executor found.
    pub fn append(&mut self, variant: &'static AppendVariant, options: &Options) -> Result<Trace, String> {
        let (problem, buffers) = self.append.ok_or("nothing was projected")?;
        append_in(&mut self.memory, &problem, &buffers, variant, options)
    }

    /// Has the projected queries read by a launch that overlaps the last one, and waits for it.
    ///
    /// # Errors
    /// Nothing was projected, or what the executor found.
    pub fn read_projected(&mut self) -> Result<(), String> {
        let (problem, buffers) = self.append.ok_or("nothing was projected")?;
        self.read(buffers.query, buffers.strides.query_extent(&problem))
    }

    /// Has the queries read by a launch that overlaps the last one, and waits for it.
    ///
    /// # Errors
    /// What the executor found.
    pub fn read_queries(&mut self) -> Result<(), String> {
        self.read(self.buffers.query, self.buffers.strides.query_extent(self.plan.problem()))
    }

    fn read(&mut self, address: u64, items: u64) -> Result<(), String> {
        let array = Global::<u16>::at(address);
        let launch = of_one_warp("reader", true);
        let body = || {
            grid::wait();
            for item in (u64::from(lane())..items).step_by(32) {
                // SAFETY: the executor checks every access.
                let _ = unsafe { array.load(item) };
            }
        };
        run(&launch, &mut self.memory, &Options::default(), body).map_err(|report| report.to_string())?;
        Ok(())
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// What the executor found, or arrivals that the launch did not set back.
    pub fn launch(&mut self, options: &Options) -> Result<Trace, String> {
        let params = self.params()?;
        let launch = Launch {
            name: self.plan.variant().id,
            grid: self.plan.grid(),
            cluster: self.plan.splits().cluster(),
            overlaps: self.plan.overlaps(&self.buffers),
            threads: self.plan.threads(),
            shared_bytes: self.plan.shared_bytes(),
        };
        let body = self.plan.variant().body;
        let trace = run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { body(&params) }
        })
        .map_err(|report| report.to_string())?;
        let arrivals = &self.plan.workspace().arrivals;
        let items = (arrivals.end - arrivals.start) as usize / 4;
        let left: Vec<u32> = self.memory.read(self.workspace.arrivals, items);
        if left.iter().any(|&count| count != 0) {
            return Err("arrivals are not zero after the launch".into());
        }
        Ok(trace)
    }

    /// What the launches so far have written.
    #[must_use]
    pub fn attended(&self) -> Attended {
        let output = match self.buffers.output_type {
            OutputType::Rounded => Items::Rounded(self.memory.read(self.buffers.output, self.output_items)),
            OutputType::F32 => Items::F32(self.memory.read(self.buffers.output, self.output_items)),
        };
        let lse = (self.buffers.lse != 0).then(|| self.memory.read(self.buffers.lse, self.lse_items));
        let [status] = self.memory.read(self.workspace.status, 1)[..] else {
            unreachable!("one word is read")
        };
        Attended { output, lse, status }
    }
}

/// A launch of one warp, which may overlap the one before.
fn of_one_warp(name: &str, overlaps: bool) -> Launch<'_> {
    Launch { name, grid: [1; 3], cluster: 1, overlaps, threads: 32, shared_bytes: 0 }
}

/// The items of the step's own rows, in either cache, as far as they have a place there.
fn own_rows(input: &AttentionInput) -> Vec<u64> {
    let (problem, mut items) = (&input.problem, Vec::new());
    for (sequence, rows) in input.row_starts.windows(2).enumerate() {
        let (length, table) = (input.lengths[sequence], sequence * input.strides.table as usize);
        let positions =
            (0..rows[1].saturating_sub(rows[0])).filter_map(|row| u32::try_from(length + row).ok());
        for position in positions.filter(|_| length >= 0) {
            let entry = position / problem.kv.page_size;
            if entry >= problem.table_width {
                continue;
            }
            let page = u32::try_from(input.block_table[table + entry as usize]);
            let Some(page) = page.ok().filter(|&page| page < problem.kv.pages) else { continue };
            for head in 0..problem.kv.kv_heads {
                let first = problem.kv.offset(page, position % problem.kv.page_size, head);
                items.extend(first..first + u64::from(problem.kv.head_dim));
            }
        }
    }
    items
}

fn poisoned(memory: &mut Memory, output_type: OutputType, items: usize) -> u64 {
    match output_type {
        OutputType::Rounded => memory.output(items, NAN),
        OutputType::F32 => memory.output(items, POISON),
    }
}

#[cfg(test)]
mod tests {
    use dustin::{
        Dtype,
        attention::{
            problem::{Confirmed, Sets},
            synthetic::{Contents, Logits, Recipe, SequenceShape},
        },
        kv::KvLayout,
    };
    use dustin_kernels::{executor::Fault, registry::ATTENTION, simt::Word};

    use super::*;

    fn prepared() -> Prepared {
        let variant = ATTENTION.iter().find(|v| v.dtype == Dtype::Bf16 && v.head_dim == 64);
        let recipe = Recipe {
            dtype: Dtype::Bf16,
            head_dim: 64,
            kv_heads: 1,
            group: 1,
            page_size: 4,
            layout: KvLayout::Nhd,
            head_major: false,
            sequences: vec![SequenceShape { length: 9, rows: 2, set_size: 5 }],
            confirmed: Confirmed::Sets(Sets::of_positions(0)),
            mask: Mask::Causal,
            spare: 0,
            padding: 0,
            lse: true,
            contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 0 },
        };
        let input = recipe.input().expect("a valid recipe");
        let candidate =
            Candidate { variant: variant.expect("a variant of each head size"), splits: 2.into() };
        Prepared::new(&input, candidate, OutputType::F32, LogBase::E).expect("a possible launch")
    }

    /// Stores behind the `len` items of a part.
    fn overruns<T: Word + Default>(prepared: &mut Prepared, part: Global<T>, len: u64) -> bool {
        let launch = of_one_warp("overrun", false);
        let mut store = |index| {
            // SAFETY: the executor does not perform what lies out of bounds.
            run(&launch, &mut prepared.memory, &Options::default(), || unsafe {
                if dustin_kernels::simt::thread::lane() == 0 {
                    part.store(index, T::default());
                }
            })
        };
        store(len - 1).is_ok()
            && store(len).is_err_and(|report| matches!(report.findings[0].fault, Fault::OutOfBounds { .. }))
    }

    #[test]
    fn a_store_behind_any_part_of_the_workspace_is_out_of_bounds() {
        let mut prepared = prepared();
        let params = prepared.params().expect("valid parameters");
        let items = |part: &Range<u64>| (part.end - part.start) / 4;
        let layout = prepared.plan.workspace().clone();
        assert!(overruns(&mut prepared, params.status, 1), "status");
        assert!(overruns(&mut prepared, params.arrivals, items(&layout.arrivals)), "arrivals");
        assert!(overruns(&mut prepared, params.partial_sums, items(&layout.partial_sums)), "sums");
        assert!(overruns(&mut prepared, params.partial_output, items(&layout.partial_output)), "output");
    }

    #[test]
    fn a_poisoned_output_has_been_written_by_nobody() {
        let mut prepared = prepared();
        prepared.launch(&Options::default()).expect("a clean launch");
        assert_ne!(prepared.attended().output.bits()[0], POISON.to_bits());
        prepared.poison();
        let attended = prepared.attended();
        assert!(attended.output.bits().iter().all(|&bits| bits == POISON.to_bits()));
        assert!(attended.lse.expect("asked for").iter().all(|x| x.to_bits() == POISON.to_bits()));
    }
}
