//! One line per workload: time, bandwidth, ratio to the floor and to a baseline.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::Parser;
use dustin_benches::{
    Bench, Device,
    baseline::{Baseline, Baselines},
    peers::Peers,
    quantile,
    work::Work,
};

const SAMPLES: u32 = 30;

/// Times every workload of the device at hand and compares it with its floor and with the best peer.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts of the names of the workloads wanted [default: all]
    names: Vec<String>,
    /// Times of peers on this device, as benches/peers has written them, in the place of the stored ones
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// What cargo starts benchmarks with.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    // `cargo test --benches` starts benchmarks without this flag, and expects no measurement.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match table(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn table(arguments: &Arguments) -> anyhow::Result<()> {
    let mut device = Device::open()?;
    let (bandwidth, model) = (device.bandwidth(), device.name());
    let baselines = match &arguments.peers {
        Some(path) => Baselines::Measured(Peers::read(path, &model)?),
        None => Baselines::Stored,
    };
    println!("{model}\nbaselines: {}", baselines.source(&model));
    println!(
        "{:<16} {:>9} {:>19} {:>8} {:>9}  {:<32} variant",
        "workload", "median us", "10 % to 90 % us", "GB/s", "x floor", "baseline us, x faster"
    );
    let names = &arguments.names;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let mut failed = Vec::new();
    for work in device.work()?.iter().filter(|work| wanted(work.name())) {
        let baseline = match work {
            Work::Tuned(workload) => baselines.of(&model, workload).unwrap_or_else(|error| {
                eprintln!("{}: {error:#}", work.name());
                None
            }),
            Work::Cache(_) | Work::Accept(_) | Work::Chain(_) => None,
        };
        let line = device.bench(work).and_then(|bench| line(work, bench, bandwidth, baseline));
        match line {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{}: {error:#}", work.name());
                failed.push(work.name().to_owned());
            }
        }
    }
    if !failed.is_empty() {
        bail!("not timed, for the reasons above: {}", failed.join(", "));
    }
    Ok(())
}

fn line(
    work: &Work,
    mut bench: Box<dyn Bench + '_>,
    bandwidth: Option<f64>,
    baseline: Option<Baseline>,
) -> anyhow::Result<String> {
    let times = bench.time(SAMPLES)?;
    let (low, median, high) = (quantile(&times, 0.1), quantile(&times, 0.5), quantile(&times, 0.9));
    let bytes = work.bytes() as f64;
    let floor = bandwidth.map_or("-".into(), |rate| format!("{:.2}", median * 1e-6 * rate / bytes));
    let baseline = baseline.map_or("-".into(), |baseline| {
        format!("{} {}, {:.2}", baseline.name, baseline.us, baseline.us / median)
    });
    Ok(format!(
        "{:<16} {median:>9.2} {:>19} {:>8.1} {floor:>9}  {baseline:<32} {}",
        work.name(),
        format!("{low:.2} to {high:.2}"),
        bytes / median / 1e3,
        bench.label(),
    ))
}
