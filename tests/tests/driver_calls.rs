//! What the stages of a verifier ask of the driver: launches, and nothing that allocates or waits.
//!
//! A fake driver takes down the functions that are called. It is met by a child process, this binary again, which runs a step
//! stage by stage and prints what each has called.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::ExitCode};

use dustin::{
    accept::arrays::AcceptStrides,
    cache::append::arrays::AppendStrides,
    cuda::{Context, CudaError, Graph, ModuleCache, SideStream, Stream},
    verifier::{AcceptanceBuffers, AppendRows, CaptureRows, Stages, StepBuffers},
};
use dustin_tests::{
    fake_driver::{LOG, build, meet, recording, unavailable, unless},
    gpu::text,
    verifier::{
        cuda::Engine,
        world::{Recipe, World},
    },
};
use libtest_mimic::{Arguments, Failed, Trial};

/// What may be called between the making of a verifier and the end of a step: nothing of it allocates or waits.
const ALLOWED: [&str; 6] = [
    "cuCtxPushCurrent_v2",
    "cuCtxPopCurrent_v2",
    "cuLaunchKernelEx",
    "cuMemsetD8Async",
    "cuEventRecord",
    "cuStreamWaitEvent",
];

fn main() -> ExitCode {
    if let Some(log) = env::var_os(LOG) {
        return match run_stages(log.into()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::from_args();
    let trials: Vec<Trial> = vec![
        unless(unavailable(), "a_step_neither_allocates_nor_waits", only_launches),
        unless(unavailable(), "a_side_stream_waits_and_is_waited_for_by_events", events),
        unless(unavailable(), "what_allocates_or_waits_is_counted", counted),
        unless(unavailable(), "what_a_stage_lacks_is_refused_by_name_before_it_is_launched", refused),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The functions that each stage has called, and how often.
type Calls = BTreeMap<String, Vec<String>>;

fn calls() -> Result<Calls, Failed> {
    let driver = build(&recording())?;
    let log = driver.path().join("log");
    fs::write(&log, "")?;
    let printed = meet(driver.path(), &[(LOG, &log)])?;
    let stage = |line: &str| {
        let (stage, calls) = line.split_once(':').expect("a stage and its calls");
        (stage.to_owned(), calls.split_whitespace().map(str::to_owned).collect())
    };
    Ok(printed.lines().map(stage).collect())
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| *call == name).count()
}

fn only_launches() -> Result<(), Failed> {
    let calls = calls()?;
    // Two sources and a fold for each map; a launch for each other stage, of 3 layers, of two of which queries are captured, as of both of
    // the draft's in 4 forwards. Acceptance has two.
    let launches = [
        ("choose", 15),
        ("layers", 9),
        ("compact", 1),
        ("accept, compact and capture", 5),
        ("choose of a rank without heads", 12),
    ];
    for (stage, launches) in launches {
        let called = calls.get(stage).ok_or_else(|| format!("no stage {stage}"))?;
        if let Some(other) = called.iter().find(|call| !ALLOWED.contains(&call.as_str())) {
            return Err(format!("{stage} calls {other}").into());
        }
        if count(called, "cuLaunchKernelEx") != launches {
            return Err(format!("{stage}: {launches} launches, but: {called:?}").into());
        }
    }
    // The share of a rank without heads is zeros.
    let memsets = |stage: &str| count(&calls[stage], "cuMemsetD8Async");
    match (memsets("choose"), memsets("choose of a rank without heads")) {
        (0, 1) => Ok(()),
        other => Err(format!("maps are set to zero {other:?} times").into()),
    }
}

fn events() -> Result<(), Failed> {
    let calls = calls()?;
    let order: Vec<&str> =
        calls["choose beside"].iter().map(String::as_str).filter(|call| !call.starts_with("cuCtx")).collect();
    let (fork, join) = (["cuEventRecord", "cuStreamWaitEvent"], ["cuEventRecord", "cuStreamWaitEvent"]);
    let launches = |count| vec!["cuLaunchKernelEx"; count];
    let expected = [&fork[..], &launches(14), &join, &launches(1)].concat();
    if order != expected {
        return Err(format!("{order:?} instead of {expected:?}").into());
    }
    // A stage that fails leaves no stream unjoined, so that a capture can end.
    match count(&calls["beside that fails"], "cuStreamWaitEvent") {
        2 => Ok(()),
        other => Err(format!("{other} waits").into()),
    }
}

/// Else the first test could not fail.
fn counted() -> Result<(), Failed> {
    let calls = calls()?;
    for name in ["cuMemAlloc_v2", "cuStreamSynchronize"] {
        if count(&calls["step"], name) == 0 {
            return Err(format!("{name} is not counted").into());
        }
    }
    Ok(())
}

fn refused() -> Result<(), Failed> {
    let calls = calls()?;
    for (stage, field) in [
        ("select without a map", "target"),
        ("append to a layer too many", "layer"),
        ("score without a table", "block_table"),
        ("score in a workspace without it", "plan"),
        ("score of an unread map", "stage"),
        ("acceptance by the engine", "stage"),
        ("capture for an unread map", "stage"),
        ("capture of a layer too many", "layer"),
        ("capture of a forward too many", "token"),
        ("score on a stream of another context", "stream"),
    ] {
        let words = calls.get(stage).ok_or_else(|| format!("no line of {stage}"))?;
        if !words.contains(&format!("field={field}")) || count(words, "cuLaunchKernelEx") > 0 {
            return Err(format!("{stage}: {words:?}").into());
        }
    }
    Ok(())
}

/// The child: makes verifiers and runs their stages, each of which it prints with what it has called.
fn run_stages(log: PathBuf) -> Result<(), String> {
    let print = |line: &str| {
        let (stage, rest) = line.split_once(": ").unwrap_or((line, ""));
        let called = fs::read_to_string(&log).map_err(text)?;
        println!("{stage}: {rest} {}", called.replace('\n', " "));
        fs::write(&log, "").map_err(text)
    };
    let context = Context::new(0).map_err(text)?;
    let modules = ModuleCache::new(&context).map_err(text)?;
    let stream = Stream::new(&context).map_err(text)?;
    let mut side = SideStream::new(&context).map_err(text)?;
    let world = World::new(&Recipe { lengths: vec![60, 130], uncaptured: vec![], ..Recipe::usual(1) });
    let engine = Engine::new(&modules, &stream, &world)?;
    print("engine")?;
    let step = engine.step(&stream, &world.batch(&[0, 1])).map_err(text)?;
    print("step")?;
    engine.choose(&stream, None, &step).map_err(text)?;
    print("choose")?;
    engine.layers(&stream, &step).map_err(text)?;
    print("layers")?;
    engine.settle(&stream, &step).map_err(text)?;
    print("compact")?;
    let accepting = Recipe { lengths: vec![60, 130], uncaptured: vec![], accepts: true, ..Recipe::usual(1) };
    let accepting = World::new(&accepting);
    let other = Engine::new(&modules, &stream, &accepting)?;
    let its_step = other.step(&stream, &accepting.batch(&[0, 1])).map_err(text)?;
    print("accepting")?;
    other.settle(&stream, &its_step).map_err(text)?;
    print("accept, compact and capture")?;
    engine.choose(&stream, Some(&mut side), &step).map_err(text)?;
    print("choose beside")?;
    let failed: Result<(), String> =
        side.beside::<CudaError>(&stream, |_| Err(CudaError::NoDevice), |_| Ok(())).map_err(text);
    if failed.is_ok() {
        return Err("a failure beside is lost".into());
    }
    print("beside that fails")?;
    Graph::capture(&stream, || engine.choose(&stream, Some(&mut side), &step)).map_err(text)?;
    print("capture")?;
    // Of 8 ranks the last has none of the target's heads.
    let share = world.share(8, 7);
    let engine = Engine::new(&modules, &stream, &share)?;
    let step = engine.step(&stream, &share.batch(&[0, 1])).map_err(text)?;
    print("rank without heads")?;
    engine.choose(&stream, None, &step).map_err(text)?;
    print("choose of a rank without heads")?;
    run_refused(&modules, &stream, &world, |stage, error| print(&format!("{stage}: field={}", field(error))))
}

/// The field that a stage refuses.
fn field(result: Result<(), CudaError>) -> &'static str {
    match result {
        Err(CudaError::InvalidInput(error)) => error.field,
        _ => "none",
    }
}

/// Stages that lack something, each told with what it returned.
fn run_refused(
    modules: &ModuleCache,
    stream: &Stream,
    world: &World,
    mut tell: impl FnMut(&str, Result<(), CudaError>) -> Result<(), String>,
) -> Result<(), String> {
    let engine = Engine::new(modules, stream, world)?;
    let step = engine.step(stream, &world.batch(&[0, 1])).map_err(text)?;
    let mut by_target = world.clone();
    by_target.problem.rules.m = 0;
    by_target.stages = Stages::new(&by_target.problem).map_err(text)?;
    let other = Engine::new(modules, stream, &by_target)?;
    let of_other = other.step(stream, &by_target.batch(&[0, 1])).map_err(text)?;
    let their_context = Context::new(0).map_err(text)?;
    let their_stream = Stream::new(&their_context).map_err(text)?;
    let (verifier, workspace, good) = (&engine.verifier, &step.workspace, *step.buffers());
    tell("before", Ok(()))?;
    let strides = AppendStrides::dense(&world.stages.append);
    let rows = AppendRows { key: 256, value: 256, query: 0, query_copy: 0, strides, stable: false };
    // SAFETY: no launch does anything here.
    unsafe {
        let bad = StepBuffers { target_map: 0, ..good };
        tell("select without a map", verifier.select(stream, workspace, &bad))?;
        tell("append to a layer too many", verifier.append(stream, workspace, 3, &good, &rows))?;
        let bad = StepBuffers { block_table: 0, ..good };
        tell("score without a table", verifier.score_target(stream, workspace, &bad))?;
        tell("score in a workspace without it", verifier.score_draft(stream, &of_other.workspace, &good))?;
        tell("score of an unread map", other.verifier.score_draft(stream, &of_other.workspace, &good))?;
        let buffers = AcceptanceBuffers {
            target: 256,
            draft: 0,
            draft_rows: 0,
            tokens: 256,
            parents: 0,
            temperatures: 256,
            seeds: 256,
            step: 256,
            accepted: 256,
            emitted: 256,
            path: 256,
            last_rows: 256,
            new_lengths: 256,
            strides: AcceptStrides { target_row: 1000, draft_row: 0, emitted: 5, path: 5 },
        };
        tell("acceptance by the engine", verifier.accept(stream, workspace, &good, &buffers))?;
        let rows = CaptureRows {
            query: 256,
            query_row: 1024,
            query_head: 64,
            total_rows: 9,
            row_starts: 256,
            rows: 0,
            slots: 256,
        };
        let unread = other.verifier.capture_draft(stream, &of_other.workspace, 0, 0, &rows);
        tell("capture for an unread map", unread)?;
        tell("capture of a layer too many", verifier.capture_target(stream, workspace, 3, &rows))?;
        tell("capture of a forward too many", verifier.capture_draft(stream, workspace, 0, 4, &rows))?;
        tell("score on a stream of another context", verifier.score_target(&their_stream, workspace, &good))
    }
}
