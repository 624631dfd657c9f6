//! Writing to caches on the GPU.

use dustin::{
    cache::{
        append::launch::{AppendBuffers, AppendPlan},
        capture::launch::CapturePlan,
        compact::launch::{CompactBuffers, CompactPlan},
        compare::Written,
        layer::Layer,
        synthetic::{AppendInput, CaptureInput, CompactInput},
    },
    cuda::{
        AppendKernel, AppendTarget, CaptureKernel, CompactKernel, CudaError, DeviceAppendInput, DeviceBuffer,
        DeviceCaptureInput, DeviceCompactInput, Graph, ModuleCache, Stream, Workspace,
    },
};
use dustin_kernels::registry::{AppendVariant, CaptureVariant, CompactVariant};

use crate::gpu::text;

/// Items on each side of a layer's array that nobody may write.
const GUARD: usize = 1 << 12;
/// What stands there.
const GUARDED: u16 = 0x5eed;

/// An array in device memory, between guards.
#[derive(Debug)]
struct Guarded(DeviceBuffer<u16>);

impl Guarded {
    fn new(stream: &Stream, items: &[u16]) -> Result<Self, CudaError> {
        let guard = [GUARDED; GUARD];
        Ok(Self(DeviceBuffer::of(stream, &[&guard, items, &guard].concat())?))
    }

    fn address(&self) -> u64 {
        self.0.address() + (GUARD * size_of::<u16>()) as u64
    }

    /// Writes all of its items.
    fn renew(&mut self, stream: &Stream, items: &[u16]) -> Result<(), CudaError> {
        self.0.upload(stream, GUARD, items)
    }

    /// The array as launches have left it.
    fn read(&self, stream: &Stream) -> Result<Vec<u16>, String> {
        let mut before = self.0.download(stream).map_err(text)?;
        let behind = before.split_off(before.len() - GUARD);
        let items = before.split_off(GUARD);
        if before.iter().chain(&behind).any(|&item| item != GUARDED) {
            return Err("something was written before or behind an array".into());
        }
        Ok(items)
    }
}

/// A layer's caches in device memory.
#[derive(Debug)]
struct DeviceLayer {
    before: Layer,
    items: Guarded,
}

impl DeviceLayer {
    fn new(stream: &Stream, layer: &Layer) -> Result<Self, CudaError> {
        Ok(Self { before: layer.clone(), items: Guarded::new(stream, &layer.items)? })
    }

    fn key_cache(&self) -> u64 {
        self.items.address()
    }

    fn value_cache(&self) -> u64 {
        self.key_cache() + self.before.value * size_of::<u16>() as u64
    }

    /// Makes the layer what it was before.
    fn renew(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.items.renew(stream, &self.before.items)
    }

    /// The layer as launches have left it.
    fn read(&self, stream: &Stream) -> Result<Layer, String> {
        Ok(Layer { items: self.items.read(stream)?, ..self.before.clone() })
    }
}

/// The array that queries are copied to, in device memory.
#[derive(Debug)]
struct QueryCopy {
    before: Vec<u16>,
    items: Guarded,
}

/// Memory for a workspace of `bytes`, full of ones: the status word lies at its start.
fn poisoned(stream: &Stream, bytes: u64) -> Result<DeviceBuffer<u8>, CudaError> {
    let mut memory = DeviceBuffer::allocate(stream.context(), bytes as usize)?;
    memory.fill(stream, 0xff)?;
    Ok(memory)
}

/// The status word at the start of a workspace's memory.
fn status(stream: &Stream, memory: &DeviceBuffer<u8>) -> Result<u64, String> {
    let mut word = [0; 8];
    word.copy_from_slice(&memory.download_range(stream, 0, 8).map_err(text)?);
    Ok(u64::from_le_bytes(word))
}

/// An input of appending in device memory, ready to be launched.
#[derive(Debug)]
pub struct PreparedAppend {
    kernel: AppendKernel,
    /// The arrays that launches read.
    pub input: DeviceAppendInput,
    layer: DeviceLayer,
    query_copy: Option<QueryCopy>,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl PreparedAppend {
    /// Puts `input` into device memory.
    ///
    /// # Errors
    /// The launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AppendInput,
        variant: &'static AppendVariant,
    ) -> Result<Self, String> {
        let plan = AppendPlan::new(&input.problem(), variant).map_err(text)?;
        Self::of(modules, stream, input, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &AppendInput,
        plan: AppendPlan,
    ) -> Result<Self, CudaError> {
        let memory = poisoned(stream, plan.workspace_bytes())?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        let before = (input.query_heads > 0).then(|| input.query_copy.clone());
        let query_copy = before.map(|before| {
            let items = Guarded::new(stream, &before)?;
            Ok::<_, CudaError>(QueryCopy { before, items })
        });
        Ok(Self {
            input: DeviceAppendInput::upload(stream, plan.problem(), &input.arrays())?,
            kernel: AppendKernel::new(modules, plan)?,
            layer: DeviceLayer::new(stream, &input.layer)?,
            query_copy: query_copy.transpose()?,
            memory,
            workspace,
        })
    }

    /// The addresses of a launch.
    #[must_use]
    pub fn buffers(&self) -> AppendBuffers {
        let target = AppendTarget {
            key_cache: self.layer.key_cache(),
            value_cache: self.layer.value_cache(),
            query_copy: self.query_copy.as_ref().map_or(0, |copy| copy.items.address()),
        };
        self.input.buffers(target, &self.workspace)
    }

    /// Launches the kernel and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        self.launch_with(stream, &self.buffers())
    }

    /// Launches the kernel over other arrays of the same shapes.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch_with(&self, stream: &Stream, buffers: &AppendBuffers) -> Result<(), CudaError> {
        // SAFETY: a test's arrays have the shapes of its step, and it looks at the results, or drops the arrays, behind a
        // wait.
        unsafe { self.kernel.launch(stream, buffers) }
    }

    /// A graph of one launch.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// Makes the caches, and the array that queries are copied to, what they were before.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.layer.renew(stream)?;
        self.query_copy.as_mut().map_or(Ok(()), |copy| copy.items.renew(stream, &copy.before))
    }

    /// What the launches so far have left.
    ///
    /// # Errors
    /// What the driver returns, or that something was written around an array.
    pub fn written(&self, stream: &Stream) -> Result<Written, String> {
        let query_copy = self.query_copy.as_ref().map(|copy| copy.items.read(stream)).transpose()?;
        Ok(Written {
            layers: vec![self.layer.read(stream)?],
            query_copy: query_copy.unwrap_or_default(),
            status: status(stream, &self.memory)?,
        })
    }

    /// One launch and what it has left.
    ///
    /// # Errors
    /// As [`PreparedAppend::launch`] and [`PreparedAppend::written`].
    pub fn append(&self, stream: &Stream) -> Result<Written, String> {
        self.launch(stream).map_err(text)?;
        self.written(stream)
    }
}

/// An input of compacting in device memory, ready to be launched.
#[derive(Debug)]
pub struct PreparedCompact {
    kernel: CompactKernel,
    /// The arrays that launches read.
    pub input: DeviceCompactInput,
    layers: Vec<DeviceLayer>,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl PreparedCompact {
    /// Puts `input` into device memory.
    ///
    /// # Errors
    /// The launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &CompactInput,
        variant: &'static CompactVariant,
    ) -> Result<Self, String> {
        let plan = CompactPlan::new(&input.problem, variant).map_err(text)?;
        Self::of(modules, stream, input, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &CompactInput,
        plan: CompactPlan,
    ) -> Result<Self, CudaError> {
        let memory = poisoned(stream, plan.workspace_bytes())?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        let layers = input.layers.iter().map(|layer| DeviceLayer::new(stream, layer));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<u64> = layers.iter().map(DeviceLayer::key_cache).collect();
        let values: Vec<u64> = layers.iter().map(DeviceLayer::value_cache).collect();
        Ok(Self {
            kernel: CompactKernel::new(modules, plan)?,
            input: DeviceCompactInput::upload(stream, &input.problem, &input.arrays(), &keys, &values)?,
            layers,
            memory,
            workspace,
        })
    }

    /// The addresses of a launch.
    #[must_use]
    pub fn buffers(&self) -> CompactBuffers {
        self.input.buffers(&self.workspace)
    }

    /// Launches the kernel and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays, behind
        // a wait.
        unsafe { self.kernel.launch(stream, &self.buffers()) }
    }

    /// A graph of one launch.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// Makes the caches what they were before.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.layers.iter_mut().try_for_each(|layer| layer.renew(stream))
    }

    /// What the launches so far have left.
    ///
    /// # Errors
    /// What the driver returns, or that something was written around the caches.
    pub fn written(&self, stream: &Stream) -> Result<Written, String> {
        let layers = self.layers.iter().map(|layer| layer.read(stream)).collect::<Result<_, _>>()?;
        Ok(Written { layers, query_copy: Vec::new(), status: status(stream, &self.memory)? })
    }

    /// One launch and what it has left.
    ///
    /// # Errors
    /// As [`PreparedCompact::launch`] and [`PreparedCompact::written`].
    pub fn compact(&self, stream: &Stream) -> Result<Written, String> {
        self.launch(stream).map_err(text)?;
        self.written(stream)
    }
}

/// An input of capturing in device memory, ready to be launched.
#[derive(Debug)]
pub struct PreparedCapture {
    kernel: CaptureKernel,
    /// The arrays that launches read.
    pub input: DeviceCaptureInput,
    before: Vec<u16>,
    captured: Guarded,
    memory: DeviceBuffer<u8>,
    /// The workspace, in memory that held poison.
    pub workspace: Workspace,
}

impl PreparedCapture {
    /// Puts `input` into device memory.
    ///
    /// # Errors
    /// The launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        input: &CaptureInput,
        variant: &'static CaptureVariant,
    ) -> Result<Self, String> {
        let plan = CapturePlan::new(&input.problem, variant).map_err(text)?;
        Self::of(modules, stream, input, plan).map_err(text)
    }

    fn of(
        modules: &ModuleCache,
        stream: &Stream,
        input: &CaptureInput,
        plan: CapturePlan,
    ) -> Result<Self, CudaError> {
        let memory = poisoned(stream, plan.workspace_bytes())?;
        // SAFETY: the result keeps the memory, and touches it only to look at it between launches.
        let workspace = unsafe { Workspace::borrow(&plan, memory.address(), plan.workspace_bytes())? };
        workspace.initialise(stream)?;
        Ok(Self {
            input: DeviceCaptureInput::upload(stream, &input.problem, &input.arrays())?,
            kernel: CaptureKernel::new(modules, plan)?,
            before: input.captured.clone(),
            captured: Guarded::new(stream, &input.captured)?,
            memory,
            workspace,
        })
    }

    /// Launches the kernel and does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        let buffers = self.input.buffers(self.captured.address(), &self.workspace);
        // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays, behind a
        // wait.
        unsafe { self.kernel.launch(stream, &buffers) }
    }

    /// A graph of one launch.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn capture(&self, stream: &Stream) -> Result<Graph, CudaError> {
        Graph::capture(stream, || self.launch(stream))
    }

    /// Makes the slots what they were before.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.captured.renew(stream, &self.before)
    }

    /// The slots as the launches so far have left them, and the status word.
    ///
    /// # Errors
    /// What the driver returns, or that something was written around the slots.
    pub fn captured(&self, stream: &Stream) -> Result<(Vec<u16>, u64), String> {
        Ok((self.captured.read(stream)?, status(stream, &self.memory)?))
    }
}
