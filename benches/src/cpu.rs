//! Workloads on the CPU back end.

use std::time::Instant;

use anyhow::ensure;
use dustin::{
    attention::{
        compare::{Output, compare_output},
        reference,
        synthetic::AttentionInput,
    },
    cpu::{CpuBackend, CpuCandidate, OutputMut, default_candidate},
};
use dustin_autotune::workload::Workload;

use crate::{Bench, small};

const SEED: u64 = 1;

/// The CPU back end.
#[derive(Debug)]
pub struct Cpu(CpuBackend);

impl Cpu {
    /// A thread for each hardware thread.
    ///
    /// # Errors
    /// The operating system refuses the threads.
    pub fn open() -> anyhow::Result<Self> {
        Ok(Self(CpuBackend::new(0)?))
    }

    /// The back end's name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("CPU, {} threads", self.0.limits().threads)
    }

    /// Prepares `workload` with the choice that is made without tuning.
    ///
    /// # Errors
    /// The result is wrong.
    pub fn bench(&mut self, workload: &Workload) -> anyhow::Result<CpuBench<'_>> {
        let candidate = default_candidate(&workload.problem, self.0.limits())?;
        let mut bench = CpuBench::new(&mut self.0, &small(workload)?, candidate)?;
        bench.launch()?;
        let input = &bench.input;
        let reference = reference::attention(&input.problem, &input.arrays())?;
        compare_output(&input.problem, &input.arrays(), &reference, Output::Rounded(&bench.output))?;
        CpuBench::new(&mut self.0, workload, candidate)
    }
}

/// A workload's input.
#[derive(Debug)]
pub struct CpuBench<'a> {
    backend: &'a mut CpuBackend,
    candidate: CpuCandidate,
    input: AttentionInput,
    output: Vec<u16>,
}

impl<'a> CpuBench<'a> {
    fn new(
        backend: &'a mut CpuBackend,
        workload: &Workload,
        candidate: CpuCandidate,
    ) -> anyhow::Result<Self> {
        let input = AttentionInput::uniform(&workload.problem, workload.shape.context, SEED)?;
        let output = vec![0; input.output_items()];
        Ok(Self { backend, candidate, input, output })
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let (input, output) = (&self.input, OutputMut::Rounded(&mut self.output));
        let status =
            self.backend.attention(&input.problem, &self.candidate, &input.arrays(), output, None)?;
        ensure!(status == 0, "the back end reports {status:#x}");
        Ok(())
    }
}

impl Bench for CpuBench<'_> {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn launches(&self) -> u32 {
        1
    }

    fn time(&mut self, samples: u32) -> anyhow::Result<Vec<f64>> {
        self.launch()?;
        (0..samples)
            .map(|_| {
                let start = Instant::now();
                self.launch()?;
                Ok(start.elapsed().as_secs_f64() * 1e6)
            })
            .collect()
    }
}
