//! Problems that are refused, by field.

use std::ptr::{null, null_mut};

use dustin_c::*;

use crate::fixture::*;

#[test]
fn attention_of_every_impossible_field_is_refused_by_name() {
    let context = Context::new();
    let field = |change: fn(&mut dustin_attention_problem)| {
        let mut problem = attention_problem();
        change(&mut problem);
        // SAFETY: the struct is filled.
        create(|out| unsafe { dustin_attention_create(context.0, null(), &problem, out) })
    };
    succeed(field(|_| ()));
    refuse(field(|p| p.dtype = 0), "dtype");
    refuse(field(|p| p.dtype = 3), "dtype");
    refuse(field(|p| p.dtype = dustin_dtype::F16 as u32), "kv.dtype");
    refuse(field(|p| p.kv.dtype = dustin_dtype::Fp8E4m3 as u32), "kv.dtype");
    refuse(field(|p| p.kv.dtype = 77), "kv.dtype");
    refuse(field(|p| p.kv.reserved = 1), "kv.reserved");
    refuse(field(|p| p.reserved = 1), "reserved");
    refuse(field(|p| p.confirmed = 0), "confirmed");
    refuse(field(|p| p.confirmed = 4), "confirmed");
    refuse(field(|p| p.mask = 2), "mask");
    refuse(field(|p| p.lse = 2), "lse");
    refuse(field(|p| p.batch_invariant = u32::MAX), "batch_invariant");
    refuse(field(|p| p.set_entries = 2), "set_entries");
    refuse(field(|p| p.set_per_kv_head = 9), "set_per_kv_head");
    refuse(field(|p| p.batch = 0), "batch");
    refuse(field(|p| p.rows = 65), "rows");
    refuse(field(|p| p.total_rows = 7), "total_rows");
    refuse(field(|p| p.query_heads = 5), "query_heads");
    refuse(field(|p| p.kv.head_dim = 96), "kv.head_dim");
    refuse(field(|p| p.kv.page_size = 3), "kv.page_size");
    refuse(field(|p| p.kv.token_stride += 4), "kv.token_stride");
    refuse(field(|p| p.set_capacity = 21), "sets.capacity");
    refuse(field(|p| p.set_block = 3), "sets.block");
    refuse(field(|p| (p.confirmed, p.sinks) = (2, u32::MAX)), "sinks + recent");
}

#[test]
fn a_message_is_one_sentence_of_operation_field_required_and_actual() {
    let context = Context::new();
    let problem =
        dustin_attention_problem { kv: dustin_paged_kv { dtype: 3, ..kv() }, ..attention_problem() };
    // SAFETY: the struct is filled.
    create(|out| unsafe { dustin_attention_create(context.0, null(), &problem, out) });
    assert_eq!(
        last_error(),
        "attention: kv.dtype must be DUSTIN_DTYPE_BF16 or DUSTIN_DTYPE_F16, as fp8 caches are not served yet, but is 3"
    );
}

#[test]
fn scoring_of_every_impossible_field_is_refused_by_name() {
    let (context, heads) = (Context::new(), score_heads());
    let field = |change: fn(&mut dustin_score_problem)| {
        let mut problem = score_problem(&heads);
        change(&mut problem);
        // SAFETY: the struct is filled, and its list has as many items as it says.
        create(|out| unsafe { dustin_score_create(context.0, null(), &problem, out) })
    };
    succeed(field(|_| ()));
    refuse(field(|p| p.dtype = 9), "dtype");
    refuse(field(|p| p.layers = null()), "layers");
    refuse(field(|p| p.layer_count = 0), "sources");
    refuse(field(|p| p.accumulate = 2), "accumulate");
    refuse(field(|p| p.map_capacity = 0), "map_capacity");
    refuse(field(|p| p.query_heads = 2), "head");
    let of_heads = |heads: dustin_score_heads| {
        // SAFETY: as above.
        create(|out| unsafe { dustin_score_create(context.0, null(), &score_problem(&heads), out) })
    };
    refuse(of_heads(dustin_score_heads { heads: null(), ..heads }), "layers.heads");
    refuse(of_heads(dustin_score_heads { reserved: 1, ..heads }), "layers.reserved");
    refuse(of_heads(dustin_score_heads { weights: [f32::NAN; 2].as_ptr(), ..heads }), "weight");
    refuse(of_heads(dustin_score_heads { heads: [3, 0].as_ptr(), ..heads }), "heads");
}

#[test]
fn selection_appending_and_compaction_of_impossible_fields_are_refused_by_name() {
    let context = Context::new();
    let select = |change: fn(&mut dustin_select_problem)| {
        let mut problem = select_problem();
        change(&mut problem);
        // SAFETY: the struct is filled.
        create(|out| unsafe { dustin_select_create(context.0, null(), &problem, out) })
    };
    succeed(select(|_| ()));
    refuse(select(|p| p.maps = 0), "maps");
    refuse(select(|p| p.without_target = 2), "without_target");
    refuse(select(|p| p.quota = 4), "quota");
    refuse(select(|p| p.pages = 3), "table.page_size");
    refuse(select(|p| p.recent = 9), "sinks + recent");

    let append = |change: fn(&mut dustin_append_problem)| {
        let mut problem = append_problem();
        change(&mut problem);
        // SAFETY: as above.
        create(|out| unsafe { dustin_append_create(context.0, &problem, out) })
    };
    succeed(append(|_| ()));
    refuse(append(|p| p.kv.dtype = 0), "kv.dtype");
    refuse(append(|p| p.query_heads = 3), "query_heads");
    refuse(append(|p| p.kv.kv_head_stride = 32), "kv.kv_head_stride");

    let compact = |change: fn(&mut dustin_compact_problem)| {
        let mut problem = compact_problem();
        change(&mut problem);
        // SAFETY: as above.
        create(|out| unsafe { dustin_compact_create(context.0, &problem, out) })
    };
    succeed(compact(|_| ()));
    refuse(compact(|p| p.counted = 2), "counted");
    refuse(compact(|p| p.layers = 0), "layers");
    refuse(compact(|p| p.accepted = 65), "accepted");
}

#[test]
fn strides_follow_the_layout_and_impossible_layouts_are_refused() {
    let strides = |layout: u32, interleaved: u32| {
        let mut own = kv();
        // SAFETY: the struct may be written.
        let status = unsafe { dustin_paged_kv_set_strides(&mut own, layout, interleaved) };
        (status, [own.page_stride, own.token_stride, own.kv_head_stride])
    };
    assert_eq!(strides(1, 0).1, [4 * 128, 128, 64]);
    assert_eq!(strides(2, 0).1, [4 * 128, 64, 4 * 64]);
    assert_eq!(strides(2, 1).1, [2 * 4 * 128, 64, 4 * 64]);
    refuse(strides(0, 0).0, "layout");
    refuse(strides(1, 2).0, "interleaved");
    // SAFETY: null is refused.
    refuse(unsafe { dustin_paged_kv_set_strides(null_mut(), 1, 0) }, "kv");
}

#[test]
fn a_context_of_absurdly_many_threads_is_refused() {
    let mut context = null_mut();
    // SAFETY: the handle may be written.
    refuse(unsafe { dustin_context_create_cpu(u32::MAX, &mut context) }, "threads");
    assert!(context.is_null());
}
