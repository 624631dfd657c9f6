//! The arrays of a scoring problem.

use super::ALL_ONES;
use crate::{
    cuda::{error::CudaError, memory::DeviceBuffer, stream::Stream, workspace::Workspace},
    score::{
        arrays::{ScoreArrays, ScoreStrides, SourceArrays},
        launch::{ScoreBuffers, SourceBuffers},
        problem::{ScoreProblem, Source},
    },
};

/// What scoring reads. The shapes are those of [`Params`](dustin_kernels::score::params::Params).
#[derive(Debug)]
pub struct DeviceScoreInput {
    /// The sources, in the problem's order.
    pub sources: Vec<DeviceSource>,
    /// The slots of the sequences' queries, if they are given.
    pub slots: Option<DeviceBuffer<i32>>,
    /// Physical page numbers.
    pub block_table: DeviceBuffer<i32>,
    /// Confirmed lengths.
    pub lengths: DeviceBuffer<i32>,
    /// First positions of the sequences' parts of the map.
    pub map_starts: DeviceBuffer<i32>,
    /// The softmax scale.
    pub scale: f32,
    /// Distances between rows.
    pub strides: ScoreStrides,
    addresses: Vec<SourceBuffers>,
}

/// What one source has of its own.
#[derive(Debug)]
pub struct DeviceSource {
    /// Captured queries, 16-bit items.
    pub query: DeviceBuffer<u16>,
    /// Key cache, 16-bit items.
    pub key: DeviceBuffer<u16>,
    /// The captured heads by KV head.
    pub groups: DeviceBuffer<u32>,
    /// The weight of each column.
    pub weights: DeviceBuffer<f32>,
}

impl DeviceScoreInput {
    /// A copy of `arrays`. Waits for the stream.
    ///
    /// # Errors
    /// Arrays that do not fit the problem; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn upload(
        stream: &Stream,
        problem: &ScoreProblem,
        arrays: &ScoreArrays<'_>,
    ) -> Result<Self, CudaError> {
        arrays.validate(problem)?;
        let sources = problem.sources.iter().zip(&arrays.sources);
        let sources = sources.map(|(source, own)| DeviceSource::upload(stream, problem, source, own));
        let sources: Vec<DeviceSource> = sources.collect::<Result<_, _>>()?;
        Ok(Self {
            addresses: sources.iter().map(DeviceSource::addresses).collect(),
            sources,
            slots: arrays.slots.map(|slots| DeviceBuffer::of(stream, slots)).transpose()?,
            block_table: DeviceBuffer::of(stream, arrays.block_table)?,
            lengths: DeviceBuffer::of(stream, arrays.lengths)?,
            map_starts: DeviceBuffer::of(stream, arrays.map_starts)?,
            scale: arrays.scale,
            strides: arrays.strides,
        })
    }

    /// The buffers of a job that reads this input and leaves its scores in `map`, `[map_capacity]`.
    #[must_use]
    pub fn buffers(&self, map: &DeviceBuffer<f32>, workspace: &Workspace) -> ScoreBuffers<'_> {
        ScoreBuffers {
            sources: &self.addresses,
            slots: self.slots.as_ref().map_or(0, DeviceBuffer::address),
            block_table: self.block_table.address(),
            lengths: self.lengths.address(),
            map_starts: self.map_starts.address(),
            map: map.address(),
            workspace: workspace.address(),
            workspace_bytes: workspace.bytes(),
            scale: self.scale,
            strides: self.strides,
        }
    }

    /// Memory for the map of `problem`, filled with NaN in the stream's order.
    ///
    /// # Errors
    /// The problem is invalid; [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn map(stream: &Stream, problem: &ScoreProblem) -> Result<DeviceBuffer<f32>, CudaError> {
        problem.validate()?;
        let mut map = DeviceBuffer::allocate(stream.context(), problem.map_capacity as usize)?;
        map.fill(stream, ALL_ONES)?;
        Ok(map)
    }
}

impl DeviceSource {
    fn upload(
        stream: &Stream,
        problem: &ScoreProblem,
        source: &Source,
        own: &SourceArrays<'_>,
    ) -> Result<Self, CudaError> {
        let group = problem.group();
        Ok(Self {
            query: DeviceBuffer::of(stream, own.query)?,
            key: DeviceBuffer::of(stream, own.key)?,
            groups: DeviceBuffer::of(stream, source.groups(group).as_flattened())?,
            weights: DeviceBuffer::of(stream, source.group_weights(group, problem.tokens).as_flattened())?,
        })
    }

    /// The addresses of its arrays.
    #[must_use]
    pub fn addresses(&self) -> SourceBuffers {
        SourceBuffers {
            query: self.query.address(),
            key: self.key.address(),
            groups: self.groups.address(),
            weights: self.weights.address(),
        }
    }
}
