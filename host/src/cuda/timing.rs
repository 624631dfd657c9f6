//! Timing of graphs by events on the device.

use super::{error::CudaError, event::Event, graph::Graph, stream::Stream};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingPolicy {
    /// Replays before the first measured one.
    pub warm_up: u32,
    /// Measured replays.
    pub samples: u32,
}

impl Default for TimingPolicy {
    fn default() -> Self {
        Self { warm_up: 5, samples: 50 }
    }
}

/// The most launches in a graph that is timed, and the least.
const LAUNCHES: (u64, u64) = (4, 32);

/// What the launches of one graph should move at the most, unless they are few: half a millisecond of an HBM3e's time.
const BYTES: u64 = 2_000_000_000;

/// How many launches a graph should hold to be timed, over whole turns of `turns` inputs, where each moves `bytes` at the least.
///
/// Events and the graph's own launch cost some microseconds, which 32 launches share. Launches of hundreds of megabytes take
/// longer than these costs by themselves: four do.
#[must_use]
pub fn graph_launches(bytes: u64, turns: u32) -> u32 {
    let (least, most) = LAUNCHES;
    let launches = (BYTES / bytes.max(1)).clamp(least, most) as u32;
    launches.checked_next_multiple_of(turns.max(1)).unwrap_or(launches)
}

/// Times replays of `graph`, which holds `launches` launches: microseconds per launch, one per replay.
///
/// A graph of many launches spreads the cost of its own launch and of the events, some microseconds, over them.
///
/// # Safety
/// As [`Graph::launch`].
///
/// # Errors
/// What the driver returns.
pub unsafe fn time_graph(
    graph: &mut Graph,
    stream: &Stream,
    launches: u32,
    policy: TimingPolicy,
) -> Result<Vec<f64>, CudaError> {
    graph.upload(stream)?;
    for _ in 0..policy.warm_up {
        // SAFETY: the caller's promise.
        unsafe { graph.launch(stream)? };
    }
    // All replays are submitted before any event is waited for, so that the device never waits for the host.
    let mut last = Event::new(stream.context())?;
    last.record(stream)?;
    let mut events = vec![];
    for _ in 0..policy.samples {
        // SAFETY: the caller's promise.
        unsafe { graph.launch(stream)? };
        let event = Event::new(stream.context())?;
        event.record(stream)?;
        events.push(event);
    }
    stream.synchronize()?;
    events
        .into_iter()
        .map(|event| {
            let microseconds = event.microseconds_since(&last)? / f64::from(launches.max(1));
            last = event;
            Ok(microseconds)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_launches_share_a_graph_of_32_and_large_ones_of_fewer_in_whole_turns() {
        let launches = |bytes, turns| graph_launches(bytes, turns);
        assert_eq!((launches(0, 0), launches(37_000_000, 1), launches(37_000_000, 5)), (32, 32, 35));
        assert_eq!((launches(134_000_000, 1), launches(134_000_000, 2)), (14, 14));
        assert_eq!((launches(540_000_000, 1), launches(2_160_000_000, 1), launches(u64::MAX, 3)), (4, 4, 6));
        assert_eq!((launches(1, u32::MAX), launches(1, 1 << 31)), (u32::MAX, 1 << 31));
    }
}
