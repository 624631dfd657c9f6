//! The search, and the choice judged on held-out prompts.

use std::{ops::ControlFlow, thread};

use anyhow::{Context as _, bail};
use dustin::profile::Tuned;
use dustin_autotune::workload::counted;
use dustin_heads::{
    Capture,
    calibration::PromptRole,
    fidelity::{Bound, FidelityError, Judge, StepPlan},
    search::{Candidate, Ended, Found, Objective, Progress, SearchRequest, Start, search as search_heads},
};

use super::{destination, inputs, tell};
use crate::{
    args::{ConsoleArgs, ReportArgs, StartArg},
    atomic, book,
    command::{
        devices::{find, occupy},
        report,
    },
    console::Stop,
    device,
    heads::{HeadsRecord, Judgement, MeasuredCost, Point, Searched, Step, StepShape, put_record},
    outcome::{Exit, Usage},
    resolve::{HeadSearch, HeadsRequest},
    table,
};

/// Bytes of heads' maps that are kept in memory.
const MAP_BYTES: usize = 2 << 30;

/// The step that is timed where nothing else is said: batch and context.
const GPU_STEP: [u32; 2] = [16, 32_768];
const CPU_STEP: [u32; 2] = [2, 2_048];

/// What is found, and what it is found with.
struct Outcome {
    found: Found,
    record: HeadsRecord,
}

/// Searches, judges what was chosen, tells it and puts it into the profile.
pub(super) fn search(request: &HeadsRequest, asked: &HeadSearch, stop: &Stop) -> anyhow::Result<Exit> {
    let console = request.console;
    let capture = inputs::capture(&asked.capture, &request.models)?;
    let gamma = request.budgets.gamma;
    let searched = inputs::prompts(&capture, PromptRole::Searched, gamma, console)?;
    let held_out = inputs::prompts(&capture, PromptRole::HeldOut, gamma, console)?;
    let (rankings, words) = inputs::rankings(&capture, request)?;
    let space = inputs::space(&capture, &request.budgets)?;

    let (supervisor, device) = find(request.device, console)?;
    let step = step(request, asked, device.id().is_gpu())?;
    // Before the profile is read: whoever measures the device may be writing it.
    let _lock = occupy(&supervisor, &device, request.device, console, stop)?;
    let (path, known) = destination(request, &device)?;
    let entries = known.map(|profile| profile.entries).unwrap_or_default();
    let tuned = Tuned::new(entries, device.catalogue());
    let mut cost = MeasuredCost::new(&capture, step, (&supervisor, &device), tuned);

    let plan = StepPlan { gamma, most: asked.steps };
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u32);
    let judge = |prompts: &[u32], bytes, may_end: bool| {
        let bar = console.bar(0, "reading");
        let judge = Judge::watched(&capture, prompts, plan, threads, bytes, &mut |read, all| {
            bar.set_length(all as u64);
            bar.set_position(read as u64);
            if may_end && stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        judge
    };
    let heads_request = SearchRequest {
        objective: asked.objective,
        start: match asked.start {
            StartArg::Recipe => Start::Recipe,
            StartArg::Ranking => Start::Ranking,
        },
        evaluations: asked.evaluations,
        bound: Bound { confidence: asked.confidence, resamples: 1000, ..Bound::default() },
        seed: asked.seed,
        ..SearchRequest::share(space, 1.0)
    };
    console.note(&format!("reading {} searched prompts of {}", searched.len(), capture.name()));
    let mut searching = match judge(&searched, MAP_BYTES, true) {
        // Nothing was found until then.
        Err(FidelityError::Stopped) => return Ok(Exit::Interrupted),
        judge => judge?,
    };
    console.note(&format!(
        "searching; estimation is timed for {} of {} tokens on {device}",
        counted(step.batch, "sequence"),
        step.context
    ));
    let bar = console.bar(asked.evaluations as usize, "searching");
    let found = search_heads(&mut searching, &mut cost, &heads_request, &rankings, &mut |progress| {
        bar.set_length(progress.most.into());
        bar.set_position(progress.evaluations.into());
        bar.set_message(message(progress));
        if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    bar.finish_and_clear();
    let found = found?;
    drop(searching);

    let chosen = found.chosen.clone();
    if let (None, Objective::Share(share)) = (&chosen, asked.objective) {
        return unreached(&found, share, asked.confidence);
    }
    let timings = cost.of(&chosen.as_ref().unwrap_or(&found.start).rules)?;
    let held_out = match &chosen {
        Some(Candidate { rules, .. }) => {
            console.note(&format!("judging the choice on {} held-out prompts", held_out.len()));
            // Whoever stopped the search wants what it found.
            let mut judging = judge(&held_out, 0, false)?;
            let sets = judging.sets(rules)?;
            if let Some(file) = &asked.sets {
                atomic::write(file, judging.export("chosen", &sets)?)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            let origin = (&found, asked.start.name());
            Some(Judgement::new(&mut judging, &held_out, (rules, sets), origin, asked.confidence)?)
        }
        None => None,
    };
    let [target, draft] = names(request, &capture);
    let record = HeadsRecord {
        target,
        draft,
        capture: inputs::file_name(&asked.capture),
        calibration_digest: capture.digest(),
        date: device::now(),
        rankings: words,
        share: match asked.objective {
            Objective::Share(share) => Some(share),
            Objective::Front => None,
        },
        confidence: asked.confidence,
        step: Step {
            device: device.id().clone(),
            batch: step.batch,
            context: step.context,
            gamma,
            timings,
            timed: cost.timings.len(),
        },
        searched: Searched {
            prompts: searched.len() as u32,
            evaluations: found.evaluations,
            ended: ending(found.ended).into(),
            full_heads: found.full_heads.mean(),
            start: Point::from(&found.start),
            start_name: asked.start.name().into(),
            chosen: chosen.as_ref().map(Point::from),
            front: found.front.iter().map(Point::from).collect(),
        },
        held_out,
    };
    finish(request, asked, &Outcome { found, record }, &path, &device)
}

/// Writes what is to be written, then tells it.
fn finish(
    request: &HeadsRequest,
    asked: &HeadSearch,
    Outcome { found, record }: &Outcome,
    path: &std::path::Path,
    device: &device::Device,
) -> anyhow::Result<Exit> {
    let console = request.console;
    let selection = record.selection();
    if let Some(selection) = selection.clone() {
        selection.validate()?;
        book::put_selection(path, device.provenance(), selection, |path| put_record(path, record.clone()))?;
    }
    tell::tell(record, console)?;
    if let (Some(judged), Some(share)) = (&record.held_out, record.share)
        && let Some(chosen) = judged.chosen()
        && chosen.share_low < share
    {
        console.note(&format!(
            "warning: on the held-out prompts no more than {} is sure, where {} was asked for: capture more prompts, or ask for a \
             larger --share",
            table::share(chosen.share_low),
            table::share(share)
        ));
    }
    if selection.is_some() {
        console.print(&format!(
            "selection of {} with {} put into {}",
            record.target,
            record.draft,
            path.display()
        ))?;
    }
    console.print_json(record)?;
    if asked.html {
        let console = ConsoleArgs { quiet: console.quiet || console.json, json: false };
        report(&ReportArgs { profile: path.to_owned(), journal: Vec::new(), output: None, console })?;
    }
    Ok(if found.ended == Ended::Stopped { Exit::Interrupted } else { Exit::Done })
}

/// The step that is timed.
///
/// # Errors
/// It has fewer tokens than a set.
fn step(request: &HeadsRequest, asked: &HeadSearch, gpu: bool) -> Result<StepShape, Usage> {
    let [batch, context] = if gpu { GPU_STEP } else { CPU_STEP };
    let (batch, context) = (asked.batch.unwrap_or(batch), asked.context.unwrap_or(context));
    let largest = request.budgets.k.last().copied().unwrap_or(0);
    if largest > context {
        return Err(Usage(format!(
            "--budget-k {largest} must be at most --context, {context} tokens: a set is chosen from them"
        )));
    }
    Ok(StepShape { batch, context, gamma: request.budgets.gamma })
}

/// What the profile calls the two models.
fn names(request: &HeadsRequest, capture: &Capture) -> [String; 2] {
    let metadata = capture.metadata();
    let captured = [Some(&metadata.target), metadata.draft.as_ref()];
    [0, 1].map(|role| {
        let own = captured[role].map_or("none".into(), |model| model.name.clone());
        request.models[role].name.clone().unwrap_or(own)
    })
}

/// No candidate keeps the share.
fn unreached(found: &Found, share: f64, confidence: f64) -> anyhow::Result<Exit> {
    let best = &found.best;
    let ended = match found.ended {
        Ended::Stopped => " before the search was stopped",
        Ended::Evaluations => " within the evaluations",
        Ended::Converged => "",
    };
    bail!(
        "no heads and budgets were found{ended} that keep {} of full-head estimation's recovery with {} confidence: the best keep {}, \
         surely {}; ask for a smaller --share or a larger --budget-k, or allow more --evaluations",
        table::share(share),
        table::share(confidence),
        table::share(best.share),
        table::share(best.share_low)
    )
}

fn message(progress: Progress<'_>) -> String {
    let phase = format!("{:?}", progress.phase).to_lowercase();
    match progress.best {
        Some(Candidate { share_low, estimation_us, .. }) => {
            format!(
                "{phase}, best {} in {} µs",
                table::share(*share_low),
                table::microseconds(*estimation_us)
            )
        }
        None => phase,
    }
}

const fn ending(ended: Ended) -> &'static str {
    match ended {
        Ended::Converged => "converged",
        Ended::Evaluations => "all evaluations were made",
        Ended::Stopped => "stopped",
    }
}
