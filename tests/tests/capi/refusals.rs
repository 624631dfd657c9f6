//! What the verifier's stages refuse, by field, before they read or write anything.

use std::ptr::{null, null_mut, without_provenance_mut};

use dustin_c::{
    dustin_capture_rows, dustin_status, dustin_step, dustin_verifier, dustin_verifier_accept,
    dustin_verifier_append, dustin_verifier_attention, dustin_verifier_capture_draft,
    dustin_verifier_capture_target, dustin_verifier_score_draft, dustin_verifier_score_target,
    dustin_verifier_select, dustin_verifier_workspace,
};
use dustin_tests::{
    capi::{
        CStep, Context, HostEngine, HostStep, Verifier, VerifierSpace, acceptance_args, append_rows,
        attention_rows, capture_rows, last_error, step as c_step,
    },
    verifier::{
        addresses::Addresses,
        batch::Batch,
        outcome::POISON,
        world::{Recipe, World},
    },
};

/// A verifier over an engine's memory, and one of its workspaces.
struct Made {
    engine: HostEngine,
    verifier: Verifier,
    space: VerifierSpace,
}

impl Made {
    fn new(world: &World) -> Self {
        let (context, engine) = (Context::cpu(1).unwrap(), HostEngine::new(world));
        // SAFETY: the memory has the world's shapes, and lives as long as the verifier.
        let verifier = unsafe { Verifier::new(&context, &world.problem, engine.memory()) }.unwrap();
        // SAFETY: a CPU has no streams.
        let space = unsafe { verifier.workspace(null_mut()) }.unwrap();
        // The context may go: the verifier keeps what it uses.
        Self { engine, verifier, space }
    }

    /// Selection with `step`.
    fn select(&self, step: &dustin_step) -> dustin_status {
        // SAFETY: the struct is filled, and its arrays have the problem's shapes or are refused.
        unsafe { dustin_verifier_select(self.verifier.handle(), self.space.handle(), step, null_mut()) }
    }
}

#[track_caller]
fn refuse(status: dustin_status, field: &str) {
    let message = last_error();
    assert_eq!(status, dustin_status::InvalidInput, "{field}: {message}");
    assert!(message.contains(&format!(": {field} must be ")), "{field}: {message}");
}

#[track_caller]
fn refuse_handle(status: dustin_status, end: &str) {
    let message = last_error();
    assert_eq!(status, dustin_status::NoSuchHandle, "{message}");
    assert!(message.ends_with(end), "{message}");
}

fn world() -> World {
    World::new(&Recipe { lengths: vec![60, 130], uncaptured: vec![], accepts: true, ..Recipe::usual(61) })
}

fn arrays<'a>(world: &'a World, batch: &'a Batch) -> (HostStep<'a>, Addresses) {
    let mut own = HostStep::new(world, batch);
    let addresses = own.addresses();
    (own, addresses)
}

#[test]
fn a_freed_verifier_or_workspace_and_one_of_another_kind_are_found() {
    let world = world();
    let batch = world.batch(&[0, 1]);
    let (made, (_own, arrays)) = (Made::new(&world), arrays(&world, &batch));
    let select = |verifier: *const dustin_verifier, space: *const dustin_verifier_workspace| {
        // SAFETY: handles are looked up, and the struct is filled.
        unsafe { dustin_verifier_select(verifier, space, &c_step(&arrays.step), null_mut()) }
    };
    let (verifier, space) = (made.verifier.handle(), made.space.handle());
    refuse_handle(select(null(), space), "but is null");
    refuse_handle(select(space.cast(), space), "but is a live verifier workspace handle");
    refuse_handle(select(verifier, verifier.cast()), "but is a live verifier handle");
    // A workspace of another verifier, though of the same problem.
    let other = Made::new(&world);
    refuse(select(verifier, other.space.handle()), "workspace");
    let (freed, its_space) = (other.verifier.handle(), other.space.handle());
    drop(other);
    refuse_handle(select(freed, space), "which is none or was destroyed");
    refuse_handle(select(verifier, its_space), "which is none or was destroyed");
}

#[test]
fn steps_of_old_headers_streams_and_arrays_that_cannot_be_are_refused_by_name() {
    let world = world();
    let batch = world.batch(&[0, 1]);
    let (made, (own, arrays)) = (Made::new(&world), arrays(&world, &batch));
    let with = |change: fn(&mut dustin_step)| {
        let mut step = c_step(&arrays.step);
        change(&mut step);
        made.select(&step)
    };
    refuse(with(|step| step.struct_size = 8), "struct_size");
    refuse(with(|step| step.reserved = 1), "reserved");
    refuse(with(|step| step.lengths = step.lengths.wrapping_byte_add(1)), "lengths");
    refuse(with(|step| step.set = null_mut()), "set");
    refuse(with(|step| step.target_map = null_mut()), "target_map");
    refuse(with(|step| step.physical = without_provenance_mut(64)), "physical");
    let (verifier, space, step) = (made.verifier.handle(), made.space.handle(), c_step(&arrays.step));
    let stream = without_provenance_mut(0x1000);
    // SAFETY: a stream is refused on a CPU before anything is read, as is null.
    unsafe {
        refuse(dustin_verifier_score_target(verifier, space, &step, stream), "stream");
        refuse(dustin_verifier_select(verifier, space, null(), null_mut()), "step");
    }
    let outcome = own.outcome(&made.engine, Vec::new(), Vec::new());
    // Acceptance has counted nothing, and no stage has written.
    assert!(outcome.unwrap_err().contains("steps are counted"));
    assert_eq!(made.engine.caches(), world.target);
}

#[test]
fn layers_forwards_and_rows_that_are_none_are_refused_by_name() {
    let world = world();
    let batch = world.batch(&[0, 1]);
    let (made, (_own, arrays)) = (Made::new(&world), arrays(&world, &batch));
    let (verifier, space, step) = (made.verifier.handle(), made.space.handle(), c_step(&arrays.step));
    let append = append_rows(&arrays.layers[0].append);
    let attend = attention_rows(&arrays.layers[0].attend[0]);
    let (target, draft) = (capture_rows(&arrays.captures[0]), capture_rows(&arrays.forwards[0].2));
    // SAFETY: structs are filled, and their arrays have the problem's shapes or are refused.
    unsafe {
        refuse(dustin_verifier_append(verifier, space, 3, &step, &append, null_mut()), "layer");
        let strided = dustin_c::dustin_append_rows { key_row_stride: 12, ..append };
        refuse(dustin_verifier_append(verifier, space, 0, &step, &strided, null_mut()), "strides.key_row");
        refuse(dustin_verifier_attention(verifier, space, 3, &step, &attend, null_mut()), "layer");
        let typed = dustin_c::dustin_attention_rows { output_type: 9, ..attend };
        refuse(dustin_verifier_attention(verifier, space, 0, &step, &typed, null_mut()), "output_type");
        let asked = dustin_c::dustin_attention_rows { lse: without_provenance_mut(64), ..attend };
        refuse(dustin_verifier_attention(verifier, space, 0, &step, &asked, null_mut()), "lse");
        refuse(dustin_verifier_capture_target(verifier, space, 3, &target, null_mut()), "layer");
        refuse(dustin_verifier_capture_draft(verifier, space, 2, 0, &draft, null_mut()), "layer");
        refuse(dustin_verifier_capture_draft(verifier, space, 0, 4, &draft, null_mut()), "token");
        let old = dustin_capture_rows { struct_size: 16, ..draft };
        refuse(dustin_verifier_capture_draft(verifier, space, 0, 0, &old, null_mut()), "struct_size");
        let nowhere = dustin_capture_rows { query: null(), ..draft };
        refuse(dustin_verifier_capture_draft(verifier, space, 0, 0, &nowhere, null_mut()), "query");
        let args = acceptance_args(arrays.acceptance.as_ref().unwrap());
        let unasked = dustin_c::dustin_acceptance_args { parents: args.tokens, ..args };
        refuse(dustin_verifier_accept(verifier, space, &step, &unasked, null_mut()), "parents");
    }
    assert_eq!(made.engine.caches(), world.target);
}

#[test]
fn stages_that_the_problem_does_not_have_are_refused_by_name() {
    let mut recipe = Recipe { lengths: vec![60, 130], uncaptured: vec![], ..Recipe::usual(62) };
    recipe.rules.m = 0;
    let world = World::new(&recipe);
    let batch = world.batch(&[0, 1]);
    let (made, (_own, arrays)) = (Made::new(&world), arrays(&world, &batch));
    let accepting = self::world();
    let accepting_batch = accepting.batch(&[0, 1]);
    let (_theirs, of_accepting) = self::arrays(&accepting, &accepting_batch);
    let (verifier, space, step) = (made.verifier.handle(), made.space.handle(), c_step(&arrays.step));
    let args = acceptance_args(of_accepting.acceptance.as_ref().unwrap());
    let draft = capture_rows(&of_accepting.forwards[0].2);
    // SAFETY: stages that are not there are refused before they read anything.
    unsafe {
        refuse(dustin_verifier_accept(verifier, space, &step, &args, null_mut()), "acceptance");
        refuse(dustin_verifier_capture_draft(verifier, space, 0, 0, &draft, null_mut()), "stage");
        let mapped = dustin_step { draft_map: step.target_map, ..step };
        let status = dustin_verifier_score_draft(verifier, space, &mapped, null_mut());
        assert_eq!(status, dustin_status::InvalidInput, "{}", last_error());
    }
}

#[test]
fn a_prompts_last_rows_are_captured_and_slots_beyond_the_array_are_faults() {
    let world = world();
    let batch = world.batch(&[0, 1]);
    let (made, (_own, arrays)) = (Made::new(&world), arrays(&world, &batch));
    let (heads, dim) = (16, 64);
    // Prompts of 300 and 2 rows, more than a step has, into slots 3 and 4.
    let query: Vec<u16> = (0..302 * heads * dim).map(|item| item as u16 % 0x7f00).collect();
    let mut row_starts = [302i32; 11];
    row_starts[..2].copy_from_slice(&[0, 300]);
    let mut slots = [-1i32; 10];
    slots[..2].copy_from_slice(&[3, 4]);
    let rows = dustin_capture_rows {
        query: query.as_ptr().cast(),
        row_starts: row_starts.as_ptr().cast(),
        rows: null(),
        slots: slots.as_ptr().cast(),
        total_rows: 302,
        ..capture_rows(&arrays.captures[0])
    };
    let capture = |rows: &dustin_capture_rows, layer: u32| {
        let (verifier, space) = (made.verifier.handle(), made.space.handle());
        // SAFETY: the arrays have the shapes of the problem and of the prompts.
        unsafe { dustin_verifier_capture_target(verifier, space, layer, rows, null_mut()) }
    };
    for layer in 0..3 {
        assert_eq!(capture(&rows, layer), dustin_status::Ok, "{}", last_error());
    }
    let items = world.stages.target_captured.slot_stride() as usize;
    for (slot, row) in [(3, 299), (4, 301)] {
        // Heads 1 and 6 of layer 0, then 0, 1 and 9 of layer 2.
        let expected = [1, 6, 0, 1, 9].map(|head| &query[(row * heads + head) * dim..][..dim]).concat();
        assert_eq!(made.engine.target_queries()[slot * items..][..items], expected, "row {row}");
    }
    let beyond = [77i32; 10];
    let rows = dustin_capture_rows { slots: beyond.as_ptr().cast(), ..rows };
    assert_eq!(capture(&rows, 0), dustin_status::Ok, "{}", last_error());
    // SAFETY: a CPU has no streams.
    let status = unsafe { made.space.status(null_mut()) }.unwrap();
    let fault = dustin_kernels::fault::Fault::Slot;
    assert_eq!(status, [(dustin::verifier::Stage::TargetCapture, fault, 1)]);
}

#[test]
fn what_a_stage_refuses_leaves_its_outputs_as_they_were() {
    let world = world();
    let mut batch = world.batch(&[0, 1]);
    batch.map_starts.clear();
    let (made, (own, mut arrays)) = (Made::new(&world), arrays(&world, &batch));
    arrays.step.map_starts = 0;
    let stages = &world.stages;
    let step = CStep { verifier: &made.verifier, space: &made.space, stages, arrays: &arrays };
    // SAFETY: the arrays have the shapes of the problem, but for one that is missing.
    let error = unsafe { step.score_target(null_mut()) }.unwrap_err();
    assert!(error.contains("map_starts must be "), "{error}");
    assert!(own.target_map().iter().all(|score| score.to_bits() == POISON.to_bits()));
}
