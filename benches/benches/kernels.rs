//! Every kernel under criterion. On a GPU the times are the device's own.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use criterion::{Criterion, SamplingMode, Throughput};
use dustin_benches::Device;

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    let done = kernels(&mut criterion);
    criterion.final_summary();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Times everything that can be prepared.
fn kernels(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut device = Device::open()?;
    let mut failed = Vec::new();
    let work = device.work()?;
    for work in work.chunk_by(|a, b| a.operation() == b.operation()) {
        let mut group = criterion.benchmark_group(work[0].operation());
        group.sampling_mode(SamplingMode::Flat);
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1));
        for work in work {
            let name = work.name();
            let mut bench = match device.bench(work) {
                Ok(bench) => bench,
                Err(error) => {
                    eprintln!("{name}: {error:#}");
                    failed.push(name.to_owned());
                    continue;
                }
            };
            group.throughput(Throughput::Bytes(work.bytes()));
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    // A sample is a whole graph of launches: their mean stands for each of the iterations asked for.
                    let samples = iterations.div_ceil(bench.launches().into());
                    let times =
                        bench.time(samples as u32).unwrap_or_else(|error| panic!("{name}: {error:#}"));
                    let mean = times.iter().sum::<f64>() / times.len() as f64;
                    Duration::from_secs_f64(mean * 1e-6 * iterations as f64)
                });
            });
        }
        group.finish();
    }
    if !failed.is_empty() {
        bail!("not timed, for the reasons above: {}", failed.join(", "));
    }
    Ok(())
}
