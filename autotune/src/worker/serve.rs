//! The worker's side: requests from standard input, answers to standard output.

use std::{
    io::{self, BufRead as _, Write as _},
    sync::mpsc::{self, Receiver},
    thread,
};

use super::{
    fault::{Fault, Faulty},
    protocol::{Answer, Assignment, Opened, Reply, Request, sayable},
};
use crate::{
    device::{
        self,
        backend::{self, Backend, Preparation},
    },
    outcome::{Exit, sentence},
    search::Bench,
    task::Task,
};

/// Serves requests until there are no more.
///
/// # Errors
/// A line that is no request; an answer that nobody takes.
pub(crate) fn serve() -> anyhow::Result<Exit> {
    let requests = requests();
    let mut request = next(&requests)?;
    if let Some(Request::Find(choice)) = request {
        let found = backend::find(choice);
        let found = found.map(|(about, remark)| Answer::Found { about: Box::new(about), remark });
        answer(found.unwrap_or_else(|error| failed(&error)), None)?;
        request = next(&requests)?;
    }
    let Some(Request::Open(gpu)) = request else { return Ok(Exit::Done) };
    let backend = match backend::open(gpu) {
        Ok(backend) => backend,
        Err(error) => {
            answer(failed(&error), None)?;
            return Ok(Exit::Done);
        }
    };
    let others = backend.conditions().map_or(Vec::new(), |conditions| conditions.others);
    answer(Answer::Opened(Opened { others, remark: backend.remark() }), backend.memory())?;
    let mut request = next(&requests)?;
    while let Some(Request::Prepare(assignment)) = request {
        request = serve_problem(backend.as_ref(), assignment, &requests)?;
    }
    Ok(Exit::Done)
}

/// Prepares a problem and serves requests for it; gives the first one that is for another problem.
fn serve_problem(
    backend: &dyn Backend,
    assignment: Assignment,
    requests: &Receiver<String>,
) -> anyhow::Result<Option<Request>> {
    let answer = |said: Answer| answer(said, backend.memory());
    let Assignment { name, key, choices, seed, ahead } = assignment;
    let task = Task::of_choices(name, &key, &choices);
    let fault = Fault::asked()?.and_then(|fault| fault.aim(&task));
    let spoil = fault.as_ref().and_then(|fault| fault.spoil());
    let mut bench = match backend.bench(&task, Preparation { seed, ahead, spoil }) {
        Ok(bench) => bench,
        Err(error) => {
            answer(failed(&error))?;
            return next(requests);
        }
    };
    if let Some(fault) = fault {
        bench = Box::new(Faulty::new(bench, fault, backend));
    }
    answer(Answer::Prepared)?;
    loop {
        match next(requests)? {
            Some(Request::Check { candidate }) if candidate < choices.len() => {
                answer(check(bench.as_mut(), candidate))?;
            }
            Some(Request::Time { candidate, repetitions }) if candidate < choices.len() => {
                answer(time(bench.as_mut(), candidate, repetitions))?;
            }
            Some(Request::Confirm { candidate }) if candidate < choices.len() => {
                answer(confirm(bench.as_mut(), candidate))?;
            }
            Some(Request::Conditions) => answer(Answer::Conditions(backend.conditions()))?,
            other => return Ok(other),
        }
    }
}

fn check(bench: &mut dyn Bench, candidate: usize) -> Answer {
    bench.check(candidate).map_or_else(Answer::from, |us| Answer::Checked { us })
}

fn time(bench: &mut dyn Bench, candidate: usize, repetitions: u32) -> Answer {
    bench.time(candidate, repetitions).map_or_else(Answer::from, |us| Answer::Timed { us: sayable(&us) })
}

fn confirm(bench: &mut dyn Bench, candidate: usize) -> Answer {
    bench.confirm(candidate).map_or_else(Answer::from, |()| Answer::Confirmed)
}

fn failed(error: &anyhow::Error) -> Answer {
    Answer::Failed { lost: device::is_lost(error), reason: sentence(error) }
}

/// The lines of standard input. When it ends, so does this process, whatever a candidate is doing: who asked is gone.
fn requests() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let sent = io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        if sent.is_ok() {
            end_at_once();
        }
    });
    receiver
}

/// Ends this process without waiting for its device, as an orderly exit might: a kernel may be hanging there.
fn end_at_once() {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    #[cfg(not(unix))]
    std::process::exit(0);
}

fn next(requests: &Receiver<String>) -> anyhow::Result<Option<Request>> {
    requests.recv().ok().map(|line| Ok(serde_json::from_str(&line)?)).transpose()
}

fn answer(answer: Answer, memory: Option<u64>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &Reply { answer, memory })?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
