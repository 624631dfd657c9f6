//! Attention through the C ABI: on a caller's context and stream, eagerly and captured.

use std::ptr::null;

use dustin::{
    cuda::{CudaError, Graph},
    profile::{Choice, GpuCatalogue, KernelKey, Key, Policy, Tuned},
};
use dustin_c::{
    dustin_attention_create, dustin_attention_launch, dustin_operation_initialise, dustin_operation_status,
};
use dustin_kernels::registry::ATTENTION;
use dustin_tests::{
    capi::{Context, Operation, address, attention_args, attention_problem, check},
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
};
use libtest_mimic::Trial;

use super::{ragged_input, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("the_c_abi_launches_on_a_caller_s_context_what_the_library_launches", |gpu| {
            // SAFETY: the context lives as long as the tests.
            launched(gpu, &unsafe { Context::borrow(gpu.context.as_raw())? })
        }),
        trial("the_c_abi_launches_on_the_primary_context_what_the_library_launches", |gpu| {
            launched(gpu, &Context::cuda()?)
        }),
    ]
}

/// An error of a capture.
struct Failure(String);

impl From<CudaError> for Failure {
    fn from(error: CudaError) -> Self {
        Self(error.to_string())
    }
}

fn launched(gpu: &'static Gpu, context: &Context) -> Result<(), String> {
    let stream = stream(gpu)?;
    let (tuned, id) =
        (Tuned::new([], GpuCatalogue { limits: gpu.modules.device().limits() }), gpu.modules.device().id());
    for (seed, variant) in ATTENTION.iter().step_by(17).enumerate() {
        let input = ragged_input(variant, seed as u64)?;
        let kernel = KernelKey::from(&input.problem);
        let key = Key::of(kernel, &id, Policy::of(kernel.kernel(), &id));
        let candidate = Choice::gpu_attention(&tuned.find(&key).map_err(text)?.choice).ok_or("no choice")?;
        let mut prepared = Prepared::new(&gpu.modules, &stream, &input, Asked::rounded(candidate))?;
        let expected = prepared.attend(&stream)?.output.bits();

        let problem = attention_problem(&input.problem);
        // SAFETY: here and below, structs are filled, and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_attention_create(context.handle(), null(), &problem, out) };
        let operation = Operation::new(create)?;
        let buffers = prepared.buffers();
        let (workspace, bytes, raw) = (address(buffers.workspace), buffers.workspace_bytes, stream.as_raw());
        if operation.workspace_bytes()? != bytes {
            return Err(format!("{candidate}: another workspace than the library's, of {bytes} bytes"));
        }
        // SAFETY: as above.
        check(unsafe { dustin_operation_initialise(operation.handle(), workspace, bytes, raw) })?;
        prepared.poison(&stream).map_err(text)?;
        let args = attention_args(&buffers);
        // SAFETY: as above.
        let launch = || check(unsafe { dustin_attention_launch(operation.handle(), &args, raw) });
        launch()?;
        let (mut fault, mut sequence) = (7, 7);
        // SAFETY: as above.
        check(unsafe {
            dustin_operation_status(operation.handle(), workspace, bytes, raw, &mut fault, &mut sequence)
        })?;
        if prepared.attended(&stream)?.output.bits() != expected || (fault, sequence) != (0, 0) {
            return Err(format!("{candidate}, seed {seed}: the launch differs, fault {fault}"));
        }
        let mut graph = Graph::capture(&stream, || launch().map_err(Failure)).map_err(|failure| failure.0)?;
        prepared.poison(&stream).map_err(text)?;
        // SAFETY: what was captured lives in `prepared` and `operation`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        if prepared.attended(&stream)?.output.bits() != expected {
            return Err(format!("{candidate}, seed {seed}: the replay differs"));
        }
    }
    Ok(())
}
