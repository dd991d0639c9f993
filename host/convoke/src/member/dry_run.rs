//! Looking for members without joining.

use std::net::SocketAddr;
use std::sync::Arc;

use convoke_discovery::LocalMember;
use convoke_membership::{Member, MemberId};
use convoke_wire::ClusterKeys;

use super::addresses::advertised;
use super::choice::{choose_interface, preferences};
use super::identity::{AdvertisedPorts, derive_keys, introduce, local_member};
use super::public;
use crate::interfaces::Choice;
use crate::settings::Settings;

/// The context of a dry run, which looks for members without joining.
pub(crate) struct DryRun {
    pub(crate) choice: Choice,
    pub(crate) me: Member,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) local: LocalMember,
}

impl DryRun {
    /// Binds nothing: determines the address that a member with these settings would use.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, String> {
        let choice = choose_interface(settings, &preferences(settings)).await?;
        let id = MemberId::new_now();
        let bound = [SocketAddr::new(choice.primary.ip, settings.start_port)];
        let public = public::look_up_once(settings, settings.start_port).await?;
        let me = introduce(settings, id, advertised(&public, &bound), AdvertisedPorts::default());
        let keys = derive_keys(settings, &choice).await?;
        // Port 0, so that no member is mistaken for this process.
        let local = LocalMember { port: 0, ..local_member(settings, &me) };
        Ok(Self { choice, me, keys, local })
    }
}
