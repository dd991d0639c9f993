//! Admin pages of a domain server: `/members`, `/groups` and `/modes` as JSON, and `/` as HTML.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::Node;
use crate::admin::{Health, MemberRow, Overview};

/// Refresh interval of the HTML page, in seconds.
const REFRESH_S: u32 = 5;

pub(super) fn router() -> Router<Arc<dyn Node>> {
    Router::new()
        .route("/", get(page))
        .route("/members", get(members))
        .route("/groups", get(groups))
        .route("/modes", get(modes))
}

async fn members(State(node): State<Arc<dyn Node>>) -> Json<Value> {
    let Overview { cluster, view, members, .. } = node.overview();
    Json(json!({ "cluster": cluster, "view": view, "members": members }))
}

async fn groups(State(node): State<Arc<dyn Node>>) -> Json<Value> {
    let overview = node.overview();
    let groups: Vec<Value> = by_group(&overview)
        .into_iter()
        .map(|(name, members)| {
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            json!({ "name": name, "size": names.len(), "members": names })
        })
        .collect();
    Json(json!({ "cluster": overview.cluster, "groups": groups }))
}

async fn modes(State(node): State<Arc<dyn Node>>) -> Json<Value> {
    Json(json!({ "modes": node.overview().modes }))
}

async fn page(State(node): State<Arc<dyn Node>>) -> Response {
    let headers = [
        // Allows no scripts and no external resources: names on the page come from the network.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(render(&node.overview()))).into_response()
}

fn by_group(overview: &Overview) -> BTreeMap<&str, Vec<&MemberRow>> {
    let mut groups: BTreeMap<&str, Vec<&MemberRow>> = BTreeMap::new();
    for member in &overview.members {
        groups.entry(&member.group).or_default().push(member);
    }
    groups
}

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color:#222}\
table{border-collapse:collapse;margin:.5rem 0 1.5rem}\
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #ddd;vertical-align:top}\
th{font-weight:600}.suspected{color:#b00}.id{color:#777;font:12px ui-monospace,monospace}\
h1{font-size:1.4rem}h2{font-size:1.1rem}";

fn render(overview: &Overview) -> String {
    let Overview { cluster, view, members, modes } = overview;
    let mut page = String::new();
    let cluster = escaped(cluster);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_S}\"><title>{cluster} · Convoke</title>\
         <style>{STYLE}</style></head><body><h1>Cluster {cluster}</h1>"
    );
    let groups = by_group(overview).len();
    let _ = write!(
        page,
        "<p>{}, {}, view {}</p>",
        convoke_text::counted(members.len(), "member"),
        convoke_text::counted(groups, "group"),
        if view.is_empty() { "not available yet" } else { view }
    );
    page.push_str(
        "<table><tr><th>Member</th><th>Group</th><th>Address</th><th>Started</th>\
         <th>Modes</th><th>Health</th><th>Role</th></tr>",
    );
    for member in members {
        let roles: Vec<&str> = [
            (member.this, "this member"),
            (member.coordinator, "coordinator"),
            (member.lite, "lite"),
        ]
        .into_iter()
        .filter_map(|(holds, role)| holds.then_some(role))
        .collect();
        let (class, health) = match member.health {
            Health::Alive => ("alive", "alive"),
            Health::Suspected => ("suspected", "suspected"),
        };
        let http = member
            .http
            .as_ref()
            .map(|http| format!("<br>HTTP {}", escaped(http)))
            .unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<br><span class=\"id\">{}</span></td><td>{}</td><td>{}{http}</td>\
             <td>{}<br>{}</td><td>{}</td><td class=\"{class}\">{health}</td><td>{}</td></tr>",
            escaped(&member.name),
            escaped(&member.id),
            escaped(&member.group),
            escaped(&member.address),
            escaped(&member.since),
            format_duration(member.up_ms),
            escaped(&member.found_by),
            roles.join(", "),
        );
    }
    page.push_str(
        "</table><h2>Discovery modes of this member</h2>\
         <table><tr><th>Mode</th><th>State</th><th>Candidates</th><th>Last problem</th></tr>",
    );
    for mode in modes {
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(&mode.name),
            escaped(&mode.state),
            mode.candidates,
            escaped(&mode.problem)
        );
    }
    page.push_str(
        "</table><p>JSON: <a href=\"/members\">members</a>, <a href=\"/groups\">groups</a>, \
         <a href=\"/modes\">modes</a>, <a href=\"/status\">status</a>. Prometheus: \
         <a href=\"/metrics\">metrics</a>.</p></body></html>\n",
    );
    page
}

/// Formats a duration with its two largest units, such as `3 h 12 min`.
fn format_duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Escapes text for an HTML element or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ModeRow;

    fn overview() -> Overview {
        let member = |name: &str, group: &str, this: bool| MemberRow {
            name: name.into(),
            group: group.into(),
            id: "7c1bd6ca".into(),
            address: "10.0.0.5:4900".into(),
            http: Some("10.0.0.5:4848".into()),
            lite: !this,
            this,
            coordinator: this,
            since: "2026-11-24T07:00:00Z".into(),
            up_ms: 3_723_000,
            found_by: "domain".into(),
            health: if this { Health::Alive } else { Health::Suspected },
        };
        Overview {
            cluster: "shop".into(),
            view: "1.7".into(),
            members: vec![
                member("server", "server-config", true),
                member("<script>alert('x')</script>", "tills", false),
            ],
            modes: vec![ModeRow {
                name: "multicast".into(),
                state: "ready".into(),
                candidates: 1,
                problem: String::new(),
            }],
        }
    }

    #[test]
    fn the_page_shows_members_with_start_time_modes_and_health() {
        let page = render(&overview());
        for expected in [
            "2 members, 2 groups, view 1.7",
            "server-config",
            "2026-11-24T07:00:00Z<br>1 h 2 min",
            "<td>domain</td>",
            "class=\"suspected\">suspected",
            "this member, coordinator",
            "multicast",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    #[test]
    fn names_from_the_network_are_escaped() {
        let page = render(&overview());
        assert!(!page.contains("<script>"));
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    }

    #[test]
    fn durations_are_formatted_with_their_two_largest_units() {
        assert_eq!(format_duration(900), "0 s");
        assert_eq!(format_duration(61_000), "1 min 1 s");
        assert_eq!(format_duration(90_000_000), "1 d 1 h");
    }
}
