//! Layers of a step on the GPU: [append → attention], one behind the other.

use dustin::{
    attention::{
        launch::AttentionBuffers,
        synthetic::{AttentionInput, NAN},
    },
    cache::{
        append::launch::{AppendBuffers, AppendPlan},
        synthetic::OwnRows,
    },
    cuda::{
        AppendKernel, AppendTarget, CudaError, DeviceAppendInput, DeviceBuffer, ModuleCache, Stream,
        Workspace,
    },
};
use dustin_kernels::registry::AppendVariant;

use crate::{
    cuda_backend::{Asked, Prepared},
    gpu::text,
    verdict::Attended,
};

/// A layer, whose caches lack the step's own rows and whose queries lie elsewhere until they are appended.
#[derive(Debug)]
struct Layer {
    whole: AttentionInput,
    /// The caches before.
    taken: AttentionInput,
    rows: DeviceAppendInput,
    attention: Prepared,
}

/// The layers of a step, which have lengths and row ranges in common, and the place where attention reads queries.
#[derive(Debug)]
pub struct Layers {
    append: AppendKernel,
    workspace: Workspace,
    query: DeviceBuffer<u16>,
    layers: Vec<Layer>,
}

/// How launches follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The host waits for each.
    Waiting,
    /// One begins where the one before has ended.
    Serial,
    /// Each but the first may overlap the one before.
    Overlapping,
}

impl Layers {
    /// Puts the layers `inputs`, which have the same problem, lengths and row ranges, into device memory.
    ///
    /// # Errors
    /// A launch is not possible, or what the driver returns.
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        inputs: Vec<AttentionInput>,
        variant: &'static AppendVariant,
        asked: Asked,
    ) -> Result<Self, String> {
        let (mut layers, mut problem) = (Vec::new(), None);
        for whole in inputs {
            let mut taken = whole.clone();
            let rows = OwnRows::take(&mut taken).map_err(text)?;
            problem = Some(rows.problem);
            let arrays = rows.arrays(&taken);
            layers.push(Layer {
                rows: DeviceAppendInput::upload(stream, &rows.problem, &arrays).map_err(text)?,
                attention: Prepared::new(modules, stream, &taken, asked)?,
                whole,
                taken,
            });
        }
        let problem = problem.ok_or("there are no layers")?;
        let plan = AppendPlan::new(&problem, variant).map_err(text)?;
        let items = layers[0].rows.strides.query_copy_extent(&problem) as usize;
        Ok(Self {
            workspace: Workspace::allocate(stream, &plan).map_err(text)?,
            append: AppendKernel::new(modules, plan).map_err(text)?,
            query: DeviceBuffer::of(stream, &vec![NAN; items]).map_err(text)?,
            layers,
        })
    }

    /// Launches all layers.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn launch(&self, stream: &Stream, order: Order) -> Result<(), CudaError> {
        for (index, layer) in self.layers.iter().enumerate() {
            let input = &layer.attention.input;
            let target = AppendTarget {
                key_cache: input.key.address(),
                value_cache: input.value.address(),
                query_copy: self.query.address(),
            };
            let stable = order == Order::Overlapping;
            // Who launches the first layer does not know what came before.
            let buffers =
                AppendBuffers { stable: stable && index > 0, ..layer.rows.buffers(target, &self.workspace) };
            // SAFETY: a test's arrays have the shapes of its problem, and it looks at the results, or drops the arrays, behind
            // a wait; nothing else writes what is stable.
            unsafe { self.append.launch(stream, &buffers)? };
            if order == Order::Waiting {
                stream.synchronize()?;
            }
            let query = self.query.address();
            let buffers = AttentionBuffers { query, stable, ..layer.attention.buffers() };
            layer.attention.launch_with(stream, &buffers)?;
            if order == Order::Waiting {
                stream.synchronize()?;
            }
        }
        Ok(())
    }

    /// Makes caches, queries and outputs what they were before.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn renew(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.query.upload(stream, 0, &vec![NAN; self.query.len()])?;
        for Layer { taken, attention, .. } in &mut self.layers {
            attention.input.key.upload(stream, 0, &taken.key)?;
            attention.input.value.upload(stream, 0, &taken.value)?;
            attention.poison(stream)?;
        }
        Ok(())
    }

    /// What the launches so far have written: each layer's attention, of caches that hold what they must.
    ///
    /// # Errors
    /// What the driver returns, a row that is not in its place, or that a launch reports a fault.
    pub fn attended(&self, stream: &Stream) -> Result<Vec<Attended>, String> {
        if let Some((fault, sequence)) = self.workspace.status(stream).map_err(text)? {
            return Err(format!("append reports {fault:?} of sequence {sequence}"));
        }
        let attended = self.layers.iter().enumerate().map(|(index, Layer { whole, attention, .. })| {
            for (name, cache, expected) in
                [("keys", &attention.input.key, &whole.key), ("values", &attention.input.value, &whole.value)]
            {
                if cache.download(stream).map_err(text)? != *expected {
                    return Err(format!("layer {index}: the {name} are not what they must be"));
                }
            }
            attention.attended(stream)
        });
        attended.collect()
    }

    /// The layers' inputs, as attention reads them.
    pub fn inputs(&self) -> impl Iterator<Item = &AttentionInput> {
        self.layers.iter().map(|layer| &layer.whole)
    }
}
