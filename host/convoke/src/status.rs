//! The status of this member for the HTTP server: `/status`, and the pages of a domain server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use convoke_discovery::ModeStatus;
use convoke_gateway::Node;
use convoke_gateway::admin::{Health, MemberRow, ModeRow, Overview};
use convoke_gateway::http::Web;
use convoke_gateway::{hazelcast, resp};
use convoke_grid::Grid;
use convoke_membership::{JoinRefusal, Member, Service, View};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::member::state::{Counters, MemberState};
use crate::{describe, metrics};

/// Everything that the endpoints read.
pub(crate) struct Status {
    pub(crate) cluster_name: String,
    pub(crate) member_state: watch::Receiver<Arc<MemberState>>,
    /// Set once the modes run.
    pub(crate) modes: OnceLock<Vec<watch::Receiver<ModeStatus>>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) grid: Grid,
    /// `None` when RESP is turned off.
    pub(crate) resp: Option<Arc<resp::server::Server>>,
    /// `None` when there is no port for clients of Hazelcast.
    pub(crate) hazelcast: Option<Arc<hazelcast::Server>>,
    /// Set once the HTTP server runs.
    pub(crate) web: OnceLock<Weak<Web>>,
    /// True while this host has no usable address.
    pub(crate) is_addressless: AtomicBool,
    /// True after the operator asked this member to leave.
    pub(crate) leaving: AtomicBool,
}

impl Status {
    fn modes(&self) -> Vec<ModeStatus> {
        self.modes.get().into_iter().flatten().map(|status| status.borrow().clone()).collect()
    }

    /// Whether all partitions have all their replicas.
    fn copies(&self) -> Value {
        let (complete, required) = self.grid.progress();
        json!({
            "safe": self.grid.is_safe(),
            "writes": if self.grid.missing_members().is_some() { "refused" } else { "accepted" },
            "table": self.grid.table().map(|table| table.stamp.to_string()),
            "partitions": self.grid.partitions(),
            "copies": { "complete": complete, "wanted": required },
            "lost": self.counters.lost_here.load(Ordering::Relaxed),
        })
    }

    /// The stored data, and whether all partitions have all their replicas.
    fn data(&self) -> Value {
        let table = self.grid.table();
        let me = self.grid.me();
        let (mut primary, mut backup) = (0, 0);
        for partition in table.iter().flat_map(|table| &table.partitions) {
            if partition.primary() == Some(me) {
                primary += 1;
            } else if partition.of(me).is_some() {
                backup += 1;
            }
        }
        let maps: Vec<Value> = self
            .grid
            .maps()
            .iter()
            .map(|map| {
                json!({
                    "name": map.name,
                    "bytes": map.bytes(),
                    "evicted": map.evicted(),
                    "expired": map.expired(),
                })
            })
            .collect();
        let mut data = self.copies();
        data["primary"] = primary.into();
        data["backup"] = backup.into();
        data["maps"] = maps.into();
        data
    }

    /// RESP clients.
    fn clients(&self) -> Value {
        let Some(resp) = &self.resp else { return Value::Null };
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        json!({
            "connected": resp.clients(),
            "accepted": load(&resp.counters.accepted),
            "turned_away": load(&resp.counters.turned_away),
            "cut_off": load(&resp.counters.cut_off),
            "wrong_passwords": load(&resp.counters.wrong_passwords),
            "commands": resp.counters.commands.sum(),
        })
    }

    /// Clients of Hazelcast.
    fn hazelcast_clients(&self) -> Value {
        let Some(server) = &self.hazelcast else { return Value::Null };
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &server.counters;
        json!({
            "connected": server.connections(),
            "accepted": load(&counters.accepted),
            "turned_away": load(&counters.turned_away),
            "cut_off": load(&counters.cut_off),
            "refused": load(&counters.refused),
            "requests": load(&counters.requests),
        })
    }

    fn row(&self, member_state: &MemberState, view: &View, member: &Member) -> MemberRow {
        let started_ms = i64::try_from(member.id.started_at_ms()).unwrap_or(i64::MAX);
        let started = Timestamp::from_millisecond(started_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let up_ms = Timestamp::now().as_millisecond().saturating_sub(started_ms);
        let ip = member.address().ip();
        MemberRow {
            name: member.name.clone(),
            group: member.group.clone(),
            id: member.id.to_string(),
            address: member.address().to_string(),
            http: member.http.as_ref().map(|http| http.address(ip)),
            lite: member.lite,
            this: member.id == member_state.me.id,
            coordinator: member.id == view.coordinator().id,
            since: format!("{started:.0}"),
            up_ms: up_ms.max(0).unsigned_abs(),
            found_by: member.modes.clone(),
            health: health(member_state, member),
        }
    }
}

fn port(service: &Option<Service>) -> Option<u16> {
    service.as_ref().map(|service| service.port)
}

fn health(member_state: &MemberState, member: &Member) -> Health {
    if member_state.suspects.contains(&member.id) { Health::Suspected } else { Health::Alive }
}

impl Status {
    /// Announces to clients that asked for it that this member leaves. It must go on to serve them.
    pub(crate) fn announce_leave(&self) {
        if let Some(resp) = &self.resp {
            resp.announce_leave();
        }
    }

    /// Waits for a bounded time until these clients have moved to other members. The data must have
    /// been handed over.
    pub(crate) async fn await_moves(&self) {
        if let Some(resp) = &self.resp {
            resp.await_moves().await;
        }
    }

    /// Completes requests in progress, and accepts no further ones.
    pub(crate) async fn finish_clients(&self) {
        let web = self.web.get().and_then(Weak::upgrade);
        let finish_web = async {
            if let Some(web) = web {
                web.finish().await;
            }
        };
        let finish_resp = async {
            if let Some(resp) = &self.resp {
                resp.finish().await;
            }
        };
        let finish_hazelcast = async {
            if let Some(server) = &self.hazelcast {
                server.finish().await;
            }
        };
        tokio::join!(finish_web, finish_resp, finish_hazelcast);
    }

    /// Whether the other members refuse this one, which is logged.
    pub(crate) fn is_refused(&self) -> bool {
        self.member_state.borrow().refusal.is_some()
    }
}

impl Node for Status {
    fn unready(&self) -> Option<String> {
        let member_state = self.member_state.borrow();
        let load = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if member_state.leaving || load(&self.leaving) {
            return Some("leaving".to_owned());
        }
        if load(&self.is_addressless) {
            return Some("this host has no usable address".to_owned());
        }
        match &member_state.refusal {
            // A cluster that another cluster refuses to merge with stays ready.
            Some(JoinRefusal::Differs(_)) if member_state.view.is_some() => None,
            Some(why) => {
                Some(format!("join refused: {}", describe::refusal(why, &member_state.me)))
            }
            None => member_state.view.is_none().then(|| "not in a cluster".to_owned()),
        }
    }

    fn status(&self) -> Value {
        let member_state = self.member_state.borrow().clone();
        let (me, cluster) = (&member_state.me, self.members());
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        json!({
            "member": {
                "id": me.id.to_string(),
                "name": me.name,
                "group": me.group,
                "lite": me.lite,
                "address": me.address().to_string(),
                "http_port": port(&me.http),
                "resp_port": self.resp.as_ref().map(|resp| resp.port()),
                "hazelcast_port": self.hazelcast.as_ref().map(|server| server.port()),
                "ready": self.unready().is_none(),
            },
            "cluster": cluster,
            "refused": member_state.refusal.as_ref().map(|why| describe::refusal(why, me)),
            "data": self.data(),
            "clients": self.clients(),
            "hazelcast_clients": self.hazelcast_clients(),
            "modes": self.modes(),
            "counters": {
                "foreign_datagrams": load(&counters.foreign),
                "replayed_datagrams": load(&counters.replayed),
                "malformed_datagrams": load(&counters.malformed),
                "refused_callers": load(&counters.refused),
                "members_lost": load(&counters.lost),
                "streams": counters.links.load(Ordering::Relaxed),
                "candidates": counters.candidates.load(Ordering::Relaxed),
                "candidate_calls": load(&counters.probes),
            },
        })
    }

    fn members(&self) -> Value {
        let member_state = self.member_state.borrow().clone();
        let Some(view) = &member_state.view else { return Value::Null };
        let members: Vec<Value> = view
            .members()
            .iter()
            .map(|m| {
                json!({
                    "id": m.id.to_string(),
                    "address": m.address().to_string(),
                    "addresses": m.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "name": m.name,
                    "group": m.group,
                    "lite": m.lite,
                    "modes": m.modes,
                    "http_port": port(&m.http),
                    "http_address": m.http.as_ref().map(|http| http.address(m.address().ip())),
                    "resp_port": port(&m.resp),
                    "resp_address": m.resp.as_ref().map(|resp| resp.address(m.address().ip())),
                    "hazelcast_port": port(&m.hazelcast),
                    "hazelcast_address":
                        m.hazelcast.as_ref().map(|service| service.address(m.address().ip())),
                    "age": m.age,
                    "started_at_ms": m.id.started_at_ms(),
                    "health": health(&member_state, m),
                    "this": m.id == member_state.me.id,
                })
            })
            .collect();
        json!({
            "name": self.cluster_name,
            "epoch": view.id.epoch,
            "version": view.id.version,
            "size": view.len(),
            "data_members": view.data_members(),
            "coordinator": view.coordinator().id.to_string(),
            "members": members,
        })
    }

    fn partitions(&self) -> Value {
        self.copies()
    }

    fn overview(&self) -> Overview {
        let member_state = self.member_state.borrow().clone();
        let view = member_state.view.as_ref();
        let members = view.map(|view| {
            let row = |member: &Arc<Member>| self.row(&member_state, view, member);
            view.members().iter().map(row).collect()
        });
        let problem = |mode: &ModeStatus| {
            let problem = mode.last_problem.as_ref().map(ToString::to_string);
            problem.or_else(|| mode.last_trap.clone()).unwrap_or_default()
        };
        let modes = self.modes().into_iter().map(|mode| ModeRow {
            state: mode.state.to_string(),
            candidates: mode.last_snapshot.map_or(0, |snapshot| snapshot.candidates),
            problem: problem(&mode),
            name: mode.name,
        });
        Overview {
            cluster: self.cluster_name.clone(),
            view: view.map(|view| view.id.to_string()).unwrap_or_default(),
            members: members.unwrap_or_default(),
            modes: modes.collect(),
        }
    }

    fn metrics(&self) -> String {
        metrics::text(&metrics::Sources {
            member_state: &self.member_state.borrow().clone(),
            is_ready: self.unready().is_none(),
            counters: &self.counters,
            grid: &self.grid,
            resp: self.resp.as_deref(),
            hazelcast: self.hazelcast.as_deref(),
            modes: &self.modes(),
        })
    }
}
