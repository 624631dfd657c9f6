//! Profiles are asked for every problem of every step.

use std::{path::Path, time::Instant};

use dustin::{
    limits::DeviceLimits,
    profile::{self, Catalogue as _, Entry, GpuCatalogue, Key, Source, Tuned},
};

const H200: DeviceLimits = DeviceLimits {
    major: 9,
    minor: 0,
    sm_count: 132,
    shared_bytes_per_block: 232_448,
    threads_per_block: 1024,
};

/// Microseconds of the fastest of `rounds`: what the code takes when nothing else runs.
fn fastest(rounds: u32, mut round: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..rounds).map(time).fold(f64::INFINITY, f64::min)
}

#[test]
fn a_profile_is_loaded_in_milliseconds_and_asked_in_less_than_two_microseconds() {
    let catalogue = GpuCatalogue { limits: H200 };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/nvidia-h200.toml");
    let mut profile = profile::read(&shipped).unwrap().profile;
    // Entries of kernels that were edited since are void: these are of this build.
    for entry in &mut profile.entries {
        let choice = catalogue.default(&entry.key).unwrap();
        *entry = Entry::measured(entry.key.clone(), choice, entry.measurement.clone().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h200.toml");
    profile::write(&path, &profile).unwrap();

    let load = || Tuned::new(profile::read(&path).unwrap().profile.entries, catalogue);
    // The first time the PTX of every variant that is named is hashed, too.
    let start = Instant::now();
    let tuned = load();
    let first = start.elapsed().as_secs_f64() * 1e6;
    assert!(first < 200_000.0, "loading for the first time took {first:.0} us");
    assert!(tuned.warnings().is_empty() && tuned.entries().len() > 20);
    let loaded = fastest(20, || assert_eq!(load().entries().len(), tuned.entries().len()));
    assert!(loaded < 20_000.0, "loading took {loaded:.0} us");

    let keys: Vec<Key> = tuned.entries().iter().map(|entry| entry.key.clone()).collect();
    let asked = fastest(200, || {
        for key in &keys {
            assert_eq!(tuned.find(key).unwrap().source, Source::Exact);
        }
    });
    let each = asked / keys.len() as f64;
    assert!(each < 2.0, "asking took {each:.2} us");
}
