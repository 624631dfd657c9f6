//! Tables of what was found.

use dustin_autotune::workload::counted;

use crate::{
    console::{Console, Unwritable},
    heads::{HeadsRecord, Judgement, Point},
    table,
};

/// Prints all of it.
pub(super) fn tell(record: &HeadsRecord, console: Console) -> Result<(), Unwritable> {
    console.print(&format!("estimation, {}:", step(record)))?;
    console.print(&timings(record).to_string())?;
    console.print(&format!(
        "\nsearched on {} prompts, {} candidates judged ({}); shares of full-head estimation, which recovers {}:",
        record.searched.prompts,
        record.searched.evaluations,
        record.searched.ended,
        table::share(record.searched.full_heads)
    ))?;
    console.print(&points(record).to_string())?;
    if let Some(judged) = &record.held_out {
        console.print(&format!(
            "\non {} held-out prompts, with k {}; all confirmed tokens have {}:",
            judged.prompts.len(),
            record.searched.chosen.as_ref().map_or(0, |chosen| chosen.k),
            table::share(judged.ceiling)
        ))?;
        console.print(&methods(judged).to_string())?;
        for method in &judged.left_out {
            console.note(&format!(
                "{method} is left out: the capture has no queries of the prompts' last tokens"
            ));
        }
        console.print("\nrecovery by target layer:")?;
        console.print(&layers(judged).to_string())?;
    }
    Ok(())
}

fn step(record: &HeadsRecord) -> String {
    let step = &record.step;
    format!(
        "{} of {} tokens, {} draft tokens, on {}",
        counted(step.batch, "sequence"),
        step.context,
        step.gamma,
        step.device.name
    )
}

/// The launches of the choice.
fn timings(record: &HeadsRecord) -> comfy_table::Table {
    let mut rows = table::new(&["launch", "problem", "chosen", "from", "µs", "95 % interval"], 4);
    for timing in &record.step.timings {
        let [low, high] = timing.ci95_us.map(table::microseconds);
        rows.add_row([
            timing.what.clone(),
            timing.problem.clone(),
            timing.chosen.clone(),
            timing.source.clone(),
            table::microseconds(timing.us),
            format!("{low} – {high}"),
        ]);
    }
    rows
}

/// What the search began with, chose, and left on the front.
fn points(record: &HeadsRecord) -> comfy_table::Table {
    let headings =
        ["", "heads by layer", "k", "m", "sinks", "recent", "pooling", "estimation µs", "share", "at least"];
    let mut rows = table::new(&headings, 2);
    let searched = &record.searched;
    let front = searched.front.iter().filter(|point| Some(*point) != searched.chosen.as_ref());
    let named = [(searched.start_name.as_str(), &searched.start)].into_iter();
    let named = named.chain(searched.chosen.iter().map(|point| ("chosen", point)));
    for (name, point) in named.chain(front.map(|point| ("front", point))) {
        rows.add_row(row(name, point));
    }
    rows
}

fn row(name: &str, point: &Point) -> [String; 10] {
    let Point { k, m, sinks, recent, pooling, .. } = point;
    let [k, m, sinks, recent, pooling] = [k, m, sinks, recent, pooling].map(ToString::to_string);
    [
        name.into(),
        point.heads(),
        k,
        m,
        sinks,
        recent,
        pooling,
        table::microseconds(point.estimation_us),
        table::share(point.share),
        table::share(point.share_low),
    ]
}

/// The choice next to other methods.
fn methods(judged: &Judgement) -> comfy_table::Table {
    let headings = [
        "method",
        "recovery",
        "95 % at least",
        "share of full heads",
        "at least",
        "output error",
        "95 % at most",
    ];
    let mut rows = table::new(&headings, 1);
    for method in &judged.methods {
        rows.add_row(std::iter::once(method.name.clone()).chain(method.figures()));
    }
    rows
}

/// A row for each layer.
fn layers(judged: &Judgement) -> comfy_table::Table {
    let names = judged.methods.iter().map(|method| method.name.as_str());
    let headings: Vec<&str> = std::iter::once("layer").chain(names).collect();
    let mut rows = table::new(&headings, 0);
    for (index, layer) in judged.layers.iter().enumerate() {
        let figures = judged
            .methods
            .iter()
            .map(|method| method.by_layer.get(index).copied().map_or("–".into(), table::share));
        rows.add_row(std::iter::once(layer.to_string()).chain(figures));
    }
    rows
}
