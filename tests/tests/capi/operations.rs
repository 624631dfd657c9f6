//! Each operation on random problems, next to the library's own back end with the same choice.

use std::ptr::{null, null_mut};

use dustin::{
    Dtype,
    attention::{
        arrays::{LogBase, OutputType},
        launch::AttentionBuffers,
        problem::{Confirmed, Mask, Sets},
        synthetic as attention,
    },
    cache::{
        append::launch::AppendBuffers,
        compact::launch::CompactBuffers,
        launch::StepBuffers,
        synthetic::{AppendInput, CompactInput, StepInput},
    },
    cpu::{CpuBackend, LseMut, OutputMut, default_candidate, score, select},
    kv::KvLayout,
    score::{
        launch::{ScoreBuffers, SourceBuffers},
        synthetic as scoring,
    },
    select::{arrays::SelectOutput, compare::Selected, launch::SelectBuffers, synthetic::SelectInput},
};
use dustin_c::{
    dustin_append_create, dustin_append_launch, dustin_attention_create, dustin_attention_launch,
    dustin_compact_create, dustin_compact_launch, dustin_score_create, dustin_score_launch,
    dustin_select_create, dustin_select_launch,
};
use dustin_tests::capi::{
    Context, Operation, ScoreDescription, append_args, append_problem, attention_args, attention_problem,
    check, compact_args, compact_problem, host, host_mut, score_args, score_layers, select_args,
    select_problem,
};

const THREADS: u32 = 2;

fn backend() -> CpuBackend {
    CpuBackend::new(THREADS).unwrap()
}

/// Ragged sequences, over sets, a window or everything, causal or with a tree.
fn attention_input(seed: u64) -> attention::AttentionInput {
    let shape = |length, rows, set_size| attention::SequenceShape { length, rows, set_size };
    let everything = attention::SequenceShape::EVERYTHING;
    let recipe = attention::Recipe {
        dtype: if seed.is_multiple_of(2) { Dtype::Bf16 } else { Dtype::F16 },
        head_dim: if seed.is_multiple_of(3) { 128 } else { 64 },
        kv_heads: 2,
        group: 3,
        page_size: 1 << (seed % 5),
        layout: if seed.is_multiple_of(2) { KvLayout::Hnd } else { KvLayout::Nhd },
        sequences: vec![
            shape(200, 5, 60),
            shape(0, 3, 0),
            shape(65, 1, 65),
            shape(90, 0, 7),
            shape(120, 4, everything),
        ],
        confirmed: match seed % 3 {
            0 => Confirmed::Everything,
            1 => Confirmed::Window { sinks: 3, recent: 40 },
            _ => Confirmed::Sets(Sets::of_positions(0)),
        },
        mask: if seed.is_multiple_of(4) { Mask::Tree } else { Mask::Causal },
        spare: 2,
        padding: (seed % 2) as u32,
        head_major: seed.is_multiple_of(5),
        lse: seed.is_multiple_of(2),
        contents: attention::Contents {
            logits: attention::Logits::Peaked,
            sorted: false,
            poison_unselected: true,
            seed,
        },
    };
    recipe.input().unwrap()
}

#[test]
fn attention_is_that_of_the_library() {
    let (context, mut backend) = (Context::cpu(THREADS).unwrap(), backend());
    for seed in 0..24 {
        let input = attention_input(seed);
        let problem = &input.problem;
        let struct_ = attention_problem(problem);
        // SAFETY: here and below, structs are filled and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_attention_create(context.handle(), null(), &struct_, out) };
        let operation = Operation::new(create).unwrap();
        let mut workspace = operation.host_workspace().unwrap();
        let mut found = (
            vec![7u16; input.output_items()],
            vec![7f32; input.output_items()],
            vec![3f32; input.lse_items()],
        );
        let mut expected = found.clone();
        let wide = seed.is_multiple_of(3);
        let base = if wide { LogBase::Two } else { LogBase::E };

        let args = attention_args(&AttentionBuffers {
            query: host(&input.query),
            key: host(&input.key),
            value: host(&input.value),
            block_table: host(&input.block_table),
            lengths: host(&input.lengths),
            row_starts: host(&input.row_starts),
            set: host(&input.set),
            set_sizes: host(&input.set_sizes),
            masks: host(&input.masks),
            output: if wide { host_mut(&mut found.1) } else { host_mut(&mut found.0) },
            lse: if problem.lse { host_mut(&mut found.2) } else { 0 },
            workspace: host_mut(&mut workspace),
            workspace_bytes: 8,
            scale: input.scale,
            lse_base: base,
            output_type: if wide { OutputType::F32 } else { OutputType::Rounded },
            strides: input.strides,
            stable: true,
        });
        // SAFETY: as above.
        check(unsafe { dustin_attention_launch(operation.handle(), &args, null_mut()) }).unwrap();

        let candidate = default_candidate(problem, backend.limits()).unwrap();
        let output = if wide { OutputMut::F32(&mut expected.1) } else { OutputMut::Rounded(&mut expected.0) };
        let lse = problem.lse.then_some(LseMut { items: &mut expected.2, base });
        let word = backend.attention(problem, &candidate, &input.arrays(), output, lse).unwrap();
        assert_eq!(operation.take_status(&mut workspace), Ok(word), "{seed}");
        assert_eq!(found.0, expected.0, "{seed}");
        assert!(found.1.iter().zip(&expected.1).all(|(a, b)| a.to_bits() == b.to_bits()), "{seed}");
        assert!(found.2.iter().zip(&expected.2).all(|(a, b)| a.to_bits() == b.to_bits()), "{seed}");
        assert!(
            found != (vec![7; found.0.len()], vec![7.0; found.1.len()], vec![3.0; found.2.len()]),
            "{seed}"
        );
    }
}

#[test]
fn scores_are_those_of_the_library() {
    let (context, mut backend) = (Context::cpu(THREADS).unwrap(), backend());
    let size = scoring::Size { batch: 4, kv_heads: 3, length: 300, layers: 3, tokens: 4, heads: 5 };
    for seed in 0..40 {
        let (dtype, head_dim) =
            (if seed % 2 == 0 { Dtype::Bf16 } else { Dtype::F16 }, if seed % 3 == 0 { 128 } else { 64 });
        let input = scoring::Recipe::random(dtype, head_dim, size, seed).input().unwrap();
        let problem = &input.problem;
        let mut description = ScoreDescription::new(problem);
        let struct_ = description.problem();
        // SAFETY: here and below, structs are filled and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_score_create(context.handle(), null(), &struct_, out) };
        let operation = Operation::new(create).unwrap();
        let mut workspace = operation.host_workspace().unwrap();
        let (mut found, mut expected) = (input.map.clone(), input.map.clone());

        let sources = input.sources.iter().map(|own| SourceBuffers {
            query: host(&own.query),
            key: host(&own.key),
            groups: 0,
            weights: 0,
        });
        let layers = score_layers(&sources.collect::<Vec<_>>());
        let buffers = ScoreBuffers {
            sources: &[],
            slots: input.slots.as_ref().map_or(0, |slots| host(slots)),
            block_table: host(&input.block_table),
            lengths: host(&input.lengths),
            map_starts: host(&input.map_starts),
            map: host_mut(&mut found),
            workspace: host_mut(&mut workspace),
            workspace_bytes: 8,
            scale: input.scale,
            strides: input.strides,
        };
        let args = score_args(&buffers, &layers);
        // SAFETY: as above.
        check(unsafe { dustin_score_launch(operation.handle(), &args, null_mut()) }).unwrap();

        let candidate = score::default_candidate(problem, backend.limits()).unwrap();
        let word = backend.score(problem, &candidate, &input.arrays(), &mut expected).unwrap();
        assert_eq!(operation.take_status(&mut workspace), Ok(word), "{seed}");
        let bits = |map: &[f32]| map.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{seed}");
    }
}

#[test]
fn selections_are_those_of_the_library_with_their_faults() {
    let (context, mut backend) = (Context::cpu(THREADS).unwrap(), backend());
    let mut faults = 0;
    for seed in 0..200 {
        let input = SelectInput::random(seed, 300).unwrap();
        let (problem, strides) = (&input.problem, input.strides);
        let struct_ = select_problem(problem);
        // SAFETY: here and below, structs are filled and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_select_create(context.handle(), null(), &struct_, out) };
        let operation = Operation::new(create).unwrap();
        let mut workspace = operation.host_workspace().unwrap();
        let mut found = Selected::unwritten(problem, &strides);
        let mut expected = found.clone();

        let map = |map: &Option<Vec<f32>>| map.as_ref().map_or(0, |map| host(map));
        let items = |items: &Option<Vec<i32>>| items.as_ref().map_or(0, |items| host(items));
        let args = select_args(&SelectBuffers {
            draft: map(&input.draft),
            target: map(&input.target),
            map_starts: host(&input.map_starts),
            lengths: host(&input.lengths),
            target_slots: items(&input.target_slots),
            block_table: items(&input.block_table),
            set: host_mut(&mut found.set),
            physical: found.physical.as_mut().map_or(0, |items| host_mut(items)),
            set_sizes: host_mut(&mut found.set_sizes),
            workspace: host_mut(&mut workspace),
            workspace_bytes: 8,
            strides,
        });
        // SAFETY: as above.
        check(unsafe { dustin_select_launch(operation.handle(), &args, null_mut()) }).unwrap();
        found.status = operation.take_status(&mut workspace).unwrap();

        let candidate = select::default_candidate(problem, backend.limits()).unwrap();
        let output = SelectOutput {
            set: &mut expected.set,
            physical: expected.physical.as_deref_mut(),
            set_sizes: &mut expected.set_sizes,
        };
        expected.status = backend.select(problem, &candidate, &input.arrays(), output).unwrap();
        faults += u32::from(expected.status != 0);
        assert_eq!(found, expected, "{seed}");
    }
    assert!(faults > 10, "{faults} of 200 inputs have a fault");
}

fn step_buffers(step: &StepInput, workspace: &mut [u64]) -> StepBuffers {
    StepBuffers {
        block_table: host(&step.block_table),
        table_stride: step.table_stride,
        lengths: host(&step.lengths),
        row_starts: host(&step.row_starts),
        workspace: host_mut(workspace),
        workspace_bytes: 8,
    }
}

#[test]
fn appending_writes_what_the_library_writes_into_caches_of_every_layout() {
    let context = Context::cpu(THREADS).unwrap();
    let mut interleaved = 0;
    for seed in 0..200 {
        let mut input = AppendInput::random(seed, 300, 9).unwrap();
        let expected = input.reference().unwrap();
        let struct_ = append_problem(&input.problem());
        // SAFETY: here and below, structs are filled and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_append_create(context.handle(), &struct_, out) };
        let operation = Operation::new(create).unwrap();
        let mut workspace = operation.host_workspace().unwrap();
        interleaved += u32::from(!input.layer.separate);
        let cache = host_mut(&mut input.layer.items);
        let args = append_args(&AppendBuffers {
            step: step_buffers(&input.step, &mut workspace),
            key: host(&input.key),
            value: host(&input.value),
            key_cache: cache,
            value_cache: cache + 2 * input.layer.value,
            query: host(&input.query),
            query_copy: host_mut(&mut input.query_copy),
            strides: input.strides,
            stable: false,
        });
        // SAFETY: as above.
        check(unsafe { dustin_append_launch(operation.handle(), &args, null_mut()) }).unwrap();
        assert_eq!(operation.take_status(&mut workspace), Ok(expected.status), "{seed}");
        assert_eq!((&input.layer, &input.query_copy), (&expected.layers[0], &expected.query_copy), "{seed}");
    }
    assert!((20..180).contains(&interleaved), "{interleaved} of 200 caches hold both in one array");
}

#[test]
fn compaction_moves_what_the_library_moves_in_all_layers() {
    let context = Context::cpu(THREADS).unwrap();
    for seed in 0..200 {
        let mut input = CompactInput::random(seed, 300, 20).unwrap();
        let expected = input.reference().unwrap();
        let struct_ = compact_problem(&input.problem);
        // SAFETY: here and below, structs are filled and arrays have the problem's shapes.
        let create = |out| unsafe { dustin_compact_create(context.handle(), &struct_, out) };
        let operation = Operation::new(create).unwrap();
        let mut workspace = operation.host_workspace().unwrap();
        let keys: Vec<u64> = input.layers.iter_mut().map(|layer| host_mut(&mut layer.items)).collect();
        let values: Vec<u64> = keys.iter().zip(&input.layers).map(|(key, own)| key + 2 * own.value).collect();
        let args = compact_args(&CompactBuffers {
            step: step_buffers(&input.step, &mut workspace),
            key_caches: host(&keys),
            value_caches: host(&values),
            accepted: host(&input.accepted),
            accepted_stride: input.accepted_stride,
            accepted_counts: input.counts.as_ref().map_or(0, |counts| host(counts)),
        });
        // SAFETY: as above.
        check(unsafe { dustin_compact_launch(operation.handle(), &args, null_mut()) }).unwrap();
        assert_eq!(operation.take_status(&mut workspace), Ok(expected.status), "{seed}");
        assert_eq!(input.layers, expected.layers, "{seed}");
    }
}
