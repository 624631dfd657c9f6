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
