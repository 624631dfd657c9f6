//! A model's map as the verifier launches it.

use crate::{
    cuda::{error::CudaError, memory::DeviceBuffer, module::ModuleCache, score::ScoreKernel, stream::Stream},
    score::launch::{ScorePlan, SourceBuffers},
    verifier::Captured,
};

/// The kernels that gather a model's map, and the addresses of what they read in every step.
#[derive(Debug)]
pub(super) struct Scorer {
    pub(super) kernel: ScoreKernel,
    pub(super) sources: Vec<SourceBuffers>,
    // Keep the memory that `sources` names.
    _groups: Vec<DeviceBuffer<u32>>,
    _weights: Vec<DeviceBuffer<f32>>,
}

impl Scorer {
    /// Compiles the kernels and puts the tables of heads into device memory. Waits for the stream. `keys` are the key caches of
    /// the model's layers, `queries` its captured queries.
    pub(super) fn new(
        modules: &ModuleCache,
        stream: &Stream,
        plan: &ScorePlan,
        captured: &Captured,
        keys: &[u64],
        queries: u64,
    ) -> Result<Self, CudaError> {
        let (problem, group) = (plan.problem(), plan.problem().group());
        let (mut sources, mut all_groups, mut all_weights) = (Vec::new(), Vec::new(), Vec::new());
        for (source, own) in problem.sources.iter().zip(&captured.layers) {
            let groups = DeviceBuffer::of(stream, source.groups(group).as_flattened())?;
            let weights =
                DeviceBuffer::of(stream, source.group_weights(group, problem.tokens).as_flattened())?;
            sources.push(SourceBuffers {
                query: queries + 2 * captured.offset(own),
                key: keys[own.layer as usize],
                groups: groups.address(),
                weights: weights.address(),
            });
            all_groups.push(groups);
            all_weights.push(weights);
        }
        let kernel = ScoreKernel::new(modules, plan.clone())?;
        Ok(Self { kernel, sources, _groups: all_groups, _weights: all_weights })
    }
}
