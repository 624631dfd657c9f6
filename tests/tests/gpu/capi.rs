//! The C ABI on a caller's context and stream, eagerly and captured: attention, and whole steps of the verifier.

use std::ptr::null;

use dustin::{
    cuda::{Graph, SideStream},
    profile::{Choice, GpuCatalogue, KernelKey, Key, Policy, Tuned},
};
use dustin_c::{
    dustin_attention_create, dustin_attention_launch, dustin_operation_initialise, dustin_operation_status,
};
use dustin_kernels::registry::ATTENTION;
use dustin_tests::{
    capi::{CStep, Context, Failure, Operation, Verifier, address, attention_args, attention_problem, check},
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verifier::{
        cuda::{Engine, Step},
        world::{Recipe, World},
    },
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
        trial("a_verifiers_steps_through_the_c_abi_are_the_library_s_bit_for_bit", |gpu| {
            let recipes = [Recipe::usual(41), Recipe::all_asked(42)];
            recipes.into_iter().try_for_each(|recipe| {
                stepped(gpu, &World::new(&recipe))?;
                stepped(gpu, &World::new(&Recipe { accepts: true, ..recipe }))
            })
        }),
    ]
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

/// Steps with draft captures, acceptance, compaction and captures for the next one, on one stream, on two, and as a graph of both.
fn stepped(gpu: &'static Gpu, world: &World) -> Result<(), String> {
    let (stream, mut engine) = (stream(gpu)?, Engine::new(&gpu.modules, &stream(gpu)?, world)?);
    let mut side = SideStream::new(&gpu.context).map_err(text)?;
    // SAFETY: context and caches live longer than what is made with them, and the stream is one of the context.
    let (verifier, space) = unsafe {
        let context = Context::borrow(gpu.context.as_raw())?;
        let verifier = Verifier::new(&context, &world.problem, engine.memory())?;
        let space = verifier.workspace(stream.as_raw())?;
        (verifier, space)
    };
    for order in [&[0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[8, 3, 0]] {
        let batch = world.batch(order);
        let mut own = engine.step(&stream, &batch).map_err(text)?;
        engine.renew(&stream, &mut own, &batch).map_err(text)?;
        let expected = engine.run(&stream, None, &own).map_err(text)?;
        expected.judge(world, &batch).map_err(|error| format!("{order:?}: {error}"))?;
        let arrays = engine.addresses(&own);
        let step = CStep { verifier: &verifier, space: &space, stages: &world.stages, arrays: &arrays };
        let raw = stream.as_raw();
        let behind = |how: &str, engine: &Engine, own: &Step| {
            let mut found = engine.outcome(&stream, own, expected.appended.clone()).map_err(text)?;
            // SAFETY: as above.
            found.status = unsafe { space.status(raw)? };
            match found.bits() == expected.bits() && found.status == expected.status {
                true => Ok(()),
                false => Err(format!("{order:?}, {how}: the step differs, {:?}", found.status)),
            }
        };

        engine.renew(&stream, &mut own, &batch).map_err(text)?;
        // SAFETY: here and below, the arrays are the engine's and the step's, and outlive the step.
        unsafe { step.choose(raw)? };
        // SAFETY: as above.
        unsafe { step.layers(raw)? };
        if engine.caches(&stream).map_err(text)? != expected.appended {
            return Err(format!("{order:?}: the rows are not where appending puts them"));
        }
        // SAFETY: as above.
        unsafe { step.settle(raw)? };
        behind("on one stream", &engine, &own)?;

        let mut submit = || {
            // SAFETY: as above.
            unsafe {
                step.choose_beside(&stream, &mut side)?;
                step.layers(raw)?;
                step.settle(raw).map_err(Failure)
            }
        };
        engine.renew(&stream, &mut own, &batch).map_err(text)?;
        submit().map_err(|failure| failure.0)?;
        behind("on two streams", &engine, &own)?;
        engine.renew(&stream, &mut own, &batch).map_err(text)?;
        let mut graph = Graph::capture(&stream, submit).map_err(|failure| failure.0)?;
        // SAFETY: what was captured lives in `engine`, `own`, `verifier` and `space`.
        unsafe { graph.launch(&stream) }.map_err(text)?;
        behind("as a graph", &engine, &own)?;
    }
    Ok(())
}
