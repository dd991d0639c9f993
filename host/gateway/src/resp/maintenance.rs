//! What clients ask for with `CLIENT MAINT_NOTIFICATIONS`, and the leave that is announced to them.

/// The kind of endpoint that a client wants to be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointType {
    InternalIp,
    InternalFqdn,
    ExternalIp,
    ExternalFqdn,
    /// None: it connects to its configured address again, after half of the time.
    None,
}

impl EndpointType {
    pub(crate) fn parse(word: &[u8]) -> Option<Self> {
        Some(match &*word.to_ascii_lowercase() {
            b"internal-ip" => Self::InternalIp,
            b"internal-fqdn" => Self::InternalFqdn,
            b"external-ip" => Self::ExternalIp,
            b"external-fqdn" => Self::ExternalFqdn,
            b"none" => Self::None,
            _ => return None,
        })
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscribed {
    pub(crate) endpoint_type: EndpointType,
    /// It was sent an announcement.
    pub(crate) is_announced: bool,
}

/// The leave of this member.
#[derive(Clone, Debug)]
pub(crate) struct Leave {
    /// When it was announced, in [`Server::elapsed_ms`].
    pub(crate) since_ms: u64,
    /// The same for all clients: those that have moved already ignore it.
    pub(crate) sequence: u64,
    /// The partitions whose slots this node of a Redis Cluster had.
    pub(crate) partitions: Vec<u16>,
}
