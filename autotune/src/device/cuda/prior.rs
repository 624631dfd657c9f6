//! What a launch may take, before anything is measured: a roofline whose height follows from how much of the device is kept
//! busy. It says what is tried first, and leaves nothing out: it knows nothing of a kernel's instructions.

use dustin::limits::DeviceLimits;

/// Threads that a multiprocessor holds.
const THREADS: u32 = 2048;

/// Bytes of shared memory that the system takes for each block.
const RESERVED: u32 = 1024;

/// What memory gives a multiprocessor in a microsecond, in bytes: an H200's 4.5 TB/s over its 132.
const SHARE: f64 = 34e3;

/// Bytes that a multiprocessor must have asked for at any time to get that: the answer takes about a microsecond.
const IN_FLIGHT: f64 = 36e3;

/// Bytes that a thread has asked for where copies do not go through shared memory.
const OF_A_THREAD: u32 = 64;

/// What blocks spend on starting, looking up, and ending, in microseconds.
const TURN: f64 = 3.0;

/// One kernel's launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Launch {
    /// Blocks in each dimension.
    pub(super) grid: [u32; 3],
    /// Threads of a block.
    pub(super) threads: u32,
    /// Shared memory of a block, in bytes.
    pub(super) shared: u32,
}

impl Launch {
    /// About how many microseconds it takes to read and write `bytes`.
    pub(super) fn microseconds(self, bytes: u64, limits: &DeviceLimits) -> f64 {
        let blocks: u64 = self.grid.into_iter().map(u64::from).fold(1, u64::saturating_mul).max(1);
        let multiprocessors = u64::from(limits.sm_count.max(1));
        let by_shared =
            limits.shared_bytes_per_block.saturating_add(RESERVED) / self.shared.saturating_add(RESERVED);
        let resident = u64::from(by_shared.min(THREADS / self.threads.max(1)).max(1));
        let together = multiprocessors * resident;
        let turns = blocks.div_ceil(together);
        // The last turn takes as long as the others, however few blocks it has.
        let filled = if turns > 1 { blocks as f64 / (turns as f64 * together as f64) } else { 1.0 };
        let busy = blocks.min(multiprocessors) as f64;
        let neighbours = blocks.div_ceil(multiprocessors).min(resident) as f64;
        let asked = neighbours * f64::from(self.shared.max(self.threads.saturating_mul(OF_A_THREAD)).max(1));
        let rate = SHARE * busy * filled * (asked / IN_FLIGHT).min(1.0);
        TURN * turns as f64 + bytes as f64 / rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: DeviceLimits = DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    };

    fn of(blocks: u32, threads: u32, shared: u32) -> f64 {
        Launch { grid: [blocks, 1, 1], threads, shared }.microseconds(34_000_000, &H200)
    }

    #[test]
    fn a_device_that_is_full_once_is_bound_by_its_memory() {
        assert!((of(132, 384, 200_000) - (TURN + 34e6 / (132.0 * SHARE))).abs() < 1e-9);
    }

    #[test]
    fn idle_multiprocessors_little_in_flight_and_a_turn_more_take_longer() {
        let full = of(132, 384, 200_000);
        assert!(of(66, 384, 200_000) > 1.5 * full, "half of the multiprocessors");
        assert!(of(132, 64, 4_096) > 2.0 * full, "few bytes asked for");
        assert!(of(133, 384, 200_000) > 1.5 * full, "a second turn for one block");
        assert!(of(264, 384, 100_000) < 1.1 * full, "two blocks side by side");
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let none = DeviceLimits { sm_count: 0, shared_bytes_per_block: 0, ..H200 };
        let launch = Launch { grid: [0; 3], threads: 0, shared: 0 };
        assert!(launch.microseconds(0, &none) >= 0.0);
        assert!(
            Launch { grid: [u32::MAX; 3], threads: u32::MAX, shared: u32::MAX }.microseconds(1, &H200) > 0.0
        );
    }
}
