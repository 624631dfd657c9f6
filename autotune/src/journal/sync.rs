//! Syncing beside the search: what is written goes to the disk at once, and nobody waits for it.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
};

/// A thread that syncs a file whenever something has been written.
#[derive(Debug)]
pub(super) struct Syncer {
    /// Holds one wish at the most: the sync that is still to begin serves all who have written before.
    wishes: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    error: Arc<Mutex<Option<io::Error>>>,
}

impl Syncer {
    /// Begins, with `file`.
    pub(super) fn new(file: File) -> Self {
        let (wishes, wished) = mpsc::sync_channel(1);
        let error = Arc::<Mutex<Option<io::Error>>>::default();
        let met = Arc::clone(&error);
        let thread = thread::spawn(move || {
            while wished.recv().is_ok() {
                if let Err(error) = file.sync_data() {
                    *met.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        });
        Self { wishes: Some(wishes), thread: Some(thread), error }
    }

    /// Has what is written by now synced.
    ///
    /// # Errors
    /// Those of an earlier sync.
    pub(super) fn wish(&self) -> io::Result<()> {
        if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        match self.wishes.as_ref().map(|wishes| wishes.try_send(())) {
            Some(Ok(()) | Err(TrySendError::Full(()))) => Ok(()),
            _ => Err(io::Error::other("nobody syncs it any longer")),
        }
    }
}

/// Waits until everything is on the disk.
impl Drop for Syncer {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
