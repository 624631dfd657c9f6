//! Writing to caches on the CPU.

use dustin::{
    cache::{
        compare::{Written, compare},
        layer::Layer,
        synthetic::{AppendInput, CompactInput},
    },
    cpu::CpuBackend,
};

use super::{Job, Jobs};
use crate::work::{CacheWork, Writes};

pub(super) fn jobs(work: &CacheWork) -> anyhow::Result<Jobs> {
    let job = |work: &CacheWork| -> anyhow::Result<Box<dyn Job>> {
        Ok(match work.writes {
            Writes::Append => {
                let input = work.append()?;
                Box::new(AppendJob { layer: input.layer.clone(), input })
            }
            Writes::Compact => {
                let input = work.compact()?;
                Box::new(CompactJob { layers: input.layers.clone(), input })
            }
        })
    };
    Ok((job(&work.small())?, job(work)?))
}

#[derive(Debug)]
struct AppendJob {
    input: AppendInput,
    layer: Layer,
}

impl Job for AppendJob {
    fn label(&self) -> String {
        "append".into()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        Ok(backend.append(&self.input.step.step, &self.input.arrays(), &mut self.layer.as_mut())?)
    }

    fn check(&self) -> anyhow::Result<()> {
        compare(&self.input.reference()?, &Written { layers: vec![self.layer.clone()], status: 0 })?;
        Ok(())
    }
}

#[derive(Debug)]
struct CompactJob {
    input: CompactInput,
    layers: Vec<Layer>,
}

impl Job for CompactJob {
    fn label(&self) -> String {
        "compact".into()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let mut layers: Vec<_> = self.layers.iter_mut().map(Layer::as_mut).collect();
        Ok(backend.compact(&self.input.problem, &self.input.arrays(), &mut layers)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        compare(&self.input.reference()?, &Written { layers: self.layers.clone(), status: 0 })?;
        Ok(())
    }
}
