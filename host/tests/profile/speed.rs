//! Profiles are asked for every problem of every step.

use std::{
    path::Path,
    time::{Duration, Instant},
};

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

/// How long rounds are repeated that take longer than they may: others use the machine, too.
const PATIENCE: Duration = Duration::from_secs(20);

/// Microseconds of the fastest of at least `rounds`, what the code takes when nothing else runs; of more, until one takes less than
/// `limit`, or patience ends.
fn fastest(rounds: u32, limit: f64, mut round: impl FnMut()) -> f64 {
    let (begin, mut done, mut fastest) = (Instant::now(), 0, f64::INFINITY);
    while done < rounds || (fastest >= limit && begin.elapsed() < PATIENCE) {
        let start = Instant::now();
        round();
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e6);
        done += 1;
    }
    fastest
}

#[test]
fn a_profile_is_loaded_within_5_ms_and_asked_within_1_us() {
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
    let loaded = fastest(20, 5_000.0, || assert_eq!(load().entries().len(), tuned.entries().len()));
    assert!(loaded < 5_000.0, "loading took {loaded:.0} us");

    let keys: Vec<Key> = tuned.entries().iter().map(|entry| entry.key.clone()).collect();
    let asked = fastest(200, keys.len() as f64, || {
        for key in &keys {
            assert_eq!(tuned.find(key).unwrap().source, Source::Exact);
        }
    });
    let each = asked / keys.len() as f64;
    assert!(each < 1.0, "asking took {each:.2} us");
}
