//! Layers of a step on the SIMT executor: a projection writes the rows, appending brings them to caches and queries, and attention
//! reads them there, each launch overlapping the one before.

use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        problem::{Confirmed, Mask, Sets},
        reference,
        space::Candidate,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};
use dustin_kernels::{
    executor::{Options, SyncKind},
    registry::{APPEND, ATTENTION, AppendVariant, AttentionVariant},
};
use dustin_tests::{executor_backend::Prepared, verdict::judge};

/// The variants of appending whose launches overlap.
fn appending() -> Vec<&'static AppendVariant> {
    let variants: Vec<_> = APPEND.iter().filter(|variant| variant.overlaps).collect();
    assert!(!variants.is_empty(), "launches overlap");
    variants
}

/// The narrowest and the widest variant of attention, of each head size, whose launches overlap.
fn attending() -> Vec<&'static AttentionVariant> {
    let of = |head_dim| {
        ATTENTION.iter().filter(move |variant| variant.head_dim == head_dim && variant.tile.overlaps)
    };
    let both = |head_dim| {
        [
            of(head_dim).min_by_key(|variant| variant.tile.columns),
            of(head_dim).max_by_key(|variant| variant.tile.columns),
        ]
    };
    [both(64), both(128)].as_flattened().iter().copied().flatten().collect()
}

/// A small ragged batch.
fn input(variant: &AttentionVariant, shapes: &[(u32, u32, u32)]) -> AttentionInput {
    let shape = |&(length, rows, set_size)| SequenceShape { length, rows, set_size };
    let recipe = Recipe {
        dtype: variant.dtype,
        head_dim: variant.head_dim,
        kv_heads: 2,
        group: 3,
        page_size: 16,
        layout: KvLayout::Nhd,
        head_major: false,
        sequences: shapes.iter().map(shape).collect(),
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: Mask::Causal,
        spare: 1,
        padding: 1,
        lse: false,
        contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 9 },
    };
    recipe.input().expect("a valid recipe")
}

fn prepared(input: &AttentionInput, variant: &'static AttentionVariant) -> Prepared {
    let candidate = Candidate { variant, splits: 2.into() };
    Prepared::new(input, candidate, OutputType::F32, LogBase::E).expect("a possible launch")
}

const RAGGED: &[(u32, u32, u32)] = &[(40, 3, 20), (13, 0, 5), (15, 4, 4), (0, 2, 0)];

/// The second layer's appending overwrites what the first one's attention reads.
#[test]
fn attention_reads_the_rows_and_the_queries_that_appending_has_brought() {
    for append in appending() {
        for attention in attending() {
            let input = input(attention, RAGGED);
            let reference = reference::attention(&input.problem, &input.arrays()).expect("a valid input");
            let mut prepared = prepared(&input, attention);
            prepared.project(&input).expect("copies alone");
            for layer in 0..2 {
                let verdict = prepared
                    .append(append, &Options::default())
                    .and_then(|_| prepared.launch(&Options::default()))
                    .and_then(|_| judge(&input, &reference, &prepared.attended(), LogBase::E));
                verdict.unwrap_or_else(|error| {
                    panic!("layer {layer}, {} behind {}: {error}", attention.id, append.id)
                });
                prepared.poison();
            }
        }
    }
}

/// Neither for the projection, whose rows it reads, nor for an attention that reads what it overwrites.
#[test]
fn appending_that_does_not_wait_for_the_launch_before_is_reported() {
    let attention = attending()[0];
    let input = input(attention, RAGGED);
    for append in appending() {
        for behind_attention in [false, true] {
            let launch = |options: &Options| {
                let mut prepared = prepared(&input, attention);
                prepared.project(&input).expect("copies alone");
                if behind_attention {
                    prepared.append(append, &Options::default()).expect("nothing to report");
                    prepared.launch(&Options::default()).expect("nothing to report");
                }
                prepared.append(append, options)
            };
            let trace = launch(&Options::default()).expect("nothing to report while nothing is dropped");
            let [(site, _)] = trace.syncs[..] else { panic!("{}: {:?}", append.id, trace.syncs) };
            assert_eq!(site.kind, SyncKind::GridWait);
            let options = Options { dropped: Some(site), max_findings: 1, ..Options::default() };
            assert!(launch(&options).is_err(), "{}, behind attention: {behind_attention}", append.id);
        }
    }
}

/// What a launch overlaps has ended when that launch has, whether it had anything to do or not.
#[test]
fn appending_no_rows_waits_all_the_same() {
    let attention = attending()[0];
    let input = input(attention, &[(20, 0, 5), (3, 0, 0)]);
    for append in appending() {
        let mut prepared = prepared(&input, attention);
        prepared.project(&input).expect("copies alone");
        prepared.append(append, &Options::default()).expect("nothing to report");
        prepared.read_projected().expect("the projection has ended");
    }
}
