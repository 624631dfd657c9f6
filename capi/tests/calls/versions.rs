//! Structs of older and of newer headers.

use std::{
    mem::offset_of,
    ptr::{null, null_mut},
};

use dustin_c::*;

use crate::fixture::*;

/// A problem as a later header may have it.
#[repr(C)]
struct NewerProblem {
    known: dustin_attention_problem,
    added: u64,
}

#[test]
fn an_older_header_leaves_what_it_does_not_know_at_its_default() {
    let context = Context::new();
    let with_size = |struct_size: usize, confirmed: dustin_confirmed| {
        // What lies behind the old struct is the caller's, and may be anything.
        let (struct_size, confirmed) = (struct_size as u32, confirmed as u32);
        let problem =
            dustin_attention_problem { struct_size, confirmed, lse: 77, reserved: 88, ..attention_problem() };
        // SAFETY: the struct has more bytes than its size says.
        create(|out| unsafe { dustin_attention_create(context.0, null(), &problem, out) })
    };
    let first_optional = offset_of!(dustin_attention_problem, sinks);
    succeed(with_size(first_optional, dustin_confirmed::Everything));
    succeed(with_size(offset_of!(dustin_attention_problem, lse), dustin_confirmed::Sets));
    refuse(with_size(offset_of!(dustin_attention_problem, batch_invariant), dustin_confirmed::Sets), "lse");
    refuse(with_size(first_optional - 4, dustin_confirmed::Everything), "struct_size");
    refuse(with_size(0, dustin_confirmed::Everything), "struct_size");
}

#[test]
fn a_newer_header_serves_as_long_as_it_says_nothing_new() {
    let context = Context::new();
    let with = |added: u64| {
        let mut problem = NewerProblem { known: attention_problem(), added };
        problem.known.struct_size = size_of_struct::<NewerProblem>();
        // SAFETY: the struct is filled.
        create(|out| unsafe { dustin_attention_create(context.0, null(), &raw const problem.known, out) })
    };
    succeed(with(0));
    refuse(with(1 << 40), "struct_size");
    assert!(last_error().contains("older than its header"), "{}", last_error());
}

#[test]
fn the_arguments_of_an_older_header_launch_what_a_newer_one_does() {
    let context = Context::new();
    let mut attention = Attention::new(&context);
    let expected = attention.launch();
    attention.output.fill(f32::NAN);
    // Behind the sizes of sets are strides and flags, of which an old header knew nothing. Outputs are rounded by default.
    let mut args = attention.args();
    args.struct_size = offset_of!(dustin_attention_args, masks) as u32;
    (args.lse_base, args.reserved) = (9, 9);
    succeed(attention.launch_with(&args));
    let rounded: Vec<u32> = attention
        .output
        .iter()
        .take(5 * 4 * 32)
        .flat_map(|pair| [pair.to_bits() << 16, pair.to_bits() & !0xffff])
        .collect();
    let near = |(a, b): (&u32, &u32)| (f32::from_bits(*a) - f32::from_bits(*b)).abs() < 0.01;
    assert!(rounded.iter().zip(&expected).all(near));
    args.struct_size = offset_of!(dustin_attention_args, workspace_bytes) as u32;
    refuse(attention.launch_with(&args), "struct_size");
    succeed(dustin_operation_destroy(attention.operation));
}

#[test]
fn a_struct_that_is_null_misaligned_or_of_absurd_size_is_refused() {
    let context = Context::new();
    // SAFETY: null is refused, and so is what is misaligned or absurd.
    refuse(create(|out| unsafe { dustin_attention_create(context.0, null(), null(), out) }), "problem");
    let problem = attention_problem();
    let misaligned = (&raw const problem).wrapping_byte_add(4);
    // SAFETY: as above.
    refuse(create(|out| unsafe { dustin_attention_create(context.0, null(), misaligned, out) }), "problem");
    let absurd = dustin_attention_problem { struct_size: u32::MAX, ..problem };
    // SAFETY: as above.
    refuse(create(|out| unsafe { dustin_attention_create(context.0, null(), &absurd, out) }), "struct_size");
    // SAFETY: as above.
    refuse(
        unsafe { dustin_attention_launch(Attention::new(&context).operation, null(), null_mut()) },
        "args",
    );
}

#[test]
fn results_fill_what_an_older_header_knows() {
    let mut geometry = dustin_geometry { struct_size: 20, vocabulary: 5, ..dustin_geometry::default() };
    // SAFETY: the name ends with NUL, and the struct may be written.
    succeed(unsafe { dustin_geometry_preset(c"qwen2.5-72b".as_ptr(), &mut geometry) });
    assert_eq!((geometry.struct_size, geometry.layers, geometry.head_dim), (20, 80, 128));
    assert_eq!((geometry.hidden, geometry.vocabulary), (0, 5));
    geometry.struct_size = 0;
    // SAFETY: as above.
    refuse(unsafe { dustin_geometry_preset(c"qwen2.5-72b".as_ptr(), &mut geometry) }, "struct_size");
}

#[test]
fn the_library_tells_its_version_and_names_its_statuses() {
    assert_eq!(dustin_abi_version(), 1);
    let name = |status: i32| {
        // SAFETY: names live for ever.
        unsafe { std::ffi::CStr::from_ptr(dustin_status_name(status)) }.to_str().unwrap()
    };
    assert_eq!(name(dustin_status::NoSuchHandle as i32), "DUSTIN_STATUS_NO_SUCH_HANDLE");
    assert_eq!(name(dustin_status::Internal as i32), "DUSTIN_STATUS_INTERNAL");
    assert_eq!((name(-1), name(9)), ("unknown status", "unknown status"));
}
