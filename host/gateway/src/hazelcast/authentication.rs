//! Authentication of clients: by the name of the cluster, and by a password if there is one.

use std::sync::atomic::Ordering;

use convoke_hazelcast::codec::List;
use convoke_hazelcast::codec::client::{
    AUTHENTICATED, AuthenticationResponse, CREDENTIALS_FAILED, SERIALIZATION_VERSION_MISMATCH,
};
use convoke_hazelcast::codec::structures::Address;
use convoke_text::escaped;
use uuid::Uuid;

use super::session::Session;
use super::settings::HAZELCAST_VERSION;
use super::view;
use crate::trust::Trust;

/// Version of the serialization of keys and values.
const SERIALIZATION_VERSION: u8 = 1;

/// Maximum length of a cluster name in the log, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// What a client presents.
pub(super) struct Credentials<'a> {
    /// The id of the client.
    pub(super) uuid: Option<Uuid>,
    pub(super) serialization_version: u8,
    pub(super) cluster_name: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a [u8]>,
}

/// Why a client is refused.
enum Refusal {
    ClusterName,
    NoPassword,
    Password,
    SerializationVersion,
    TooManyClients,
}

impl Refusal {
    fn status(&self) -> u8 {
        match self {
            Self::SerializationVersion => SERIALIZATION_VERSION_MISMATCH,
            _ => CREDENTIALS_FAILED,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::ClusterName => "wrong cluster name",
            Self::NoPassword => "it has no password",
            Self::Password => "wrong user name or password",
            Self::SerializationVersion => "unknown version of serialization",
            Self::TooManyClients => "too many clients",
        }
    }
}

/// Authenticates a client, and passes the response to `respond`. Returns whether it is admitted.
pub(super) fn authenticate(
    session: &mut Session,
    credentials: &Credentials<'_>,
    respond: impl FnOnce(&AuthenticationResponse<'_>),
) -> bool {
    let admitted = admit(session, credentials);
    let refused = |status| AuthenticationResponse {
        status,
        member_uuid: None,
        serialization_version: SERIALIZATION_VERSION,
        partition_count: 0,
        cluster_id: None,
        failover_supported: false,
        member_list_version: -1,
        partition_list_version: -1,
        address: None,
        server_hazelcast_version: HAZELCAST_VERSION,
        tpc_ports: None,
        tpc_token: None,
        member_infos: List::default(),
        partitions: convoke_hazelcast::codec::PartitionTable::default(),
        key_value_pairs: List::default(),
    };
    if let Err(refusal) = admitted {
        log_refusal(session, credentials, &refusal);
        respond(&refused(refusal.status()));
        return false;
    }
    let server = &session.server;
    let me = view::uuid(server.grid.me());
    let pairs = [("clusterVersion", "5.7")];
    let view = server.view();
    // Clients in Java take the members from here.
    view.with_address(me, |address| {
        view.with_members(|member_infos| {
            view.with_partitions(|partitions| {
                respond(&AuthenticationResponse {
                    member_uuid: Some(me),
                    partition_count: server.grid.partitions().into(),
                    cluster_id: view::cluster_id(&server.grid),
                    member_list_version: view.members_version,
                    partition_list_version: view.partitions_version,
                    address: address.map(|(host, port)| Address { port: port.into(), host }),
                    member_infos,
                    partitions,
                    key_value_pairs: List::from(&pairs),
                    ..refused(AUTHENTICATED)
                });
            });
        });
    });
    true
}

fn admit(session: &mut Session, credentials: &Credentials<'_>) -> Result<(), Refusal> {
    let settings = &session.server.settings;
    if credentials.cluster_name != settings.cluster_name {
        return Err(Refusal::ClusterName);
    }
    if credentials.serialization_version != SERIALIZATION_VERSION {
        return Err(Refusal::SerializationVersion);
    }
    let passwords = &settings.passwords;
    let trust = match (passwords.trust_without_password(), credentials.password) {
        // Clients may be configured with any user name while there are no passwords.
        (Trust::Full, _) => Trust::Full,
        (_, None) => return Err(Refusal::NoPassword),
        (_, Some(password)) => {
            let user = credentials.user.map(str::as_bytes).filter(|user| !user.is_empty());
            passwords.trust_of(user, password).ok_or(Refusal::Password)?
        }
    };
    let uuid = credentials.uuid.unwrap_or_else(Uuid::now_v7);
    if session.set_authenticated(uuid, trust) { Ok(()) } else { Err(Refusal::TooManyClients) }
}

fn log_refusal(session: &Session, credentials: &Credentials<'_>, refusal: &Refusal) {
    let server = &session.server;
    server.counters.refused.fetch_add(1, Ordering::Relaxed);
    let reason = match refusal {
        Refusal::ClusterName => format!(
            "its cluster name is {:?}, and not {:?}",
            escaped(credentials.cluster_name, NAME_BYTES_MAX),
            server.settings.cluster_name
        ),
        refusal => refusal.text().to_owned(),
    };
    server.refusals.add(session.info.peer, reason);
}
