//! Arguments that are refused, by field.

use std::ptr::{null, null_mut, without_provenance, without_provenance_mut};

use dustin_c::*;

use crate::fixture::*;

#[test]
fn arguments_of_attention_are_refused_by_name_and_nothing_is_written() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let mut field = |change: fn(&mut dustin_attention_args)| {
        let mut args = attention.args();
        change(&mut args);
        attention.launch_with(&args)
    };
    refuse(field(|a| a.query = null()), "query");
    refuse(field(|a| a.query = a.query.wrapping_byte_add(1)), "query");
    refuse(field(|a| a.key = null()), "key");
    refuse(field(|a| a.value = without_provenance(3)), "value");
    refuse(field(|a| a.block_table = null()), "block_table");
    refuse(field(|a| a.lengths = a.lengths.wrapping_byte_add(2)), "lengths");
    refuse(field(|a| a.row_starts = null()), "row_starts");
    refuse(field(|a| a.set = null()), "set");
    refuse(field(|a| a.set_sizes = null()), "set_sizes");
    refuse(field(|a| a.masks = without_provenance(64)), "masks");
    refuse(field(|a| a.lse = without_provenance_mut(64)), "lse");
    refuse(field(|a| a.output = null_mut()), "output");
    refuse(field(|a| a.output = a.output.wrapping_byte_add(2)), "output");
    refuse(field(|a| a.workspace = null_mut()), "workspace");
    refuse(field(|a| a.workspace = a.workspace.wrapping_byte_add(4)), "workspace");
    refuse(field(|a| a.workspace_bytes = 7), "workspace_bytes");
    refuse(field(|a| a.scale = 0.0), "scale");
    refuse(field(|a| a.scale = f32::NAN), "scale");
    refuse(field(|a| a.query_row_stride = 260), "strides.query_row");
    refuse(field(|a| a.output_row_stride = 8), "strides.output_row");
    refuse(field(|a| a.table_stride = 4), "strides.table");
    refuse(field(|a| a.set_stride = 7), "strides.set");
    refuse(field(|a| a.query_row_stride = 1 << 41), "strides.query_row");
    refuse(field(|a| a.output_type = 2), "output_type");
    refuse(field(|a| a.lse_base = 2), "lse_base");
    refuse(field(|a| a.stable = 2), "stable");
    refuse(field(|a| a.reserved = 1), "reserved");
    refuse(field(|a| a.key_scale = without_provenance(64)), "key_scale");
    refuse(field(|a| a.value_scale = without_provenance(64)), "value_scale");
    assert!(attention.output.iter().all(|item| item.is_nan()));
    attention.launch();
    assert_eq!(attention.status(), (0, 0));
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn a_cpu_context_has_no_streams() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let (args, stream) = (attention.args(), without_provenance_mut(0x1000));
    // SAFETY: a stream is refused before anything is read.
    refuse(unsafe { dustin_attention_launch(attention.operation, &args, stream) }, "stream");
    let workspace = attention.workspace.as_mut_ptr().cast();
    // SAFETY: as above.
    refuse(unsafe { dustin_operation_initialise(attention.operation, workspace, 8, stream) }, "stream");
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn what_arrays_contain_is_found_by_the_launch_and_stays_until_it_is_cleared() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let unchanged = attention.launch();
    attention.plant();
    let args = attention.args();
    succeed(attention.launch_with(&args));
    assert_eq!(attention.status(), (dustin_fault::Page as u32, 0));
    assert_eq!(attention.status(), (dustin_fault::Page as u32, 0));
    let workspace = attention.workspace.as_mut_ptr().cast();
    // SAFETY: the workspace is the vector's.
    succeed(unsafe { dustin_operation_clear_status(attention.operation, workspace, 8, null_mut()) });
    assert_eq!(attention.status(), (0, 0));
    assert_ne!(attention.output.iter().map(|item| item.to_bits()).collect::<Vec<_>>(), unchanged);
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn a_workspace_that_nobody_has_readied_is_found() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    attention.workspace[0] = u64::MAX;
    let (mut fault, mut sequence) = (0, 0);
    let workspace = attention.workspace.as_mut_ptr().cast();
    // SAFETY: the workspace is the vector's, and the numbers may be written.
    let status = unsafe {
        dustin_operation_status(attention.operation, workspace, 8, null_mut(), &mut fault, &mut sequence)
    };
    refuse(status, "workspace");
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn arrays_that_the_problem_does_not_ask_for_are_refused() {
    let context = Context::new();
    let (problem, mut operation) = (select_problem(), null_mut());
    // SAFETY: the struct is filled.
    succeed(unsafe { dustin_select_create(context.0, null(), &problem, &mut operation) });
    let (map, numbers, mut word) = (vec![0.5f32; 40], [0i32, 20, 40, 20, 20], [0u64]);
    let (mut set, mut sizes) = ([0i32; 16], [0i32; 2]);
    let mut args = dustin_select_args {
        struct_size: size_of_struct::<dustin_select_args>(),
        reserved: 0,
        map_starts: numbers.as_ptr().cast(),
        lengths: numbers[3..].as_ptr().cast(),
        set: set.as_mut_ptr().cast(),
        set_sizes: sizes.as_mut_ptr().cast(),
        workspace: word.as_mut_ptr().cast(),
        workspace_bytes: 8,
        target: map.as_ptr().cast(),
        draft: null(),
        target_slots: null(),
        block_table: null(),
        physical: null_mut(),
        table_stride: 0,
        set_stride: 0,
    };
    // SAFETY: here and below, arrays have the problem's shapes or are refused.
    let launch = |args: &dustin_select_args| unsafe { dustin_select_launch(operation, args, null_mut()) };
    succeed(launch(&args));
    args.draft = args.target;
    refuse(launch(&args), "draft");
    args.draft = null();
    args.target_slots = args.lengths;
    refuse(launch(&args), "target_slots");
    args.target_slots = null();
    args.physical = args.set;
    refuse(launch(&args), "physical");
    args.physical = null_mut();
    args.target = null();
    refuse(launch(&args), "target");
    assert_eq!((sizes, &set[..3]), ([8, 8], &[0, 1, 2][..]));
    succeed(dustin_operation_destroy(operation));
}

#[test]
fn values_in_front_of_keys_in_one_array_are_refused() {
    let context = Context::new();
    let (mut problem, mut operation) = (append_problem(), null_mut());
    // SAFETY: the struct may be written, and later is filled.
    succeed(unsafe { dustin_paged_kv_set_strides(&mut problem.kv, dustin_kv_layout::Nhd as u32, 1) });
    // SAFETY: as above.
    succeed(unsafe { dustin_append_create(context.0, &problem, &mut operation) });
    let (own, numbers, mut word) = (vec![1u16; 5 * 128], [0i32; 20], [0u64]);
    let mut cache = vec![0u16; 2 * 16 * 4 * 128];
    let (first, second) = (cache.as_mut_ptr(), cache[4 * 128..].as_mut_ptr());
    let args = dustin_append_args {
        struct_size: size_of_struct::<dustin_append_args>(),
        stable: 0,
        block_table: numbers.as_ptr().cast(),
        lengths: numbers.as_ptr().cast(),
        row_starts: numbers.as_ptr().cast(),
        key: own.as_ptr().cast(),
        value: own.as_ptr().cast(),
        key_cache: second.cast(),
        value_cache: first.cast(),
        workspace: word.as_mut_ptr().cast(),
        workspace_bytes: 8,
        query: null(),
        query_copy: null_mut(),
        key_scale: null(),
        value_scale: null(),
        table_stride: 0,
        key_row_stride: 0,
        key_head_stride: 0,
        value_row_stride: 0,
        value_head_stride: 0,
        query_row_stride: 0,
        query_head_stride: 0,
        query_copy_row_stride: 0,
        query_copy_head_stride: 0,
    };
    // SAFETY: as in the other tests.
    let launch = |args: &dustin_append_args| unsafe { dustin_append_launch(operation, args, null_mut()) };
    refuse(launch(&args), "value_cache");
    refuse(launch(&dustin_append_args { key_scale: first.cast(), ..args }), "key_scale");
    refuse(launch(&dustin_append_args { query: first.cast(), ..args }), "query");
    succeed(launch(&dustin_append_args { key_cache: first.cast(), value_cache: second.cast(), ..args }));
    succeed(dustin_operation_destroy(operation));
}
