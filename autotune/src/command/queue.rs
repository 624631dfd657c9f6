//! Work that is shared: who takes what next.

use std::sync::{Mutex, PoisonError};

/// Tasks, by position, that several devices take one after another.
#[derive(Debug)]
pub(super) struct Queue {
    /// The one that has begun a task before, if any has: nobody else takes it.
    owners: Vec<Option<usize>>,
    taken: Mutex<Vec<bool>>,
}

impl Queue {
    /// All tasks, of which `owners` have begun some.
    pub(super) fn new(owners: Vec<Option<usize>>) -> Self {
        let taken = Mutex::new(vec![false; owners.len()]);
        Self { owners, taken }
    }

    /// The next task for `device`, its own ones first, and how many nobody has taken yet, this one included.
    pub(super) fn next(&self, device: usize) -> Option<(usize, usize)> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free =
            |owner: Option<usize>| (0..taken.len()).find(|&task| !taken[task] && self.owners[task] == owner);
        let task = free(Some(device)).or_else(|| free(None))?;
        let left = taken.iter().filter(|taken| !**taken).count();
        taken[task] = true;
        Some((task, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_takes_all_in_their_order() {
        let queue = Queue::new(vec![None; 3]);
        let taken: Vec<(usize, usize)> = std::iter::from_fn(|| queue.next(0)).collect();
        assert_eq!(taken, [(0, 3), (1, 2), (2, 1)]);
    }

    #[test]
    fn what_a_device_has_begun_nobody_else_takes_and_it_takes_first() {
        let queue = Queue::new(vec![None, Some(1), None, Some(0)]);
        let task = |device| queue.next(device).map(|(task, _)| task);
        assert_eq!([task(1), task(1), task(1), task(1)], [Some(1), Some(0), Some(2), None]);
        assert_eq!([task(0), task(0)], [Some(3), None]);
    }
}
