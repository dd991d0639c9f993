//! The thread on which modes run, separate from everything else in a member.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// One thread for all modes. They take turns at every tick, so a mode in an endless loop delays
/// the others by one tick at a time.
#[derive(Debug)]
pub(crate) struct ModeThread(Option<Runtime>);

impl ModeThread {
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("modes").enable_all();
        builder.build().map(|runtime| Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Handle {
        match &self.0 {
            Some(runtime) => runtime.handle().clone(),
            None => Handle::current(),
        }
    }
}

impl Drop for ModeThread {
    /// Shuts the runtime down without waiting, since the dropping thread may belong to a
    /// runtime and must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
