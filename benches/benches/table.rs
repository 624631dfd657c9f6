//! One line per workload: time, bandwidth, ratio to the floor and to a baseline. Arguments that are no flags select workloads
//! by a part of their name.

use std::process::ExitCode;

use anyhow::bail;
use dustin_autotune::workload::Workload;
use dustin_benches::{Bench, Device, baseline, quantile};

const SAMPLES: u32 = 30;

fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    // `cargo test --benches` starts benchmarks without this flag, and expects no measurement.
    if !flags.iter().any(|flag| flag == "--bench") {
        return ExitCode::SUCCESS;
    }
    match table(&names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn table(names: &[String]) -> anyhow::Result<()> {
    let mut device = Device::open()?;
    println!("{}", device.name());
    println!(
        "{:<16} {:>9} {:>19} {:>8} {:>9}  {:<32} variant",
        "workload", "median us", "10 % to 90 % us", "GB/s", "x floor", "baseline us, x faster"
    );
    let wanted = |name: &str| names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
    let (bandwidth, model) = (device.bandwidth(), device.name());
    let mut failed = Vec::new();
    for workload in device.workloads()?.iter().filter(|workload| wanted(&workload.name)) {
        let line = device.bench(workload).and_then(|bench| line(workload, bench, bandwidth, &model));
        match line {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{}: {error:#}", workload.name);
                failed.push(workload.name.clone());
            }
        }
    }
    if !failed.is_empty() {
        bail!("not timed, for the reasons above: {}", failed.join(", "));
    }
    Ok(())
}

fn line(
    workload: &Workload,
    mut bench: Box<dyn Bench + '_>,
    bandwidth: Option<f64>,
    model: &str,
) -> anyhow::Result<String> {
    let times = bench.time(SAMPLES)?;
    let (low, median, high) = (quantile(&times, 0.1), quantile(&times, 0.5), quantile(&times, 0.9));
    let bytes = workload.problem.bytes() as f64;
    let floor = bandwidth.map_or("-".into(), |rate| format!("{:.2}", median * 1e-6 * rate / bytes));
    let baseline = baseline::of(model, &workload.name).map_or("-".into(), |baseline| {
        format!("{} {}, {:.2}", baseline.name, baseline.us, baseline.us / median)
    });
    Ok(format!(
        "{:<16} {median:>9.2} {:>19} {:>8.1} {floor:>9}  {baseline:<32} {}",
        workload.name,
        format!("{low:.2} to {high:.2}"),
        bytes / median / 1e3,
        bench.label(),
    ))
}
