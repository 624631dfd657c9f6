//! What a worker does with a device: says what it is, opens it, and prepares problems on it.

use anyhow::Context as _;

use super::{About, cpu, cuda};
use crate::{
    resolve::DeviceChoice,
    search::{Bench, Conditions, Failure},
    task::Task,
    worker::Harm,
};

/// How a problem is prepared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    /// Seed of the inputs.
    pub(crate) seed: u64,
    /// Whether all candidates are compiled beforehand, on all threads, and not each when it is first checked.
    pub(crate) ahead: bool,
    /// Results that are to be wrong.
    pub(crate) spoil: Option<Spoil>,
}

/// A fault to be found: what a candidate wrote is overwritten with this byte before it is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoil {
    /// Position among the points of the task; nothing if it is all of them.
    pub(crate) candidate: Option<usize>,
    /// What overwrites them.
    pub(crate) byte: u8,
    /// Whether it is what the candidate wrote as it is timed, and not in its check.
    pub(crate) timed: bool,
}

impl Spoil {
    /// What overwrites the results of a check of `candidate`, if anything does.
    pub(crate) fn of_check(spoil: Option<Self>, candidate: usize) -> Option<u8> {
        spoil.filter(|spoil| !spoil.timed && spoil.is_of(candidate)).map(|spoil| spoil.byte)
    }

    /// What overwrites the results of `candidate` as it is timed, if anything does.
    pub(crate) fn of_timing(spoil: Option<Self>, candidate: usize) -> Option<u8> {
        spoil.filter(|spoil| spoil.timed && spoil.is_of(candidate)).map(|spoil| spoil.byte)
    }

    fn is_of(self, candidate: usize) -> bool {
        self.candidate.is_none_or(|spoilt| spoilt == candidate)
    }
}

/// A device in the hands of this process.
pub(crate) trait Backend {
    /// What a person should know of it.
    fn remark(&self) -> Option<String>;

    /// Bytes of its memory that are in use now, where that is known.
    fn memory(&self) -> Option<u64>;

    /// Prepares inputs, reference and workspace for the points of `task`.
    ///
    /// # Errors
    /// The device cannot hold or run the problem.
    fn bench<'a>(&'a self, task: &'a Task, how: Preparation) -> anyhow::Result<Box<dyn Bench + 'a>>;

    /// What it is like now, where anything is known of that.
    fn conditions(&self) -> Option<Conditions>;

    /// Has a candidate do harm, for tests of what comes of it. May end the process.
    ///
    /// # Errors
    /// The device found out.
    fn suffer(&self, harm: Harm) -> Result<(), Failure>;
}

/// Finds the device asked for, and leaves it alone. Gives a remark where another one serves than was hoped for.
///
/// # Errors
/// A GPU was asked for and there is none that serves.
pub(crate) fn find(choice: DeviceChoice) -> anyhow::Result<(About, Option<String>)> {
    match choice {
        DeviceChoice::Cuda { gpu } => {
            let about = cuda::find(gpu).context("--device cuda cannot be served; --device cpu can")?;
            Ok((about, None))
        }
        DeviceChoice::Auto { gpu } => match dustin::cuda::available() {
            Ok(()) => Ok((cuda::find(gpu)?, None)),
            Err(error) => {
                let remark = format!("no GPU to use ({error}): the CPU backend serves instead");
                Ok((cpu::find()?, Some(remark)))
            }
        },
        DeviceChoice::Cpu => Ok((cpu::find()?, None)),
    }
}

/// Opens a device that was found: the GPU of this number, or the CPU.
///
/// # Errors
/// It cannot be used.
pub(crate) fn open(gpu: Option<u32>) -> anyhow::Result<Box<dyn Backend>> {
    Ok(match gpu {
        Some(gpu) => Box::new(cuda::Cuda::open(gpu)?),
        None => Box::new(cpu::Cpu::open()?),
    })
}
