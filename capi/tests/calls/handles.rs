//! Freed handles, handles of another kind, what outlives what, and threads.

use std::{
    ptr::{null, null_mut, without_provenance_mut},
    thread,
};

use dustin_c::*;

use crate::fixture::*;

#[track_caller]
fn refuse_handle(status: dustin_status, end: &str) {
    let message = last_error();
    assert_eq!(status, dustin_status::NoSuchHandle, "{message}");
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn a_freed_handle_is_found_whatever_it_is_used_for() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let args = attention.args();
    succeed(dustin_operation_destroy(attention.operation));
    let freed = "which is none or was destroyed";
    refuse_handle(attention.launch_with(&args), freed);
    refuse_handle(dustin_operation_destroy(attention.operation), freed);
    let mut bytes = 0;
    // SAFETY: the number may be written.
    refuse_handle(unsafe { dustin_operation_workspace_bytes(attention.operation, &mut bytes) }, freed);
    // SAFETY: a handle that never was one is looked up, not followed.
    let wild = unsafe { dustin_operation_workspace_bytes(without_provenance_mut(0xdead_beef), &mut bytes) };
    refuse_handle(wild, "0xdeadbeef, which is none or was destroyed");
    // SAFETY: as above.
    refuse_handle(unsafe { dustin_operation_workspace_bytes(null(), &mut bytes) }, "but is null");
    succeed(dustin_operation_destroy(null_mut()));
}

#[test]
fn a_handle_of_another_kind_and_another_operation_are_found() {
    let context = Context::new();
    let attention = Attention::new(&context);
    let problem = attention_problem();
    // SAFETY: the struct is filled.
    let other =
        create(|out| unsafe { dustin_attention_create(attention.operation.cast(), null(), &problem, out) });
    refuse_handle(other, "context must be a live context handle, but is a live operation handle");
    let args = dustin_compact_args {
        struct_size: size_of_struct::<dustin_compact_args>(),
        reserved: 0,
        block_table: null(),
        lengths: null(),
        row_starts: null(),
        key_caches: null(),
        value_caches: null(),
        accepted: null(),
        workspace: null_mut(),
        workspace_bytes: 0,
        accepted_counts: null(),
        table_stride: 0,
        accepted_stride: 0,
    };
    // SAFETY: nothing is read of a launch of another operation.
    let status = unsafe { dustin_compact_launch(attention.operation, &args, null_mut()) };
    refuse_handle(
        status,
        "operation must be a live compact operation handle, but is a live attention operation handle",
    );
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn an_operation_outlives_its_context() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let before = attention.launch();
    drop(context);
    assert_eq!(attention.launch(), before);
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn a_null_address_for_a_handle_is_refused_before_any_work_is_done() {
    let (context, problem) = (Context::new(), attention_problem());
    // SAFETY: null is refused.
    refuse(unsafe { dustin_attention_create(context.0, null(), &problem, null_mut()) }, "operation");
    // SAFETY: as above.
    refuse(unsafe { dustin_context_create_cpu(1, null_mut()) }, "context");
    // SAFETY: as above.
    refuse(unsafe { dustin_operation_source(Attention::new(&context).operation, null_mut()) }, "source");
}

#[test]
fn threads_share_an_operation_and_errors_stay_with_their_thread() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let (expected, handle) = (attention.launch(), attention.operation.addr());
    let results = thread::scope(|scope| {
        let work = (0..4).map(|number| {
            scope.spawn(move || {
                let mut own = Attention::of(without_provenance_mut(handle));
                let mut results = (0..20).map(|_| own.launch()).collect::<Vec<_>>();
                let mut args = own.args();
                args.reserved = number + 1;
                refuse(own.launch_with(&args), "reserved");
                thread::yield_now();
                assert!(last_error().ends_with(&format!("but is {}", number + 1)), "{}", last_error());
                results.dedup();
                results
            })
        });
        let work: Vec<_> = work.collect();
        work.into_iter().flat_map(|work| work.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results, vec![expected; 4]);
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn one_of_many_threads_that_destroy_a_handle_at_once_succeeds() {
    let context = Context::new();
    for _ in 0..20 {
        let handle = Attention::new(&context).operation.addr();
        let freed = thread::scope(|scope| {
            let work: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || dustin_operation_destroy(without_provenance_mut(handle))))
                .collect();
            work.into_iter().map(|work| work.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(freed.iter().filter(|&&status| status == dustin_status::Ok).count(), 1, "{freed:?}");
    }
}

#[test]
fn a_machine_without_a_gpu_says_so() {
    let mut context = null_mut();
    // SAFETY: the handle may be written.
    let status = unsafe { dustin_context_create_cuda(0, &mut context) };
    if status == dustin_status::Ok {
        // There is one, and no thousandth.
        succeed(dustin_context_destroy(context));
        // SAFETY: as above.
        refuse(unsafe { dustin_context_create_cuda(1000, &mut context) }, "ordinal");
    } else {
        assert_eq!(status, dustin_status::NoGpu, "{}", last_error());
        assert!(context.is_null() && last_error().contains("CUDA driver"), "{}", last_error());
    }
}
