//! Servers that tests run against, each on a thread of its own.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

/// A runtime on a thread. Dropping it ends all that runs on it, and waits for that.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    /// Gives what `start` gives, which leaves tasks that go on.
    ///
    /// # Panics
    /// If `start` does.
    pub(crate) fn start<T, F>(start: impl FnOnce() -> F + Send + 'static) -> (Self, T)
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let (stop, stopped) = oneshot::channel();
        let (started, is_started) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let _ = started.send(start().await);
                let _ = stopped.await;
            });
        });
        let given = is_started.recv().expect("the server starts");
        (Self { stop: Some(stop), thread: Some(thread) }, given)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
