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
                let (layer, query_copy) = (input.layer.clone(), input.query_copy.clone());
                Box::new(AppendJob { layer, query_copy, input })
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
    query_copy: Vec<u16>,
}

impl Job for AppendJob {
    fn label(&self) -> String {
        "append".into()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let Self { input, layer, query_copy } = self;
        Ok(backend.append(&input.problem(), &input.arrays(), &mut layer.as_mut(), query_copy)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        let (layers, query_copy) = (vec![self.layer.clone()], self.query_copy.clone());
        compare(&self.input.reference()?, &Written { layers, query_copy, status: 0 })?;
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
        let written = Written { layers: self.layers.clone(), query_copy: Vec::new(), status: 0 };
        compare(&self.input.reference()?, &written)?;
        Ok(())
    }
}
