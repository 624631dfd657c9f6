//! What launches through the C ABI ask of the driver: what the library's do, and nothing that allocates or waits.
//!
//! As in `driver_calls`, a fake driver takes down the functions that are called, and is met by a child process.

use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process::ExitCode,
    ptr::{null, null_mut},
};

use dustin::{
    attention::{
        arrays::{AttentionStrides, LogBase, OutputType},
        launch::AttentionBuffers,
    },
    cache::append::arrays::AppendStrides,
    score::{
        arrays::ScoreStrides,
        launch::{ScoreBuffers, SourceBuffers},
    },
    verifier::{AcceptedBuffers, AppendRows, AttentionRows, DraftBuffers, EngineMemory, StepBuffers},
};
use dustin_c::{
    dustin_attention_create, dustin_attention_launch, dustin_score_create, dustin_score_launch,
    dustin_status, dustin_verifier_append, dustin_verifier_attention, dustin_verifier_compact,
    dustin_verifier_full_attention, dustin_verifier_score_draft, dustin_verifier_score_target,
    dustin_verifier_select,
};
use dustin_tests::{
    capi::{
        Context, Operation, ScoreDescription, Verifier, accepted, append_rows, attention_args,
        attention_problem, attention_rows, check, last_error, score_args, score_layers, step,
    },
    fake_driver::{LOG, build, meet, recording, unavailable, unless},
    gpu::text,
    verifier::world::{Recipe, World},
};
use libtest_mimic::{Arguments, Failed};

/// What a launch may call: nothing of it allocates or waits.
const ALLOWED: [&str; 3] = ["cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuLaunchKernelEx"];

fn main() -> ExitCode {
    if let Some(log) = env::var_os(LOG) {
        return match run(log.into()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = vec![
        unless(unavailable(), "launches_through_the_c_abi_neither_allocate_nor_wait", only_launches),
        unless(unavailable(), "addresses_of_the_device_are_refused_by_name_through_the_c_abi", refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What each call of the child has called of the driver, and what it said.
fn calls() -> Result<BTreeMap<String, Vec<String>>, Failed> {
    let driver = build(&recording())?;
    let log = driver.path().join("log");
    fs::write(&log, "")?;
    let printed = meet(driver.path(), &[(LOG, &log)])?;
    let line = |line: &str| {
        let (name, calls) = line.split_once(": ").expect("a call and what it called");
        (name.to_owned(), calls.split_whitespace().map(str::to_owned).collect())
    };
    Ok(printed.lines().map(line).collect())
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| *call == name).count()
}

fn only_launches() -> Result<(), Failed> {
    let calls = calls()?;
    // Two sources and a fold for each map.
    for (name, launches) in [
        ("attention", 1),
        ("score", 3),
        ("verifier score target", 3),
        ("verifier score draft", 3),
        ("verifier select", 1),
        ("verifier append", 1),
        ("verifier attention", 1),
        ("verifier full attention", 1),
        ("verifier compact", 1),
    ] {
        let called = calls.get(name).ok_or_else(|| format!("no call {name}"))?;
        if let Some(other) = called.iter().find(|call| !ALLOWED.contains(&call.as_str())) {
            return Err(format!("{name} calls {other}").into());
        }
        if count(called, "cuLaunchKernelEx") != launches {
            return Err(format!("{name}: {launches} launches, but: {called:?}").into());
        }
    }
    // Else the test could not fail.
    match count(&calls["creation"], "cuMemAlloc_v2") {
        0 => Err("allocations are not taken down".into()),
        _ => Ok(()),
    }
}

fn refused() -> Result<(), Failed> {
    let calls = calls()?;
    for (name, sentence) in [
        ("misaligned query", "query must be an address aligned to 16 bytes, but is 0x108"),
        ("layer too many", "layer must be below 3, but is 3"),
    ] {
        let said = calls.get(name).ok_or_else(|| format!("no call {name}"))?;
        if !said.join(" ").contains(sentence) || count(said, "cuLaunchKernelEx") > 0 {
            return Err(format!("{name}: {said:?}").into());
        }
    }
    Ok(())
}

/// The child: makes operations and a verifier in a CUDA context, and prints what each launch has called.
fn run(log: PathBuf) -> Result<(), String> {
    let print = |name: &str, rest: &str| {
        let called = fs::read_to_string(&log).map_err(text)?;
        println!("{name}: {rest} {}", called.replace('\n', " "));
        fs::write(&log, "").map_err(text)
    };
    let context = Context::cuda()?;
    let world = World::new(&Recipe { lengths: vec![60, 130], uncaptured: vec![], ..Recipe::usual(1) });
    let (stages, at) = (&world.stages, 256u64);
    let problem = attention_problem(&stages.attention);
    // SAFETY: structs are filled, and the driver follows no address.
    let attention =
        Operation::new(|out| unsafe { dustin_attention_create(context.handle(), null(), &problem, out) })?;
    let scoring = stages.target_score.heads().ok_or("no scoring")?;
    let mut description = ScoreDescription::new(scoring);
    let own = description.problem();
    // SAFETY: as above.
    let score = Operation::new(|out| unsafe { dustin_score_create(context.handle(), null(), &own, out) })?;
    let caches =
        |first: u64, layers: u32| (0..u64::from(layers)).map(|layer| (first + layer) << 32).collect();
    let memory = EngineMemory {
        target_keys: caches(1, 3),
        target_values: caches(11, 3),
        target_queries: at,
        draft_keys: caches(21, 2),
        draft_queries: at,
    };
    // SAFETY: as above.
    let (verifier, space) = unsafe {
        let verifier = Verifier::new(&context, &world.problem, &memory)?;
        let space = verifier.workspace(null_mut())?;
        (verifier, space)
    };
    print("creation", "")?;

    let args = attention_args(&AttentionBuffers {
        query: at,
        key: at,
        value: at,
        block_table: at,
        lengths: at,
        row_starts: at,
        set: at,
        set_sizes: at,
        masks: 0,
        output: at,
        lse: 0,
        workspace: at,
        workspace_bytes: attention.workspace_bytes()?,
        scale: 1.0,
        lse_base: LogBase::E,
        output_type: OutputType::Rounded,
        strides: AttentionStrides::dense(&stages.attention),
        stable: false,
    });
    print("sizes", "")?;
    // SAFETY: as above, here and below.
    check(unsafe { dustin_attention_launch(attention.handle(), &args, null_mut()) })?;
    print("attention", "")?;
    let misaligned = dustin_c::dustin_attention_args { query: args.query.wrapping_byte_add(8), ..args };
    // SAFETY: as above.
    let status = unsafe { dustin_attention_launch(attention.handle(), &misaligned, null_mut()) };
    print("misaligned query", &refusal(status))?;

    let sources = vec![SourceBuffers { query: at, key: at, groups: 0, weights: 0 }; scoring.sources.len()];
    let layers = score_layers(&sources);
    let buffers = ScoreBuffers {
        sources: &[],
        slots: at,
        block_table: at,
        lengths: at,
        map_starts: at,
        map: at,
        workspace: at,
        workspace_bytes: score.workspace_bytes()?,
        scale: 1.0,
        strides: ScoreStrides::dense(scoring),
    };
    // SAFETY: as above.
    check(unsafe { dustin_score_launch(score.handle(), &score_args(&buffers, &layers), null_mut()) })?;
    print("score", "")?;

    let draft = DraftBuffers { lengths: at, block_table: at, table_stride: 0, slots: at };
    let arrays = step(&StepBuffers {
        lengths: at,
        row_starts: at,
        block_table: at,
        table_stride: 0,
        map_starts: at,
        slots: at,
        draft,
        target_map: at,
        draft_map: at,
        set: at,
        physical: 0,
        set_sizes: at,
        masks: 0,
    });
    let (own, work) = (verifier.handle(), space.handle());
    // SAFETY: as above.
    unsafe {
        check(dustin_verifier_score_target(own, work, &arrays, null_mut()))?;
        print("verifier score target", "")?;
        check(dustin_verifier_score_draft(own, work, &arrays, null_mut()))?;
        print("verifier score draft", "")?;
        check(dustin_verifier_select(own, work, &arrays, null_mut()))?;
        print("verifier select", "")?;
    }
    let strides = AppendStrides::dense(&stages.append);
    let rows =
        append_rows(&AppendRows { key: at, value: at, query: 0, query_copy: 0, strides, stable: false });
    let attended = attention_rows(&AttentionRows {
        query: at,
        query_row: 0,
        query_head: 0,
        output: at,
        output_row: 0,
        output_head: 0,
        output_type: OutputType::Rounded,
        lse: 0,
        lse_base: LogBase::E,
        stable: true,
    });
    let moved = accepted(&AcceptedBuffers { rows: at, stride: 0, counts: at });
    // SAFETY: as above.
    unsafe {
        check(dustin_verifier_append(own, work, 2, &arrays, &rows, null_mut()))?;
        print("verifier append", "")?;
        check(dustin_verifier_attention(own, work, 2, &arrays, &attended, null_mut()))?;
        print("verifier attention", "")?;
        check(dustin_verifier_full_attention(own, work, 2, &arrays, &attended, null_mut()))?;
        print("verifier full attention", "")?;
        check(dustin_verifier_compact(own, work, &arrays, &moved, null_mut()))?;
        print("verifier compact", "")?;
        let status = dustin_verifier_append(own, work, 3, &arrays, &rows, null_mut());
        print("layer too many", &refusal(status))
    }
}

/// What a call was refused for; nothing if it was not.
fn refusal(status: dustin_status) -> String {
    if status == dustin_status::Ok { String::new() } else { last_error() }
}
