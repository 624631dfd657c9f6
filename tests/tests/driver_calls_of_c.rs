//! What launches through the C ABI ask of the driver: what the library's do, and nothing that allocates or waits.
//!
//! As in `driver_calls`, a fake driver takes down the functions that are called, and is met by a child process.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    ptr::{null, null_mut},
};

use dustin::{
    attention::{
        arrays::{AttentionStrides, LogBase, OutputType},
        launch::AttentionBuffers,
    },
    cuda::{self, SideStream, Stream},
    score::{
        arrays::ScoreStrides,
        launch::{ScoreBuffers, SourceBuffers},
    },
};
use dustin_c::{
    dustin_attention_create, dustin_attention_launch, dustin_score_create, dustin_score_launch,
    dustin_status, dustin_verifier_append,
};
use dustin_tests::{
    capi::{
        CStep, Context, HostEngine, HostStep, Operation, ScoreDescription, Verifier, append_rows,
        attention_args, attention_problem, check, last_error, score_args, score_layers, step as c_step,
    },
    fake_driver::{LOG, STREAMS, build, meet, recording, unavailable, unless},
    gpu::text,
    verifier::{
        batch::Batch,
        world::{Recipe, World},
    },
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
        unless(
            unavailable(),
            "the_target_s_map_is_gathered_on_the_stream_that_c_names_and_ordered_by_events",
            events,
        ),
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
        // Of two layers in four forwards.
        ("verifier capture draft", 8),
        ("verifier score draft", 3),
        ("verifier select", 1),
        // Three layers of three launches.
        ("verifier layers", 9),
        // Two for acceptance, one for compaction, and captures of two layers.
        ("verifier settle", 5),
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

fn events() -> Result<(), Failed> {
    let calls = calls()?;
    let (came, on) = (&calls["beside"], |what: &str, count| vec![what.to_owned(); count]);
    let expected = [
        on("record@main", 1),
        on("wait@side", 1),
        on("launch@side", 3),
        // The captures of the draft's forwards and its map.
        on("launch@main", 11),
        on("record@side", 1),
        on("wait@main", 1),
        on("launch@main", 1),
    ];
    if *came != expected.concat() {
        return Err(format!("{came:?} instead of {expected:?}").into());
    }
    Ok(())
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
    let world =
        World::new(&Recipe { lengths: vec![60, 130], uncaptured: vec![], accepts: true, ..Recipe::usual(1) });
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
    let (batch, engine) = (world.batch(&[0, 1]), HostEngine::new(&world));
    // SAFETY: as above.
    let (verifier, space) = unsafe {
        let verifier = Verifier::new(&context, &world.problem, engine.memory())?;
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

    let mut own = HostStep::new(&world, &batch);
    let arrays = own.addresses();
    let step = CStep { verifier: &verifier, space: &space, stages, arrays: &arrays };
    print("arrays", "")?;
    // SAFETY: as above.
    unsafe {
        step.score_target(null_mut())?;
        print("verifier score target", "")?;
        step.capture_draft(null_mut())?;
        print("verifier capture draft", "")?;
        step.score_draft(null_mut())?;
        print("verifier score draft", "")?;
        step.select(null_mut())?;
        print("verifier select", "")?;
        step.layers(null_mut())?;
        print("verifier layers", "")?;
        step.settle(null_mut())?;
        print("verifier settle", "")?;
        let (arrays, rows) = (c_step(&arrays.step), append_rows(&arrays.layers[0].append));
        let status = dustin_verifier_append(verifier.handle(), space.handle(), 3, &arrays, &rows, null_mut());
        print("layer too many", &refusal(status))?;
    }
    let mut streams = log.clone().into_os_string();
    streams.push(STREAMS);
    beside(&world, &batch, Path::new(&streams))
}

/// The choice of a step whose target's map is gathered on another stream, and what came to which.
fn beside(world: &World, batch: &Batch, log: &Path) -> Result<(), String> {
    let context = cuda::Context::new(0).map_err(text)?;
    let (main, mut side) = (Stream::new(&context).map_err(text)?, SideStream::new(&context).map_err(text)?);
    let (engine, mut own) = (HostEngine::new(world), HostStep::new(world, batch));
    // SAFETY: the context lives as long as what is made with it, and the driver follows no address.
    let (verifier, space) = unsafe {
        let verifier = Verifier::new(&Context::borrow(context.as_raw())?, &world.problem, engine.memory())?;
        let space = verifier.workspace(main.as_raw())?;
        (verifier, space)
    };
    let arrays = own.addresses();
    let step = CStep { verifier: &verifier, space: &space, stages: &world.stages, arrays: &arrays };
    fs::write(log, "").map_err(text)?;
    // SAFETY: as above.
    unsafe { step.choose_beside(&main, &mut side) }.map_err(|failure| failure.0)?;
    let name = |stream: &Stream| format!("@{}", stream.as_raw().addr());
    let came = fs::read_to_string(log).map_err(text)?.replace('\n', " ");
    println!("beside: {}", came.replace(&name(&main), "@main").replace(&name(side.stream()), "@side"));
    Ok(())
}

/// What a call was refused for; nothing if it was not.
fn refusal(status: dustin_status) -> String {
    if status == dustin_status::Ok { String::new() } else { last_error() }
}
