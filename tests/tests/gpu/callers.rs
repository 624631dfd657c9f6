//! Contexts, streams, memory and threads of the caller.

use cudarc::driver::{CudaContext, DevicePtr, sys};
use dustin::{
    attention::{
        launch::{AttentionBuffers, AttentionPlan},
        reference,
        space::Candidate,
    },
    cuda::{Context, ModuleCache, Stream, Workspace},
};
use dustin_kernels::registry::ATTENTION;
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verdict::judge,
};
use libtest_mimic::Trial;

use super::{ragged_input, some_variants, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("a_context_and_a_stream_of_another_binding_serve", other_binding),
        trial("a_context_of_the_caller_serves_and_stays_as_it_was", borrowed_context),
        trial("memory_of_the_caller_serves_as_the_workspace", borrowed_workspace),
        trial("the_legacy_default_stream_serves", default_stream),
        trial("two_threads_share_a_context_and_its_kernels", two_threads),
    ]
}

/// Attention in a context and on a stream, whoever made them.
fn attend_and_judge(
    modules: &ModuleCache,
    stream: &Stream,
    candidate: Candidate,
    seed: u64,
) -> Result<(), String> {
    let input = ragged_input(candidate.variant, seed)?;
    let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
    let asked = Asked::rounded(candidate);
    let attended = Prepared::new(modules, stream, &input, asked)?.attend(stream)?;
    judge(&input, &reference, &attended, asked.lse_base)
        .map(drop)
        .map_err(|error| format!("{candidate}, seed {seed}: {error}"))
}

fn other_binding(_: &'static Gpu) -> Result<(), String> {
    let theirs = CudaContext::new(0).map_err(text)?;
    let their_stream = theirs.new_stream().map_err(text)?;
    // SAFETY: the context outlives all that is made of it here.
    let context = unsafe { Context::borrow(theirs.cu_ctx().cast()) }.map_err(text)?;
    // SAFETY: the stream belongs to the context and outlives this one.
    let stream = unsafe { Stream::borrow(&context, their_stream.cu_stream().cast()) };
    let modules = ModuleCache::new(&context).map_err(text)?;
    some_variants().take(3).try_for_each(|candidate| attend_and_judge(&modules, &stream, candidate, 1))?;
    their_stream.synchronize().map_err(text)
}

fn borrowed_context(_: &'static Gpu) -> Result<(), String> {
    let mut raw = std::ptr::null_mut();
    // SAFETY: the driver is initialised and has device 0; the context is made current on this thread.
    unsafe { sys::cuCtxCreate_v2(&mut raw, 0, 0) }.result().map_err(text)?;
    let verdict = (|| {
        // SAFETY: the context is destroyed at the end, behind all that is made of it here.
        let context = unsafe { Context::borrow(raw.cast()) }.map_err(text)?;
        let modules = ModuleCache::new(&context).map_err(text)?;
        let stream = Stream::new(&context).map_err(text)?;
        some_variants().take(3).try_for_each(|candidate| attend_and_judge(&modules, &stream, candidate, 2))
    })();
    let mut current = std::ptr::null_mut();
    // SAFETY: the driver writes one context.
    unsafe { sys::cuCtxGetCurrent(&mut current) }.result().map_err(text)?;
    // SAFETY: nothing uses the context any more.
    unsafe { sys::cuCtxDestroy_v2(raw) }.result().map_err(text)?;
    verdict?;
    if current != raw {
        return Err(format!("the caller's current context was {raw:?} and is now {current:?}"));
    }
    Ok(())
}

fn borrowed_workspace(_: &'static Gpu) -> Result<(), String> {
    let theirs = CudaContext::new(0).map_err(text)?;
    let their_stream = theirs.new_stream().map_err(text)?;
    // SAFETY: the context outlives all that is made of it here.
    let context = unsafe { Context::borrow(theirs.cu_ctx().cast()) }.map_err(text)?;
    // SAFETY: the stream belongs to the context and outlives this one.
    let stream = unsafe { Stream::borrow(&context, their_stream.cu_stream().cast()) };
    let modules = ModuleCache::new(&context).map_err(text)?;
    let candidate = Candidate { variant: &ATTENTION[0], splits: 4.into() };
    let input = ragged_input(candidate.variant, 3)?;
    let plan = AttentionPlan::new(&input.problem, candidate.variant, candidate.splits).map_err(text)?;

    let memory = their_stream.alloc_zeros::<u8>(plan.workspace_bytes() as usize).map_err(text)?;
    let (address, _guard) = memory.device_ptr(&their_stream);
    // SAFETY: the memory outlives the workspace, and nothing else touches it.
    let workspace = unsafe { Workspace::borrow(&plan, address, plan.workspace_bytes()) }.map_err(text)?;
    workspace.initialise(&stream).map_err(text)?;

    let asked = Asked::rounded(candidate);
    let prepared = Prepared::new(&modules, &stream, &input, asked)?;
    let buffers = AttentionBuffers { workspace: workspace.address(), ..prepared.buffers() };
    prepared.launch_with(&stream, &buffers).map_err(text)?;
    let reference = reference::attention(&input.problem, &input.arrays()).map_err(text)?;
    judge(&input, &reference, &prepared.attended(&stream)?, asked.lse_base)?;
    match workspace.status(&stream).map_err(text)? {
        None => Ok(()),
        Some(fault) => Err(format!("a clean launch reported {fault:?}")),
    }
}

fn default_stream(gpu: &'static Gpu) -> Result<(), String> {
    // SAFETY: every context has its default stream.
    let stream = unsafe { Stream::borrow(&gpu.context, std::ptr::null_mut()) };
    some_variants().take(3).try_for_each(|candidate| attend_and_judge(&gpu.modules, &stream, candidate, 4))
}

fn two_threads(gpu: &'static Gpu) -> Result<(), String> {
    // A cache of its own, so that both threads ask for kernels that are not compiled yet.
    let modules = ModuleCache::new(&gpu.context).map_err(text)?;
    let work = |seed: u64| {
        let stream = stream(gpu)?;
        some_variants().try_for_each(|candidate| attend_and_judge(&modules, &stream, candidate, seed))
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(|| work(5)), scope.spawn(|| work(6))];
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_string())?)
    })
}
