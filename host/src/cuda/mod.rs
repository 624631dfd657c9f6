//! The CUDA back end: devices through the driver API, found and checked at run time.
//!
//! Building needs no CUDA toolkit, and running needs no driver: without a usable one every entry point returns a
//! [`CudaError`] and touches nothing. A caller may bring its own context, stream and memory: raw handles and device
//! addresses are accepted wherever this module would make its own.
//!
//! | file | what it holds |
//! |---|---|
//! | `library` | the guard: finding the driver, checking its version and functions before any use |
//! | `functions` | the driver's functions that are used |
//! | `error` | [`CudaError`] |
//! | `context`, `stream`, `memory` | contexts, streams and device memory, own or borrowed |
//! | `module`, `kernel` | compiled variants, one cache per context, and their launch |
//! | `accept`, `attention`, `cache`, `score`, `select` | launches of acceptance, of attention, of writing to caches, of score gathering and of selection |
//! | `workspace` | the memory that launches work in |
//! | `verifier` | all stages of a step, one by one, and a second stream beside the main one |
//! | `input` | the arrays of problems in device memory |
//! | `event`, `graph`, `timing` | events, captured graphs, and timing with both |
//! | `device_info`, `nvml` | what a device is |

mod accept;
mod attention;
mod cache;
mod context;
mod device_info;
mod error;
mod event;
mod functions;
mod graph;
mod input;
mod kernel;
mod library;
mod memory;
mod module;
mod nvml;
mod score;
mod select;
mod stream;
mod timing;
mod verifier;
mod workspace;

pub use accept::AcceptKernel;
pub use attention::AttentionKernel;
pub use cache::{AppendKernel, CaptureKernel, CompactKernel};
pub use context::{Context, device_count};
pub use device_info::DeviceInfo;
pub use error::{CudaError, CudaVersion};
pub use event::Event;
pub use functions::SYMBOLS;
pub use graph::Graph;
pub use input::{
    AppendTarget, DeviceAcceptInput, DeviceAcceptOutput, DeviceAppendInput, DeviceCaptureInput,
    DeviceCompactInput, DeviceInput, DeviceItems, DeviceLayer, DeviceOutput, DeviceScoreInput, DeviceScores,
    DeviceSelectInput, DeviceSelectOutput, DeviceSource, DeviceStep,
};
pub use kernel::{Kernel, Resources};
pub use library::{REQUIRED_DRIVER, available};
pub use memory::{DeviceBuffer, DeviceItem};
pub use module::ModuleCache;
pub use score::ScoreKernel;
pub use select::SelectKernel;
pub use stream::Stream;
pub use timing::{TimingPolicy, graph_launches, time_graph};
pub use verifier::{SideStream, Verifier, VerifierWorkspace};
pub use workspace::{Plan, Workspace};
