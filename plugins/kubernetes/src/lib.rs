//! Finds members among the pods of a Kubernetes namespace or service.
//!
//! Without an argument, the candidates are the pods of the member's own namespace, all or those
//! that match the setting `label-selector`. With `namespace,service`, they are the endpoints of
//! that service. The host makes the API requests: it lists once and then watches for changes,
//! so that calling `discover` every second sends no requests.
//!
//! Any failure to list is a temporary problem: a member waits, and never treats a denial as an
//! empty cluster.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod pods;
mod target;

use convoke_mode_sdk::kubernetes::{self, KubernetesError};
use convoke_mode_sdk::{LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode};

use pods::Pods;
use target::Target;

/// Interval of calls, in milliseconds. A call sends no request to the API server.
const LOOK_AGAIN_MS: u32 = 1_000;

/// The mode: its query, and which warnings have been logged.
struct Kubernetes {
    pods: Pods,
}

impl Mode for Kubernetes {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        let target = Target::read(&config).map_err(Problem::Misconfigured)?;
        Ok(Self { pods: Pods::new(target, me.addresses) })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let answer = kubernetes::list_pods(&self.pods.target().query()).map_err(problem)?;
        let candidates = self.pods.candidates(&answer)?;
        Ok(Snapshot { candidates, complete: false, look_again_ms: Some(LOOK_AGAIN_MS) })
    }
}

fn problem(error: KubernetesError) -> Problem {
    match error {
        KubernetesError::Denied => {
            Problem::Denied("reading pods of this namespace is not granted".to_owned())
        }
        KubernetesError::NotInCluster(text)
        | KubernetesError::Unauthorized(text)
        | KubernetesError::Forbidden(text)
        | KubernetesError::NotFound(text)
        | KubernetesError::Temporary(text) => Problem::Temporary(text),
        KubernetesError::Other(text) => Problem::Failed(text),
    }
}

export_mode!(Kubernetes);
