//! Which problems are asked about.

use std::collections::HashSet;

use dustin::profile::{AttentionKey, Entry, IndexSet, KernelKey, Key};
use dustin_autotune::workload::{Bounds, random};
use rand::{
    RngExt, SeedableRng,
    seq::{IndexedMutRandom, IndexedRandom},
};
use rand_pcg::Pcg64Mcg;

use crate::{
    device::{Device, memory},
    resolve::AuditRequest,
    task::{Task, name},
};

/// How many draws in a row may come to nothing new, before there is nothing else.
const DRAWS: usize = 1_000;

/// Tasks that `entries` were not tuned for, no two alike. With `--members` they lie in the buckets of `entries`, at sizes of their own;
/// otherwise in other buckets: neighbours of theirs, which a choice of theirs may serve, and any others in turns.
pub(super) fn draw(request: &AuditRequest, entries: &[Entry], device: &Device) -> Vec<Task> {
    let mut rng = Pcg64Mcg::seed_from_u64(request.seed);
    let bounds = if device.id().is_gpu() { Bounds::GPU } else { Bounds::CPU };
    let mut known: HashSet<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
    let (mut tasks, mut failed) = (Vec::new(), 0);
    while tasks.len() < request.problems && failed < DRAWS {
        let another = (tasks.len() + failed).is_multiple_of(2);
        let entry = entries.choose(&mut rng).filter(|_| request.members || another);
        let task = match entry {
            Some(Entry { key, .. }) if request.members => {
                let sizes = member(key, &mut rng);
                Task::of_member(name(&sizes), key.clone(), sizes, device)
            }
            Some(Entry { key, .. }) => {
                let key = neighbour(key, &mut rng);
                Task::of_key(name(&key), key, device)
            }
            None => Task::new(&random(&mut rng, bounds), device),
        };
        // What no variant serves has no default to compare with, and not every key is one that a problem can have.
        let fits = |task: &Task| {
            task.key.validate().is_ok()
                && task.problem.validate().is_ok()
                && Key::of(&task.problem, &task.key.device, task.key.policy) == task.key
                && memory::bytes(&task.problem) <= 4 * bounds.cache_bytes
        };
        match task {
            Ok(task) if fits(&task) && known.insert(task.sizes.clone()) => {
                tasks.push(task);
                failed = 0;
            }
            _ => failed += 1,
        }
    }
    tasks
}

/// The key with one or two of its sizes doubled or halved.
fn neighbour(key: &Key, rng: &mut Pcg64Mcg) -> Key {
    let mut key = key.clone();
    for _ in 0..rng.random_range(1..=2_u32) {
        let mut sizes = sizes(&mut key.kernel);
        let doubled = rng.random_bool(0.5);
        let Some(size) = sizes.choose_mut(rng) else { continue };
        for size in size {
            **size = if doubled { size.saturating_mul(2) } else { (**size / 2).max(1) };
        }
    }
    key
}

/// The key with about half of its sizes at other places of their buckets, none of which is wider than a factor of two. Where a size
/// is a bucket of its own, as pages are, this leaves the bucket: it has to be drawn again.
fn member(key: &Key, rng: &mut Pcg64Mcg) -> Key {
    let mut key = key.clone();
    for size in sizes(&mut key.kernel) {
        let share = rng.random_range(0.5..=1.0);
        if rng.random_bool(0.5) {
            for size in size {
                *size = (f64::from(*size) * share).ceil() as u32;
            }
        }
    }
    key
}

/// The sizes of a key; those that go together are one.
fn sizes(key: &mut KernelKey) -> Vec<Vec<&mut u32>> {
    match key {
        KernelKey::SparseAttention(key) => {
            let mut sizes = vec![vec![&mut key.rows], vec![&mut key.page_size]];
            if key.batch != AttentionKey::EVERY_BATCH {
                sizes.push(vec![&mut key.batch]);
            }
            // What is read as a whole is as long as its sequence.
            if key.index_set == IndexSet::Everything {
                sizes.push(vec![&mut key.length_class, &mut key.set_capacity]);
            } else {
                sizes.extend([vec![&mut key.set_capacity], vec![&mut key.length_class]]);
            }
            sizes
        }
        KernelKey::SrhScore(key) => vec![
            vec![&mut key.batch],
            vec![&mut key.tokens],
            vec![&mut key.page_size],
            vec![&mut key.length_class, &mut key.mean_length],
        ],
        KernelKey::Selection(key) => {
            vec![vec![&mut key.batch], vec![&mut key.budget], vec![&mut key.mean_length]]
        }
    }
}
