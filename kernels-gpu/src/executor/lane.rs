//! Lanes: one coroutine for each thread of a block.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    process,
    sync::Once,
    thread,
};

use corosensei::{Coroutine, CoroutineResult, Yielder, stack::DefaultStack};

use super::report::Source;

/// Bytes of a lane's stack, with a guard page below. Only touched pages take memory.
const STACK: usize = 256 * 1024;

thread_local! {
    /// Stacks that no lane uses, kept from run to run.
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
    /// How the lane that runs on this OS thread suspends itself; nothing while none runs, or one is dropped. Set by
    /// the lane itself, whenever it is resumed, and cleared when it is left.
    static YIELDER: Cell<Option<*const Yielder<(), ()>>> = const { Cell::new(None) };
    /// Where the last panic of a lane came from.
    static PANIC: RefCell<Option<Source>> = const { RefCell::new(None) };
}

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
            YIELDER.set(Some(std::ptr::from_ref(yielder)));
            body();
        };
        // SAFETY: `run` borrows `body` alone, which outlives the coroutine: `'body` stands in the type, and the
        // coroutine, once dropped, has unwound its stack and runs no more.
        let coroutine = unsafe { Coroutine::with_stack_unchecked(stack, run) };
        Ok(Self { coroutine, body: PhantomData })
    }

    /// Runs the lane until it waits or ends.
    pub(super) fn resume(&mut self) -> Step {
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.coroutine.resume(())));
        YIELDER.set(None);
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

/// Suspends the lane that runs, until it is resumed. A lane that is dropped instead is unwound from here.
pub(super) fn suspend() {
    let own = YIELDER.get().expect("operations of a lane that is unwound do nothing");
    // SAFETY: a lane that runs has set the yielder to its own, which lives on its stack until its body has returned.
    unsafe { (*own).suspend(()) };
    YIELDER.set(Some(own));
}

/// Whether the calling code is a destructor of a lane that is being unwound, by a panic or since the launch has been
/// stopped. Operations do nothing there: a lane that is dropped cannot wait, and one that panics must not, since who
/// unwinds is counted per OS thread.
///
/// A kernel that catches the unwinding of a stopped launch and goes on has nothing to go on with: the process aborts.
pub(super) fn is_unwinding() -> bool {
    let unwinding = thread::panicking();
    if !unwinding && YIELDER.get().is_none() {
        eprintln!("a kernel has caught the unwinding of a launch that has been stopped, and goes on");
        process::abort();
    }
    unwinding
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
            if YIELDER.get().is_some() {
                PANIC.set(info.location().map(Source::from));
            } else {
                previous(info);
            }
        }));
    });
}
