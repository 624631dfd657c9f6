//! Where a step's arrays are, in host memory or on a GPU: what its stages are called with.

use dustin::verifier::{
    AcceptanceBuffers, AcceptedBuffers, AppendRows, AttentionRows, CaptureRows, StepBuffers,
};

/// The addresses of a step's arrays.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// What does not depend on the layer.
    pub step: StepBuffers,
    /// The layer, the forward and the rows of each capture of the draft.
    pub forwards: Vec<(u32, u32, CaptureRows)>,
    /// Layer by layer.
    pub layers: Vec<LayerAddresses>,
    /// The accepted rows, where the engine accepts.
    pub accepted: AcceptedBuffers,
    /// What acceptance reads and writes, where the verifier does.
    pub acceptance: Option<AcceptanceBuffers>,
    /// The rows that each layer of the target captures from, if the verifier accepts and its map is read.
    pub captures: Vec<CaptureRows>,
}

/// The addresses of a layer's rows.
#[derive(Clone, Copy, Debug)]
pub struct LayerAddresses {
    /// What is appended.
    pub append: AppendRows,
    /// What attends to the sets, and to all tokens.
    pub attend: [AttentionRows; 2],
}
