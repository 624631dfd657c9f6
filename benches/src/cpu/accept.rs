//! Acceptance on the CPU.

use dustin::{
    accept::{
        arrays::AcceptOutput,
        compare::{Accepted, compare},
        synthetic::AcceptInput,
    },
    cpu::CpuBackend,
};

use super::{Job, Jobs};
use crate::accept::AcceptWork;

pub(super) fn jobs(work: &AcceptWork) -> anyhow::Result<Jobs> {
    let job = |work: &AcceptWork| -> anyhow::Result<Box<dyn Job>> {
        let input = work.input()?;
        Ok(Box::new(AcceptJob { given: Accepted::unwritten(&input.problem, &input.arrays()), input }))
    };
    Ok((job(&work.small())?, job(work)?))
}

#[derive(Debug)]
struct AcceptJob {
    input: AcceptInput,
    given: Accepted,
}

impl Job for AcceptJob {
    fn label(&self) -> String {
        "accept".into()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let Self { input, given } = self;
        let output = AcceptOutput {
            accepted: &mut given.accepted,
            emitted: &mut given.emitted,
            path: &mut given.path,
            last_rows: &mut given.last_rows,
            new_lengths: given.new_lengths.as_deref_mut(),
        };
        given.step = input.step.wrapping_add(1);
        given.status = backend.accept(&input.problem, &input.arrays(), output)?;
        Ok(given.status)
    }

    fn check(&self) -> anyhow::Result<()> {
        Ok(compare(&self.input.problem, &self.input.arrays(), &self.given)?)
    }
}
