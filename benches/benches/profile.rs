//! What a profile costs a program: reading it once, and asking it for every problem.

use std::{hint::black_box, path::Path};

use criterion::{Criterion, criterion_group, criterion_main};
use dustin::{
    limits::DeviceLimits,
    profile::{self, Catalogue as _, Entry, GpuCatalogue, KernelKey, Key, Tuned},
};

const SHIPPED: &str = include_str!("../../profiles/nvidia-h200.toml");

const H200: DeviceLimits = DeviceLimits {
    major: 9,
    minor: 0,
    sm_count: 132,
    shared_bytes_per_block: 232_448,
    threads_per_block: 1024,
};

fn profiles(criterion: &mut Criterion) {
    let path = Path::new("nvidia-h200.toml");
    let catalogue = GpuCatalogue { limits: H200 };
    let mut group = criterion.benchmark_group("profile");
    let mut profile = profile::parse(SHIPPED, path).expect("it is shipped").profile;
    // Entries of kernels that were edited since are void: these are of this build.
    for entry in &mut profile.entries {
        let choice = catalogue.default(&entry.key).expect("a variant serves what was tuned");
        let measurement = entry.measurement.clone().expect("it was measured");
        *entry = Entry::measured(entry.key.clone(), choice, measurement);
    }
    let text = profile::render(&profile).expect("it was read from TOML");
    let load = || {
        let read = profile::parse(black_box(&text), path).expect("it was just written");
        Tuned::new(read.profile.entries, catalogue)
    };
    group.bench_function("load", |bencher| bencher.iter(load));
    let keys: Vec<Key> = profile.entries.iter().map(|entry| entry.key.clone()).collect();
    let tuned = load();
    for (name, alter) in
        [("exact", (|_: &mut Key| ()) as fn(&mut Key)), ("near", nearby), ("default", elsewhere)]
    {
        let mut asked = keys.clone();
        asked.iter_mut().for_each(alter);
        let mut turns = asked.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(tuned.find(black_box(turns.next().expect("it has entries"))).is_ok()));
        });
    }
    group.finish();
}

/// A bucket for which no entry is the exact one.
fn nearby(key: &mut Key) {
    match &mut key.kernel {
        KernelKey::SparseAttention(key) => key.lse = !key.lse,
        KernelKey::SrhScore(key) => key.accumulate = !key.accumulate,
        KernelKey::Selection(key) => key.physical = !key.physical,
    }
}

/// The same of a GPU that has no profile.
fn elsewhere(key: &mut Key) {
    key.device = profile::DeviceId::gpu("another", 8, 0);
}

criterion_group!(benches, profiles);
criterion_main!(benches);
