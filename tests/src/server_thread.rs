//! Threads for the servers that tests run against.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

/// A runtime on its own thread. Dropping it stops all its tasks and waits for the thread.
#[derive(Debug)]
pub(crate) struct ServerThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl ServerThread {
    /// Runs `start` on the runtime and returns its result; tasks that it spawns keep running.
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
        let result = is_started.recv().expect("the server starts");
        (Self { stop: Some(stop), thread: Some(thread) }, result)
    }
}

impl Drop for ServerThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
