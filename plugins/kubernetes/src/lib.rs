//! Finds members among the pods of a Kubernetes namespace or service.
//!
//! Without an argument: the pods of the own namespace, all or those that the
//! setting `label-selector` names. With `namespace,service`: the endpoints of that
//! service. The host does the asking; it lists once and is told of each change
//! from then on, so that a look every second costs the API server nothing.
//!
//! Whatever keeps the list from coming is a temporary problem: a member waits, and
//! never takes a refusal for an empty cluster.

#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "called by the glue only"))]

mod pods;
mod target;

use convoke_mode_sdk::kubernetes::{self, KubernetesError};
use convoke_mode_sdk::{LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode};

use pods::Pods;
use target::Target;

/// Until another look: it costs the API server nothing, since the host lists and watches by
/// itself.
const LOOK_AGAIN_MS: u32 = 1_000;

/// The mode: what it asks for, and what it told.
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
