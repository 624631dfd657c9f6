//! Finding devices, and having one for oneself.

use std::{thread, time::Duration};

use anyhow::bail;

use crate::{
    args::Gpus,
    console::{Console, Stop},
    device::Device,
    lock::Lock,
    resolve::{DeviceChoice, DeviceRequest, TuneRequest},
    worker::{Opened, Supervisor},
};

/// Seconds for which a worker may still be there whose command was killed, where somebody waits for the device.
const LINGERING: u32 = 5;

/// Finds the device asked for. Nothing uses it yet, so whoever measures it is not disturbed.
///
/// # Errors
/// There is none that serves.
pub(super) fn find(request: DeviceRequest, console: Console) -> anyhow::Result<(Supervisor, Device)> {
    let (supervisor, device, remark) = Supervisor::find(request.choice, request.patience)?;
    if let Some(remark) = remark {
        console.note(&remark);
    }
    Ok((supervisor, device))
}

/// Finds the devices that share the work, at least one: the one asked for, or several GPUs of one model.
///
/// # Errors
/// There is none that serves; they are not of one model.
pub(super) fn find_all(request: &TuneRequest) -> anyhow::Result<Vec<(Supervisor, Device)>> {
    let find_gpu = |gpu: u32| {
        let choice = DeviceChoice::Cuda { gpu };
        find(DeviceRequest { choice, ..request.device }, request.console)
    };
    let mut devices = match &request.gpus {
        None => return Ok(vec![find(request.device, request.console)?]),
        Some(Gpus::All) => vec![find_gpu(0)?],
        Some(Gpus::These(_)) => Vec::new(),
    };
    let others = match &request.gpus {
        Some(Gpus::These(numbers)) => numbers.clone(),
        _ => (1..devices.first().map_or(0, |(_, device)| device.gpus())).collect(),
    };
    for gpu in others {
        devices.push(find_gpu(gpu)?);
    }
    for (_, device) in &devices {
        let (_, first) = &devices[0];
        if device.id() != first.id() {
            bail!("{first} and {device} are not of one model: tune each of them by itself, with --gpu");
        }
    }
    // In one order for all processes, whichever GPUs they may see by whichever numbers: two that wait for each other's would
    // wait for ever.
    devices.sort_by_key(|(_, device)| device.place());
    Ok(devices)
}

/// Has `device` to oneself: its lock comes first, since whoever opens it is one of those that compute on it.
///
/// # Errors
/// Others measure it, or compute on it; it cannot be used.
pub(super) fn occupy(
    supervisor: &Supervisor,
    device: &Device,
    request: DeviceRequest,
    console: Console,
    stop: &Stop,
) -> anyhow::Result<Lock> {
    let lock = Lock::take(device, request.wait, stop)?;
    let mut opened = supervisor.open()?;
    // Whoever held the lock may have been killed, and its worker may be about to end.
    for _ in 0..LINGERING {
        if opened.others.is_empty() || request.shared || !request.wait {
            break;
        }
        supervisor.stop();
        thread::sleep(Duration::from_secs(1));
        opened = supervisor.open()?;
    }
    let Opened { others, remark } = opened;
    if let Some(remark) = remark {
        console.note(&remark);
    }
    if let Some(warning) = device.require_alone(&others, request.shared)? {
        console.note(&warning);
    }
    Ok(lock)
}
