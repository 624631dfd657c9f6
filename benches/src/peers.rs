//! The times of peers, as `benches/peers` writes them: one JSON line per figure.

use std::{fs, path::Path};

use anyhow::{Context as _, anyhow, bail, ensure};
use dustin::attention::problem::{AttentionProblem, Confirmed, Mask};
use dustin_autotune::workload::{self, Problem, Workload};
use serde::Deserialize;

use crate::baseline::Baseline;

/// The figures of one run of `peers` on one device.
#[derive(Clone, Debug)]
pub struct Peers {
    file: String,
    /// At least one.
    figures: Vec<Figure>,
}

/// A peer's time for a workload, or why there is none.
#[derive(Clone, Debug, Deserialize)]
struct Figure {
    workload: String,
    operation: String,
    peer: String,
    shape: String,
    us: Option<f64>,
    failed: Option<String>,
    device: String,
    #[serde(flatten)]
    run: Run,
}

/// What all figures of one run have in common.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Run {
    date: String,
    driver: Option<String>,
    torch: String,
    flashinfer: Option<String>,
}

impl Peers {
    /// Reads the figures of a run on the device called `device`.
    ///
    /// # Errors
    /// There is no such file, or it is not what `peers` writes for today's workloads on that device; the sentence names the
    /// file and the line.
    pub fn read(path: &Path, device: &str) -> anyhow::Result<Self> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).with_context(|| format!("{file} cannot be read"))?;
        Self::parse(file, &text, device)
    }

    fn parse(file: String, text: &str, device: &str) -> anyhow::Result<Self> {
        let mut figures: Vec<Figure> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let figure =
                parse_line(line, device).map_err(|error| anyhow!("{file}, line {number}: {error}"))?;
            if figures.first().is_some_and(|first| first.run != figure.run) {
                bail!(
                    "{file}, line {number}: of another run than line 1; each run of peers has a file of its own"
                );
            }
            figures.push(figure);
        }
        ensure!(!figures.is_empty(), "{file} holds no figure; was peers stopped before its first?");
        Ok(Self { file, figures })
    }

    /// Where and when the figures were taken, in one line.
    pub(crate) fn source(&self) -> String {
        let Run { date, driver, torch, flashinfer } = &self.figures[0].run;
        let known = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".into());
        let (driver, flashinfer) = (known(driver), known(flashinfer));
        format!("{} of {date} (driver {driver}, torch {torch}, FlashInfer {flashinfer})", self.file)
    }

    /// The fastest peer of a workload's operation; nothing where there are no peers.
    ///
    /// # Errors
    /// There are peers, but none was timed; the sentence says why as far as the file does.
    pub(crate) fn best(&self, workload: &Workload) -> anyhow::Result<Option<Baseline>> {
        let Some(operation) = operation(workload) else { return Ok(None) };
        let own: Vec<&Figure> = self
            .figures
            .iter()
            .filter(|figure| figure.workload == workload.name && figure.operation == operation)
            .collect();
        let times = own.iter().filter_map(|figure| Some((figure, figure.us?)));
        if let Some((figure, us)) = times.min_by(|a, b| a.1.total_cmp(&b.1)) {
            return Ok(Some(Baseline { name: figure.peer.clone(), us }));
        }
        let failed =
            |figure: &&Figure| format!("; {}: {}", figure.peer, figure.failed.as_deref().unwrap_or_default());
        bail!("no peer's time in {}{}", self.file, own.iter().map(failed).collect::<String>())
    }
}

/// What `peers` calls the operation of a workload; nothing where it has no peers: those of attention know no trees.
fn operation(workload: &Workload) -> Option<&'static str> {
    match workload.problem {
        Problem::Attention(AttentionProblem { mask: Mask::Tree, .. }) => None,
        Problem::Attention(AttentionProblem { confirmed: Confirmed::Everything, .. }) => {
            Some("full attention")
        }
        Problem::Attention(_) => Some("sparse attention"),
        Problem::Score(_) => Some("scoring"),
        Problem::Select(_) => Some("selection"),
    }
}

/// A figure of today's workloads, taken on `device`.
fn parse_line(line: &str, device: &str) -> anyhow::Result<Figure> {
    let figure: Figure = serde_json::from_str(line).map_err(|error| {
        // The error's own line is always the first.
        let reason = error.to_string();
        anyhow!("not a figure of peers: {}", reason.split(" at line ").next().unwrap_or_default())
    })?;
    match (figure.us, &figure.failed) {
        (Some(us), None) => ensure!(us > 0.0, "a time of {us} us"),
        (None, Some(_)) => {}
        _ => bail!("not a figure of peers: it must have either a time (`us`) or a reason (`failed`)"),
    }
    ensure!(figure.device == device, "taken on {}, but this is {device}", figure.device);
    let name = &figure.workload;
    let Ok(workload) = workload::named(name) else {
        bail!("there is no workload {name}; is the file of another version?");
    };
    let shape = workload.describe();
    ensure!(figure.shape == shape, "{name} there is {:?}, but here {shape:?}", figure.shape);
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "NVIDIA H200";

    /// A line as `peers` writes it, with `outcome` for its time.
    fn line(workload: &str, operation: &str, peer: &str, outcome: &str) -> String {
        let shape = workload::named(workload).unwrap().describe();
        format!(
            r#"{{"workload": "{workload}", "operation": "{operation}", "peer": "{peer}", "shape": "{shape}", {outcome},
            "device": "{DEVICE}", "driver": "580.159", "torch": "2.11.0", "flashinfer": null, "date": "2026-11-22"}}"#
        )
        .replace('\n', " ")
    }

    fn timed(workload: &str, operation: &str, peer: &str, us: f64) -> String {
        line(workload, operation, peer, &format!(r#""us": {us}, "low_us": 1.0, "launches": 32"#))
    }

    fn parse(lines: &[String]) -> anyhow::Result<Peers> {
        Peers::parse("peers.jsonl".into(), &lines.join("\n"), DEVICE)
    }

    fn refusal(lines: &[String]) -> String {
        format!("{:#}", parse(lines).unwrap_err())
    }

    fn best(peers: &Peers, workload: &str) -> Result<Option<(String, f64)>, String> {
        let best = peers.best(&workload::named(workload).unwrap()).map_err(|error| error.to_string())?;
        Ok(best.map(|baseline| (baseline.name, baseline.us)))
    }

    #[test]
    fn the_baseline_is_the_fastest_peer_of_the_same_operation() {
        let peers = parse(&[
            timed("w1", "sparse attention", "A", 40.0),
            timed("w1", "sparse attention", "B", 38.0),
            line("w1", "sparse attention", "C", r#""failed": "out of memory""#),
            timed("w1", "another operation", "D", 3.0),
            timed("w1-full", "full attention", "F", 480.0),
            timed("w1-select", "selection", "E", 26.0),
        ]);
        let peers = peers.unwrap();
        assert_eq!(best(&peers, "w1"), Ok(Some(("B".into(), 38.0))));
        assert_eq!(best(&peers, "w1-full"), Ok(Some(("F".into(), 480.0))));
        assert_eq!(best(&peers, "w1-select"), Ok(Some(("E".into(), 26.0))));
        let source = "peers.jsonl of 2026-11-22 (driver 580.159, torch 2.11.0, FlashInfer unknown)";
        assert_eq!(peers.source(), source);
    }

    #[test]
    fn a_workload_without_a_time_has_no_baseline_and_says_why() {
        let peers = parse(&[
            line("w1", "sparse attention", "A", r#""failed": "stopped after 60 s""#),
            line("w1", "sparse attention", "B", r#""failed": "out of memory""#),
            timed("w1", "another operation", "C", 3.0),
        ]);
        let peers = peers.unwrap();
        let failed = "no peer's time in peers.jsonl; A: stopped after 60 s; B: out of memory";
        assert_eq!(best(&peers, "w1"), Err(failed.into()));
        assert_eq!(best(&peers, "w1-score"), Err("no peer's time in peers.jsonl".into()));
        assert_eq!(best(&peers, "w1-tree16"), Ok(None));
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_named() {
        let error = Peers::read(Path::new("/nowhere/peers.jsonl"), DEVICE).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.starts_with("/nowhere/peers.jsonl cannot be read: "), "{error}");
        let empty = "peers.jsonl holds no figure; was peers stopped before its first?";
        assert_eq!(refusal(&[]), empty);
    }

    #[test]
    fn a_broken_line_is_refused_by_its_number() {
        let good = timed("w1", "sparse attention", "A", 40.0);
        let second = |line: &str| refusal(&[good.clone(), line.to_owned()]);
        let about = "peers.jsonl, line 2: not a figure of peers: ";
        assert_eq!(second(&good[..20]), format!("{about}EOF while parsing a string"));
        assert_eq!(second("{}"), format!("{about}missing field `workload`"));
        assert_eq!(second("workload,us"), format!("{about}expected value"));
        let either = "it must have either a time (`us`) or a reason (`failed`)";
        assert_eq!(second(&line("w1", "scoring", "A", r#""low_us": 1.0"#)), format!("{about}{either}"));
        let both = line("w1", "scoring", "A", r#""us": 1.0, "failed": "no""#);
        assert_eq!(second(&both), format!("{about}{either}"));
        assert_eq!(second(&timed("w1", "scoring", "A", -2.0)), "peers.jsonl, line 2: a time of -2 us");
    }

    #[test]
    fn a_foreign_line_is_refused_by_what_differs() {
        let good = timed("w1", "sparse attention", "A", 40.0);
        let changed = |from: &str, to: &str| {
            assert!(good.contains(from));
            refusal(&[good.clone(), good.replace(from, to)])
        };
        assert_eq!(
            changed(DEVICE, "NVIDIA H100"),
            "peers.jsonl, line 2: taken on NVIDIA H100, but this is NVIDIA H200"
        );
        assert_eq!(
            changed(r#""w1""#, r#""w9""#),
            "peers.jsonl, line 2: there is no workload w9; is the file of another version?"
        );
        let shape = changed("k 512", "k 256");
        assert!(shape.starts_with("peers.jsonl, line 2: w1 there is \"Qwen2.5-72B, "), "{shape}");
        let run = "of another run than line 1; each run of peers has a file of its own";
        assert_eq!(changed("2026-11-22", "2026-11-23"), format!("peers.jsonl, line 2: {run}"));
        assert_eq!(changed("580.159", "590.1"), format!("peers.jsonl, line 2: {run}"));
    }
}
