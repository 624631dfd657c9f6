//! A second stream beside the main one.

use crate::cuda::{context::Context, error::CudaError, event::Event, stream::Stream};

/// A stream for work that may overlap what a main stream does: the target's map depends on the step before alone, so it may be
/// gathered while the draft model drafts.
///
/// A fork lets the side stream wait for the main one, a join the main one for the side stream. Both are events on the device: the host
/// does not wait, and between [`Graph::capture`](super::super::Graph::capture)'s begin and end both streams' work becomes one graph.
#[derive(Debug)]
pub struct SideStream {
    stream: Stream,
    forked: Event,
    joined: Event,
}

impl SideStream {
    /// A side stream in `context`.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn new(context: &Context) -> Result<Self, CudaError> {
        let (forked, joined) = (Event::untimed(context)?, Event::untimed(context)?);
        Ok(Self { stream: Stream::new(context)?, forked, joined })
    }

    /// The stream itself.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Submits `beside` to the side stream, behind what `main` has been given so far, and `meanwhile` to `main`, which then waits for
    /// both. They are joined even if one of them fails, so that a capture can be ended; the first error is returned.
    ///
    /// # Errors
    /// What `beside` or `meanwhile` returns; what the driver returns.
    pub fn beside<E: From<CudaError>>(
        &mut self,
        main: &Stream,
        beside: impl FnOnce(&Stream) -> Result<(), E>,
        meanwhile: impl FnOnce(&Stream) -> Result<(), E>,
    ) -> Result<(), E> {
        self.fork(main)?;
        let submitted = beside(&self.stream).and_then(|()| meanwhile(main));
        let joined = self.join(main);
        submitted.and(joined.map_err(E::from))
    }

    /// Lets the side stream wait for what `main` has been given so far. What the side stream then gets has to be [joined](Self::join)
    /// before its results are read, and before a capture of `main` ends.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn fork(&mut self, main: &Stream) -> Result<(), CudaError> {
        self.forked.record(main)?;
        self.forked.hold_back(&self.stream)
    }

    /// Lets `main` wait for what the side stream has been given so far.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn join(&mut self, main: &Stream) -> Result<(), CudaError> {
        self.joined.record(&self.stream)?;
        self.joined.hold_back(main)
    }
}
