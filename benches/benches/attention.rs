//! Sparse attention under criterion. On a GPU the times are the device's own.

use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use dustin_benches::Device;

fn attention(criterion: &mut Criterion) {
    let mut device = match Device::open() {
        Ok(device) => device,
        Err(error) => return eprintln!("{error:#}"),
    };
    let mut group = criterion.benchmark_group("attention");
    group.sampling_mode(SamplingMode::Flat);
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for shape in device.shapes() {
        let mut bench = match device.bench(shape) {
            Ok(bench) => bench,
            Err(error) => {
                eprintln!("{}: {error:#}", shape.name);
                continue;
            }
        };
        group.throughput(Throughput::Bytes(shape.problem().bytes()));
        group.bench_function(shape.name, |bencher| {
            bencher.iter_custom(|iterations| {
                // A sample is a whole graph of launches: their mean stands for each of the iterations asked for.
                let samples = iterations.div_ceil(bench.launches().into());
                let times =
                    bench.time(samples as u32).unwrap_or_else(|error| panic!("{}: {error:#}", shape.name));
                let mean = times.iter().sum::<f64>() / times.len() as f64;
                Duration::from_secs_f64(mean * 1e-6 * iterations as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, attention);
criterion_main!(benches);
