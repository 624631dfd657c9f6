//! Launches of candidates: one of its own, and series as they are timed, which must write the same.

use dustin::cuda::{CudaError, DeviceBuffer, Event, Graph, ModuleCache, Stream, Workspace};

use super::side::{Side, WrittenOn};
use crate::{device::judge::Written as _, search::Failure};

/// Replays of a series before what they wrote is compared, as a replay that warms up comes before one that is timed.
const REPLAYS: u32 = 2;

/// How often that is done: what goes wrong where launches overlap need not go wrong each time.
const COMPARISONS: u32 = 3;

/// Launches candidates on one stream, one after the other.
pub(super) struct Launcher<'a, S: Side> {
    pub(super) modules: &'a ModuleCache,
    pub(super) stream: &'a Stream,
    pub(super) candidates: Vec<S::Candidate>,
    /// Room for the workspace of any of them.
    pub(super) workspace: DeviceBuffer<u8>,
    /// Launches of a series: whole turns of the inputs.
    pub(super) launches: u32,
}

/// A captured series of launches, and what it uses.
pub(super) struct Series<K> {
    pub(super) graph: Graph,
    pub(super) workspace: Workspace,
    // The graph's nodes refer to its module.
    _kernel: K,
}

impl<S: Side> Launcher<'_, S> {
    /// The kernel of a candidate for a side's problem, and an initialised workspace.
    fn kernel(&self, side: &S, candidate: usize) -> Result<(S::Kernel, Workspace), Failure> {
        let plan =
            side.plan(self.candidates[candidate]).map_err(|error| Failure::Candidate(error.to_string()))?;
        // SAFETY: the memory lives as long as the launcher and what it captures, on the device's context; launches of one
        // stream use it one after the other.
        let workspace =
            unsafe { Workspace::borrow(&plan, self.workspace.address(), self.workspace.bytes() as u64) }
                .map_err(|error| Failure::Candidate(error.to_string()))?;
        workspace.initialise(self.stream).map_err(failure)?;
        let kernel = S::compile(self.modules, plan).map_err(failure)?;
        Ok((kernel, workspace))
    }

    /// One launch over a side's judged input; gives the microseconds that it took.
    pub(super) fn once(&self, side: &S, candidate: usize, output: &S::Output) -> Result<f64, Failure> {
        let stream = self.stream;
        let (kernel, workspace) = self.kernel(side, candidate)?;
        let event = || Event::new(stream.context()).map_err(failure);
        let (start, end) = (event()?, event()?);
        start.record(stream).map_err(failure)?;
        // SAFETY: the kernel is of a plan of this side; the workspace was initialised for it; all of it outlives the
        // launch, which is waited for below.
        unsafe { side.launch(stream, &kernel, &workspace, output, None) }.map_err(failure)?;
        end.record(stream).map_err(failure)?;
        require_no_fault(&workspace, stream)?;
        end.synchronize().and_then(|()| end.microseconds_since(&start)).map_err(failure)
    }

    /// Captures a series: as many launches as share its costs, over inputs and into `outputs` in turns.
    pub(super) fn capture(
        &self,
        side: &S,
        candidate: usize,
        outputs: &[S::Output],
    ) -> Result<Series<S::Kernel>, Failure> {
        let (kernel, workspace) = self.kernel(side, candidate)?;
        let turns = side.turns().max(1);
        let graph = Graph::capture(self.stream, || {
            for (launch, output) in (0..self.launches).zip(outputs.iter().cycle()) {
                // SAFETY: side, output, workspace and kernel live as long as the bench, which owns the graph; launches of
                // the graph run one after the other, or wait for one another before they write.
                unsafe { side.launch(self.stream, &kernel, &workspace, output, Some(launch % turns))? };
            }
            Ok::<(), CudaError>(())
        })
        .map_err(failure)?;
        Ok(Series { graph, workspace, _kernel: kernel })
    }

    /// What as many launches as [`REPLAYS`] series have leave in `outputs`, if each is waited for before the next one.
    fn one_at_a_time(
        &self,
        side: &S,
        candidate: usize,
        outputs: &[S::Output],
    ) -> Result<Vec<WrittenOn<S>>, Failure> {
        let (kernel, workspace) = self.kernel(side, candidate)?;
        let turns = side.turns().max(1);
        for _ in 0..REPLAYS {
            for (launch, output) in (0..self.launches).zip(outputs.iter().cycle()) {
                // SAFETY: the kernel is of a plan of this side; the workspace was initialised for it; all of it outlives
                // the launch, which is waited for.
                unsafe { side.launch(self.stream, &kernel, &workspace, output, Some(launch % turns)) }
                    .and_then(|()| self.stream.synchronize())
                    .map_err(failure)?;
            }
        }
        require_no_fault(&workspace, self.stream)?;
        outputs.iter().map(|output| S::download(self.stream, output).map_err(failure)).collect()
    }

    /// Compares, bit for bit, what a series leaves in `outputs` with what its launches leave there one at a time. Of what the
    /// first of them wrote in the series, `spoil` overwrites every byte.
    pub(super) fn compare(
        &self,
        side: &S,
        candidate: usize,
        (outputs, unwritten): (&mut [S::Output], &WrittenOn<S>),
        spoil: Option<u8>,
    ) -> Result<(), Failure> {
        self.renew(outputs, unwritten)?;
        let right = self.one_at_a_time(side, candidate, outputs)?;
        let mut series = self.capture(side, candidate, outputs)?;
        for _ in 0..COMPARISONS {
            self.renew(outputs, unwritten)?;
            series.workspace.initialise(self.stream).map_err(failure)?;
            for _ in 0..REPLAYS {
                // SAFETY: all that was captured outlives the launches, which are waited for below.
                unsafe { series.graph.launch(self.stream) }.map_err(failure)?;
            }
            require_no_fault(&series.workspace, self.stream)?;
            let mut spoil = spoil;
            for (output, right) in outputs.iter().zip(&right) {
                let mut written = S::download(self.stream, output).map_err(failure)?;
                spoil.take().into_iter().for_each(|byte| written.spoil(byte));
                if let Some(difference) = written.difference(right) {
                    return Err(Failure::as_timed(format!("{difference} where its launches are waited for")));
                }
            }
        }
        Ok(())
    }

    fn renew(&self, outputs: &mut [S::Output], unwritten: &WrittenOn<S>) -> Result<(), Failure> {
        outputs.iter_mut().try_for_each(|output| S::renew(self.stream, output, unwritten)).map_err(failure)
    }
}

/// Refuses a candidate whose launches report a fault. Waits for the stream.
pub(super) fn require_no_fault(workspace: &Workspace, stream: &Stream) -> Result<(), Failure> {
    match workspace.status(stream).map_err(failure)? {
        None => Ok(()),
        Some((fault, sequence)) => {
            Err(Failure::Candidate(format!("it reports {fault:?} of sequence {sequence} on valid input")))
        }
    }
}

/// What an error says about: this candidate, or the whole device.
pub(super) fn failure(error: CudaError) -> Failure {
    match error {
        CudaError::DeviceLost { .. } => Failure::Device(error.to_string()),
        error => Failure::Candidate(error.to_string()),
    }
}
