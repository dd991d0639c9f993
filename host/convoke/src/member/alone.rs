//! A member without a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use convoke_gateway::http::Pages;
use convoke_membership::{Member, MemberId, View};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tracing::info;

use super::addresses::advertised;
use super::clients::{BoundPorts, ClientPorts, serve_clients};
use super::identity::{AdvertisedPorts, introduce};
use super::state::{Counters, MemberState};
use super::{data, public};
use crate::describe;
use crate::interfaces::Choice;
use crate::settings::Settings;

/// Starts a member with `--no-cluster`: the client endpoints and a view with one member.
pub(super) async fn start_alone(
    settings: &Settings,
    choice: &Choice,
    http: Vec<TcpListener>,
    http_port: u16,
) -> Result<(), String> {
    let ips = choice.to_bind();
    let bound = BoundPorts::bind(settings, &ips)?;
    let ports_to_advertise = AdvertisedPorts::new(settings, http_port, &bound, &ips);
    let public = public::look_up_once(settings, 0).await?;
    let own = SocketAddr::new(choice.primary.ip, 0);
    let me =
        introduce(settings, MemberId::new_now(), advertised(&public, &[own]), ports_to_advertise);
    let view = View::founded_by(Member { age: 1, generation: 1, ..me.clone() });
    let member_state = MemberState {
        me: me.clone(),
        view: Some(view.clone()),
        hello: [].into(),
        suspects: Arc::default(),
        leaving: false,
        refusal: None,
    };
    let (_, state_receiver) = watch::channel(Arc::new(member_state));
    let (counters, changed) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let grid = data::grid(me.id, &settings.data, None, &counters, &changed);
    grid.expect_view(&view);
    let ((driver, _), (_, streams)) = (mpsc::channel(1), mpsc::channel(1));
    let member_state = state_receiver.clone();
    let data = data::Data { grid: grid.clone(), keys: None, member_state, driver, streams };
    tokio::spawn(data.run());
    let ports = ClientPorts { http, bound, pages: Pages::Member };
    serve_clients(settings, ports, &grid, &state_receiver, &counters, changed);
    info!(
        "no discovery and no member port because of --no-cluster\n\n{}\n",
        describe::blocks(&view, me.id)
    );
    let http_address = SocketAddr::new(choice.primary.ip, http_port);
    info!(http = %http_address, "ready");
    Ok(())
}
