//! Writing to caches on the SIMT executor: the kernels' own source, launched as on the GPU.

use dustin::cache::{
    append::{
        launch::{AppendBuffers, AppendPlan},
        problem::AppendProblem,
    },
    capture::{
        launch::{CaptureBuffers, CapturePlan},
        problem::CaptureProblem,
    },
    compact::{
        launch::{CompactBuffers, CompactPlan},
        problem::CompactProblem,
    },
    compare::Written,
    launch::StepBuffers,
    layer::Layer,
    synthetic::{AppendInput, CaptureInput, CompactInput, StepInput},
};
use dustin_kernels::{
    executor::{Launch, Memory, Options, Trace, run},
    registry::{AppendVariant, CaptureVariant, CompactVariant},
};

/// A layer's caches in the executor's memory.
#[derive(Clone, Debug)]
struct DeviceLayer {
    before: Layer,
    key: u64,
    value: u64,
}

impl DeviceLayer {
    /// Puts `layer` into allocations of its own: two, if its caches are separate.
    fn new(memory: &mut Memory, layer: &Layer) -> Self {
        let (key, value) = if layer.separate {
            let (key, value) = layer.items.split_at(layer.value as usize);
            (memory.scratch(key), memory.scratch(value))
        } else {
            let items = memory.scratch(&layer.items);
            (items, items + 2 * layer.value)
        };
        Self { before: layer.clone(), key, value }
    }

    /// The layer as launches have left it.
    fn read(&self, memory: &Memory) -> Layer {
        let (len, value) = (self.before.items.len(), self.before.value as usize);
        let mut layer = self.before.clone();
        if layer.separate {
            layer.items = memory.read(self.key, value);
            layer.items.extend(memory.read::<u16>(self.value, len - value));
        } else {
            layer.items = memory.read(self.key, len);
        }
        layer
    }
}

/// A step's arrays, and a workspace of its own.
fn step_buffers(memory: &mut Memory, input: &StepInput) -> StepBuffers {
    StepBuffers {
        block_table: memory.input(&input.block_table),
        table_stride: input.table_stride,
        lengths: memory.input(&input.lengths),
        row_starts: memory.input(&input.row_starts),
        workspace: memory.scratch(&[0_u64]),
        workspace_bytes: size_of::<u64>() as u64,
    }
}

/// Makes the only page of the step's caches one of caches far beyond 2^32 items. Returns how many bytes before their first
/// page, and so before the only one that there is memory of, these begin.
#[must_use]
pub fn put_far(input: &mut StepInput) -> u64 {
    const PAGE: u32 = 3;
    let kv = &mut input.step.kv;
    assert_eq!(kv.pages, 1);
    kv.pages = PAGE + 1;
    kv.page_stride = (1 << 32) + 64;
    let far = 2 * u64::from(PAGE) * kv.page_stride;
    input.block_table.iter_mut().filter(|page| **page == 0).for_each(|page| *page = PAGE as i32);
    far
}

/// An input of appending in the executor's memory, ready to be launched.
pub struct PreparedAppend {
    problem: AppendProblem,
    buffers: AppendBuffers,
    layer: DeviceLayer,
    query_copy_items: usize,
    memory: Memory,
}

impl PreparedAppend {
    /// Puts `input` into a memory of its own.
    #[must_use]
    pub fn new(input: &AppendInput) -> Self {
        Self::with_addresses(input, |_| ())
    }

    /// The same, with other addresses than those where the arrays lie.
    #[must_use]
    pub fn with_addresses(input: &AppendInput, change: impl FnOnce(&mut AppendBuffers)) -> Self {
        let mut memory = Memory::new();
        let layer = DeviceLayer::new(&mut memory, &input.layer);
        let queries = input.query_heads > 0;
        let mut buffers = AppendBuffers {
            step: step_buffers(&mut memory, &input.step),
            key: memory.input(&input.key),
            value: memory.input(&input.value),
            key_cache: layer.key,
            value_cache: layer.value,
            query: if queries { memory.input(&input.query) } else { 0 },
            query_copy: if queries { memory.scratch(&input.query_copy) } else { 0 },
            strides: input.strides,
            // Nobody writes what launches look up before they wait.
            stable: true,
        };
        change(&mut buffers);
        Self { problem: input.problem(), buffers, layer, query_copy_items: input.query_copy.len(), memory }
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch(&mut self, variant: &'static AppendVariant, options: &Options) -> Result<Trace, String> {
        append_in(&mut self.memory, &self.problem, &self.buffers, variant, options)
    }

    /// What the launches so far have left.
    #[must_use]
    pub fn written(&self) -> Written {
        let status = self.memory.read(self.buffers.step.workspace, 1)[0];
        let query_copy = match self.buffers.query_copy {
            0 => Vec::new(),
            address => self.memory.read(address, self.query_copy_items),
        };
        Written { layers: vec![self.layer.read(&self.memory)], query_copy, status }
    }
}

/// An input of compacting in the executor's memory, ready to be launched.
pub struct PreparedCompact {
    problem: CompactProblem,
    buffers: CompactBuffers,
    layers: Vec<DeviceLayer>,
    memory: Memory,
}

impl PreparedCompact {
    /// Puts `input` into a memory of its own.
    #[must_use]
    pub fn new(input: &CompactInput) -> Self {
        Self::with_addresses(input, |_, _| ())
    }

    /// The same, with other addresses of key and value caches than those where they lie.
    #[must_use]
    pub fn with_addresses(input: &CompactInput, change: impl FnOnce(&mut [u64], &mut [u64])) -> Self {
        let mut memory = Memory::new();
        let layers: Vec<_> = input.layers.iter().map(|layer| DeviceLayer::new(&mut memory, layer)).collect();
        let mut keys: Vec<u64> = layers.iter().map(|layer| layer.key).collect();
        let mut values: Vec<u64> = layers.iter().map(|layer| layer.value).collect();
        change(&mut keys, &mut values);
        let buffers = CompactBuffers {
            step: step_buffers(&mut memory, &input.step),
            key_caches: memory.input(&keys),
            value_caches: memory.input(&values),
            accepted: memory.input(&input.accepted),
            accepted_stride: input.accepted_stride,
            accepted_counts: input.counts.as_ref().map_or(0, |counts| memory.input(counts)),
        };
        Self { problem: input.problem, buffers, layers, memory }
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch(&mut self, variant: &'static CompactVariant, options: &Options) -> Result<Trace, String> {
        let plan = CompactPlan::new(&self.problem, variant).map_err(|error| error.to_string())?;
        let params = plan.params(&self.buffers).map_err(|error| error.to_string())?;
        let launch = launch_of(variant.id, plan.grid(), plan.threads(), false);
        run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { (variant.body)(&params) }
        })
        .map_err(|report| report.to_string())
    }

    /// What the launches so far have left.
    #[must_use]
    pub fn written(&self) -> Written {
        let status = self.memory.read(self.buffers.step.workspace, 1)[0];
        let layers = self.layers.iter().map(|layer| layer.read(&self.memory)).collect();
        Written { layers, query_copy: Vec::new(), status }
    }
}

/// An input of capturing in the executor's memory, ready to be launched.
pub struct PreparedCapture {
    problem: CaptureProblem,
    buffers: CaptureBuffers,
    items: usize,
    memory: Memory,
}

impl PreparedCapture {
    /// Puts `input` into a memory of its own.
    #[must_use]
    pub fn new(input: &CaptureInput) -> Self {
        let mut memory = Memory::new();
        let buffers = CaptureBuffers {
            query: memory.input(&input.query),
            row_starts: memory.input(&input.row_starts),
            rows: input.rows.as_ref().map_or(0, |rows| memory.input(rows)),
            slots: input.slots.as_ref().map_or(0, |slots| memory.input(slots)),
            captured: memory.scratch(&input.captured),
            token: input.token,
            workspace: memory.scratch(&[0_u64]),
            workspace_bytes: size_of::<u64>() as u64,
            strides: input.strides,
        };
        Self { problem: input.problem.clone(), buffers, items: input.captured.len(), memory }
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch(&mut self, variant: &'static CaptureVariant, options: &Options) -> Result<Trace, String> {
        let plan = CapturePlan::new(&self.problem, variant).map_err(|error| error.to_string())?;
        let params = plan.params(&self.buffers).map_err(|error| error.to_string())?;
        let launch = launch_of(variant.id, plan.grid(), plan.threads(), false);
        run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { (variant.body)(&params) }
        })
        .map_err(|report| report.to_string())
    }

    /// The slots as the launches so far have left them, and the status word.
    #[must_use]
    pub fn captured(&self) -> (Vec<u16>, u64) {
        (self.memory.read(self.buffers.captured, self.items), self.memory.read(self.buffers.workspace, 1)[0])
    }
}

/// Launches the kernel of appending over `buffers`, which lie in `memory`.
///
/// # Errors
/// The launch is not possible, or what the executor found.
pub fn append_in(
    memory: &mut Memory,
    problem: &AppendProblem,
    buffers: &AppendBuffers,
    variant: &'static AppendVariant,
    options: &Options,
) -> Result<Trace, String> {
    let plan = AppendPlan::new(problem, variant).map_err(|error| error.to_string())?;
    let params = plan.params(buffers).map_err(|error| error.to_string())?;
    let launch = launch_of(variant.id, plan.grid(), plan.threads(), plan.overlaps(buffers));
    run(&launch, memory, options, || {
        // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
        unsafe { (variant.body)(&params) }
    })
    .map_err(|report| report.to_string())
}

/// A launch without clusters and shared memory.
fn launch_of(name: &str, grid: [u32; 3], threads: u32, overlaps: bool) -> Launch<'_> {
    Launch { name, grid, cluster: 1, overlaps, threads, shared_bytes: 0 }
}
