//! Lanes: one coroutine for each thread of a block.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};

use super::{
    machine::{self, Machine},
    report::Source,
};

/// Bytes of a lane's stack, with a guard page below. Only touched pages take memory.
const STACK: usize = 256 * 1024;

thread_local! {
    /// Stacks that no lane uses, kept from run to run.
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    /// Whether a lane runs on this OS thread.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of a lane came from.
    static PANIC: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// How a lane suspends itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Handle(Option<*const Yielder<(), ()>>);

/// What became of a lane that was resumed.
pub(super) enum Step {
    /// It waits.
    Suspended,
    /// The kernel's body has returned.
    Ended,
    /// The kernel's body has panicked: the message, and where.
    Panicked(String, Option<Source>),
}

/// A thread of a block, running `body` on a stack of its own.
pub(super) struct Lane<'body> {
    coroutine: Coroutine<(), (), ()>,
    body: PhantomData<&'body dyn Fn()>,
}

impl<'body> Lane<'body> {
    pub(super) fn new(body: &'body dyn Fn()) -> io::Result<Self> {
        let stack = match STACKS.with_borrow_mut(Vec::pop) {
            Some(stack) => stack,
            None => DefaultStack::new(STACK)?,
        };
        let run = move |yielder: &Yielder<(), ()>, ()| {
            machine::with(|machine| {
                let thread = usize::from(machine.current);
                machine.threads[thread].handle = Handle(Some(std::ptr::from_ref(yielder)));
            });
            body();
        };
        // SAFETY: `run` borrows `body` alone, which outlives the coroutine: `'body` stands in the type, and the
        // coroutine, once dropped, has unwound its stack and runs no more.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, run) };
        Ok(Self { coroutine, body: PhantomData })
    }

    /// Runs the lane until it waits or ends.
    pub(super) fn resume(&mut self) -> Step {
        RUNNING.set(true);
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.coroutine.resume(())));
        RUNNING.set(false);
        match result {
            Ok(CoroutineResult::Yield(())) => Step::Suspended,
            Ok(CoroutineResult::Return(())) => Step::Ended,
            Err(payload) => Step::Panicked(message(payload.as_ref()), PANIC.take()),
        }
    }

    /// Keeps the stack of a lane that has ended.
    pub(super) fn retire(self) {
        if self.coroutine.done() {
            STACKS.with_borrow_mut(|stacks| stacks.push(self.coroutine.into_stack()));
        }
    }
}

impl Handle {
    /// Suspends the lane that runs, whose own handle this must be.
    pub(super) fn suspend(self) {
        if let Some(yielder) = self.0 {
            // SAFETY: handles are made in `Lane::new` alone, of a yielder that lives on the lane's stack until its
            // body has returned, and are handed to the lane that runs alone, by [`Machine::handle`].
            unsafe { (*yielder).suspend(()) };
        }
    }

    /// Suspends the lane for good: the launch has been stopped, and the lane will be unwound.
    pub(super) fn park(self) -> ! {
        loop {
            self.suspend();
        }
    }
}

impl Machine {
    /// The handle of the lane that runs: `current` is set before a lane is resumed.
    pub(super) fn handle(&self) -> Handle {
        self.threads[usize::from(self.current)].handle
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// Has panics of lanes noted instead of printed: they become findings. Other panics go where they went.
pub(super) fn catch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNNING.get() {
                PANIC.set(info.location().map(Source::from));
            } else {
                previous(info);
            }
        }));
    });
}
