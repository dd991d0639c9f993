//! The contents of `/metrics`, in the order of the output.

mod exposition;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use convoke_discovery::ModeStatus;
use convoke_gateway::{hazelcast, resp};
use convoke_grid::{Grid, Map};
use convoke_membership::View;

use crate::member::state::{Counters, MemberState};
use Kind::{Counter, Gauge};
use exposition::{Exposition, Kind};

/// The sources of the values.
pub(crate) struct Sources<'a> {
    pub(crate) member_state: &'a MemberState,
    pub(crate) is_ready: bool,
    pub(crate) counters: &'a Counters,
    pub(crate) grid: &'a Grid,
    /// `None` when RESP is turned off.
    pub(crate) resp: Option<&'a resp::server::Server>,
    /// `None` when there is no port for clients of Hazelcast.
    pub(crate) hazelcast: Option<&'a hazelcast::Server>,
    pub(crate) modes: &'a [ModeStatus],
}

/// All metrics, in the text format of Prometheus.
pub(crate) fn text(sources: &Sources<'_>) -> String {
    let mut text = Exposition::default();
    membership(&mut text, sources);
    if let Some(resp) = sources.resp {
        clients(&mut text, resp);
    }
    if let Some(server) = sources.hazelcast {
        hazelcast_clients(&mut text, server);
    }
    data(&mut text, sources);
    let round_trips = &sources.counters.round_trips;
    text.histogram(
        "probe_round_trip_seconds",
        "Round-trip time of failure detector probes.",
        round_trips.buckets_s(),
        round_trips.sum_s(),
    );
    maps(&mut text, &sources.grid.maps());
    modes(&mut text, sources.modes);
    text.finish()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn membership(text: &mut Exposition, sources: &Sources<'_>) {
    let Sources { member_state, is_ready, counters, .. } = sources;
    let view = member_state.view.as_ref();
    let is_coordinator = view.is_some_and(|view| view.coordinator().id == member_state.me.id);
    let of_view = |value: fn(&View) -> u64| view.map_or(0, value);
    let streams = counters.links.load(Ordering::Relaxed) as u64;
    let candidates = counters.candidates.load(Ordering::Relaxed) as u64;
    for (kind, name, help, value) in [
        (Gauge, "members", "Members in the view.", of_view(|view| view.len() as u64)),
        (
            Gauge,
            "data_members",
            "Members that store data.",
            of_view(|view| view.data_members() as u64),
        ),
        (Gauge, "view_epoch", "Epoch of the view.", of_view(|view| view.id.epoch.into())),
        (Gauge, "view_version", "Version of the view.", of_view(|view| view.id.version.into())),
        (Gauge, "coordinator", "1 on the coordinator.", is_coordinator.into()),
        (Gauge, "ready", "1 while this member is ready.", (*is_ready).into()),
        (Gauge, "streams", "Members with an open stream.", streams),
        (Gauge, "candidates", "Candidates that the modes currently report.", candidates),
        (
            Counter,
            "candidate_calls_total",
            "Connection attempts to candidates.",
            load(&counters.probes),
        ),
        (Counter, "members_lost_total", "Members that were lost.", load(&counters.lost)),
        (
            Counter,
            "foreign_datagrams_total",
            "Datagrams to the member port that did not authenticate.",
            load(&counters.foreign),
        ),
        (
            Counter,
            "replayed_datagrams_total",
            "Datagrams that were received twice.",
            load(&counters.replayed),
        ),
        (
            Counter,
            "malformed_datagrams_total",
            "Datagrams of this cluster that could not be read.",
            load(&counters.malformed),
        ),
        (
            Counter,
            "refused_callers_total",
            "Connections to the member port that were refused.",
            load(&counters.refused),
        ),
    ] {
        text.value(kind, name, help, value);
    }
}

fn clients(text: &mut Exposition, resp: &resp::server::Server) {
    let counters = &resp.counters;
    text.value(Gauge, "resp_clients", "RESP clients.", resp.clients() as u64);
    for (name, help, counter) in [
        ("resp_accepted_total", "RESP clients that were accepted.", &counters.accepted),
        (
            "resp_turned_away_total",
            "RESP clients refused because of max-clients.",
            &counters.turned_away,
        ),
        (
            "resp_cut_off_total",
            "RESP clients disconnected because they read too slowly.",
            &counters.cut_off,
        ),
        (
            "resp_wrong_passwords_total",
            "Failed authentications of RESP clients.",
            &counters.wrong_passwords,
        ),
    ] {
        text.value(Counter, name, help, load(counter));
    }
    let commands = counters.commands.sum();
    text.value(Counter, "resp_commands_total", "Commands of RESP clients.", commands);
}

fn hazelcast_clients(text: &mut Exposition, server: &hazelcast::Server) {
    let counters = &server.counters;
    let connections = server.connections() as u64;
    text.value(Gauge, "hazelcast_connections", "Connections of Hazelcast clients.", connections);
    for (name, help, counter) in [
        (
            "hazelcast_accepted_total",
            "Connections of Hazelcast clients that were accepted.",
            &counters.accepted,
        ),
        (
            "hazelcast_turned_away_total",
            "Connections of Hazelcast clients refused because of max-clients.",
            &counters.turned_away,
        ),
        (
            "hazelcast_cut_off_total",
            "Connections of Hazelcast clients closed because they read too slowly.",
            &counters.cut_off,
        ),
        (
            "hazelcast_refused_total",
            "Hazelcast clients refused because of their cluster name or password.",
            &counters.refused,
        ),
        ("hazelcast_requests_total", "Requests of Hazelcast clients.", &counters.requests),
        (
            "hazelcast_topic_published_total",
            "Messages that Hazelcast clients published on topics.",
            &counters.published,
        ),
        (
            "hazelcast_topic_delivered_total",
            "Messages of topics that were passed on to Hazelcast clients.",
            &counters.delivered,
        ),
    ] {
        text.value(Counter, name, help, load(counter));
    }
}

fn data(text: &mut Exposition, sources: &Sources<'_>) {
    let Sources { grid, counters, .. } = sources;
    let (complete, required) = grid.progress();
    for (kind, name, help, value) in [
        (
            Gauge,
            "data_safe",
            "1 while every partition has all its replicas.",
            grid.is_safe().into(),
        ),
        (
            Gauge,
            "data_writes_refused",
            "1 while writes are refused because there are fewer members than --min-members.",
            grid.missing_members().is_some().into(),
        ),
        (
            Counter,
            "data_lost_partitions_total",
            "Partitions that lost all complete replicas.",
            load(&counters.lost_partitions),
        ),
        (Gauge, "data_copies_complete", "Partition replicas that are complete.", complete as u64),
        (Gauge, "data_copies_wanted", "Partition replicas that are required.", required as u64),
    ] {
        text.value(kind, name, help, value);
    }
}

fn maps(text: &mut Exposition, maps: &[Arc<Map>]) {
    let bytes = "Bytes of keys, values and tables on this member.";
    let evicted = "Entries that this member evicted.";
    let expired = "Entries that expired on this member.";
    let mut each = |kind, name, help, value: fn(&Map) -> u64| {
        text.labelled(kind, name, help, "map", maps.iter().map(|map| (&*map.name, value(map))));
    };
    each(Gauge, "map_bytes", bytes, |map| map.bytes());
    each(Counter, "map_evicted_total", evicted, |map| map.evicted());
    each(Counter, "map_expired_total", expired, |map| map.expired());
}

fn modes(text: &mut Exposition, modes: &[ModeStatus]) {
    let looks = "Successful lookups of a mode.";
    let restarts = "Restarts of a mode after a failure.";
    let candidates = "Candidates in a mode's last lookup.";
    let mut each = |kind, name, help, value: fn(&ModeStatus) -> u64| {
        let values = modes.iter().map(|mode| (mode.name.as_str(), value(mode)));
        text.labelled(kind, name, help, "mode", values);
    };
    each(Counter, "mode_looks_total", looks, |mode| mode.looks);
    each(Counter, "mode_restarts_total", restarts, |mode| mode.restarts);
    each(Gauge, "mode_candidates", candidates, |mode| {
        mode.last_snapshot.map_or(0, |snapshot| snapshot.candidates as u64)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{CommandLine, Settings};
    use convoke_membership::{Member, MemberId};

    /// The report of a single member with a map of this name. Needs a runtime.
    fn reported(map: &str) -> String {
        let given = CommandLine::read(["convoke".into()]).unwrap();
        let settings = Settings::resolve(given).unwrap();
        let me = Member {
            id: MemberId::from_bytes([1; 16]),
            addresses: vec![([127, 0, 0, 1], 6900).into()],
            name: "m".into(),
            group: "g".into(),
            lite: false,
            modes: String::new(),
            http: None,
            resp: None,
            hazelcast: None,
            generation: 1,
            age: 1,
        };
        let (counters, changed) = (Arc::default(), Arc::default());
        let grid = crate::member::data::grid(me.id, &settings.data, None, &counters, &changed);
        grid.open(map).unwrap();
        text(&Sources {
            member_state: &MemberState {
                view: Some(View::founded_by(me.clone())),
                me,
                hello: [].into(),
                suspects: Arc::default(),
                leaving: false,
                refusal: None,
            },
            is_ready: true,
            counters: &counters,
            grid: &grid,
            resp: None,
            hazelcast: None,
            modes: &[],
        })
    }

    #[tokio::test]
    async fn a_map_with_any_name_is_one_line() {
        let text = reported("a\"} 1\nb\\");
        let of_maps: Vec<&str> =
            text.lines().filter(|line| line.starts_with("convoke_map_")).collect();
        let label = "{map=\"a\\\"} 1\\nb\\\\\"}";
        assert_eq!(
            of_maps,
            [
                format!("convoke_map_bytes{label} 0"),
                format!("convoke_map_evicted_total{label} 0"),
                format!("convoke_map_expired_total{label} 0"),
            ]
        );
    }

    #[tokio::test]
    async fn a_metric_keeps_its_name_and_type() {
        let text = reported("a");
        let types: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE convoke_")).collect();
        assert_eq!(
            types,
            [
                "members gauge",
                "data_members gauge",
                "view_epoch gauge",
                "view_version gauge",
                "coordinator gauge",
                "ready gauge",
                "streams gauge",
                "candidates gauge",
                "candidate_calls_total counter",
                "members_lost_total counter",
                "foreign_datagrams_total counter",
                "replayed_datagrams_total counter",
                "malformed_datagrams_total counter",
                "refused_callers_total counter",
                "data_safe gauge",
                "data_writes_refused gauge",
                "data_lost_partitions_total counter",
                "data_copies_complete gauge",
                "data_copies_wanted gauge",
                "probe_round_trip_seconds histogram",
                "map_bytes gauge",
                "map_evicted_total counter",
                "map_expired_total counter",
                "mode_looks_total counter",
                "mode_restarts_total counter",
                "mode_candidates gauge",
            ]
        );
        assert!(
            text.contains("\nconvoke_members 1\n") && text.contains("\nconvoke_coordinator 1\n")
        );
    }
}
