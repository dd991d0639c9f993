//! `convoke config`: checks or converts configuration files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use convoke_discovery::LocalMember;

use crate::member::{DryRun, beacons, modes, probing};
use crate::output::say;
use crate::settings::{ClientAddress, Settings, UNHONOURED, agreed, convert as converted};

/// Loads and configures every mode and prints the resulting settings. Binds no port and sends
/// nothing.
pub(crate) async fn check(settings: &Settings) -> Result<(), String> {
    let dry_run = DryRun::new(settings).await?;
    let DryRun { choice, keys, me, local } = &dry_run;
    let (ciphers, prober) = (beacons::ciphers(keys, me.id), probing::prober(keys, me));
    let host = modes::host(settings, choice, ciphers, prober)?;
    let loaded = modes::load(&host, settings, choice, local).await?;
    // Uses the port of a member that listens: only one port is advertised.
    let listening = LocalMember { port: settings.start_port, ..local.clone() };

    let show = |key: &str, value: &dyn std::fmt::Display| say!("{key:<10} {value}");
    match &settings.file {
        Some(path) => show("file", &path.display()),
        None => show("file", &"none"),
    }
    show("cluster", &settings.cluster_name);
    show("password", &if settings.password.is_empty() { "empty" } else { "set" });
    show("name", &settings.name.as_deref().unwrap_or("generated at each start"));
    show("group", &settings.group);
    show("lite", &settings.lite);
    show("address", &format!("{} ({})", choice.primary, choice.reason));
    for address in choice.all.iter().filter(|address| **address != choice.primary) {
        show("", &address);
    }
    if let Some(public) = &settings.public_address {
        match public.port {
            Some(port) => show("public", &format!("{}:{port}", public.host)),
            None => show("public", &format!("{}, with the member port", public.host)),
        }
    }
    if settings.no_cluster {
        show("members", &"none: no-cluster is set");
    } else {
        let last = settings.start_port.saturating_add(settings.start_port_range - 1);
        show("port", &format!("{}, the first free one up to {last}", settings.start_port));
    }
    if settings.auto_bind_http {
        let last = settings.port.saturating_add(settings.auto_bind_range);
        show("http", &format!("{}, the first free one up to {last}", settings.port));
    } else {
        show("http", &settings.port);
    }
    let me_at = me.address().ip();
    if settings.http_public_address.is_some() {
        let http = ClientAddress::service(settings.http_public_address.as_ref(), settings.port);
        show("", &format!("clients dial {}", http.address(me_at)));
    }
    if let Some(port) = settings.clients.resp_port {
        show("resp", &port);
        if settings.resp_public_address.is_some() {
            let resp = ClientAddress::service(settings.resp_public_address.as_ref(), port);
            show("", &format!("clients dial {}", resp.address(me_at)));
        }
    }
    if let Some(port) = settings.clients.hazelcast_port {
        show("hazelcast", &port);
        if let Some(public) = &settings.hazelcast_public_address {
            let service = ClientAddress::service(Some(public), port);
            show("", &format!("clients dial {}", service.address(me_at)));
        }
    }
    let clients = &settings.clients;
    show("access", &clients.access());
    show("clients", &format!("at most {}", clients.clients_max));
    if let Some(idle) = clients.idle {
        show("", &format!("disconnected after {} s without a request", idle.as_secs()));
    }
    if clients.redis_cluster {
        show("", &"served as by a Redis Cluster");
    }
    let events = clients.notifications.text();
    if !events.is_empty() {
        show("", &format!("keyspace notifications {events}"));
    }
    show("workers", &settings.workers);
    show("writes", &format!("with {} or more members", settings.data.min_members));
    for (number, line) in agreed::lines(&settings.data.terms).enumerate() {
        show(if number == 0 { "agreed" } else { "" }, &line);
    }
    if settings.no_cluster {
        finish(settings, &[]);
        return Ok(());
    }
    let mut lacking = Vec::new();
    for (mode, settings) in loaded.iter().zip(&settings.modes) {
        let capabilities: Vec<&str> = mode
            .imports()
            .iter()
            .map(|import| import.trim_start_matches("convoke:host/"))
            .collect();
        let from = match &settings.plugin {
            Some(plugin) => plugin.to_string(),
            None => "built-in".to_owned(),
        };
        let argument = match settings.argument.as_str() {
            "" => String::new(),
            argument => format!(" {argument:?}"),
        };
        show(
            "mode",
            &format!("{}{argument} ({from}; uses {})", mode.name(), capabilities.join(", ")),
        );
        if let Some(because) = settings.chosen {
            show("", &format!("chosen by auto: {because}"));
        }
        let rehearsal = host.rehearse(mode, &listening).await;
        for ask in &rehearsal.calls {
            show("", &format!("asks for {ask}"));
        }
        if let Some(grant) = rehearsal.needed {
            let denied = rehearsal.denied.join(", ");
            lacking.push(format!(
                "mode {:?} will be denied {denied}, and this member does not found a cluster until the mode has completed a lookup; to allow it, its [[discovery]] needs: {grant}",
                mode.name()
            ));
        }
    }
    finish(settings, &lacking);
    Ok(())
}

/// Prints the warnings, and the result.
fn finish(settings: &Settings, lacking: &[String]) {
    if !settings.overridden.is_empty() {
        let keys = settings.overridden.join(", ");
        say!("overridden by the command line or the environment: {keys}");
    }
    for warning in settings.warning.iter().chain(&settings.notes) {
        say!("warning: {warning}");
    }
    for warning in lacking {
        say!("warning: {warning}");
    }
    say!(
        "the configuration is valid{}",
        if lacking.is_empty() { "" } else { ", except for the warnings above" }
    );
}

/// Converts a Hazelcast file to the Convoke format.
pub(crate) fn convert(file: &Path, output: Option<&Path>, force: bool) -> Result<(), String> {
    let text = converted(file).map_err(|error| error.to_string())?;
    let Some(path) = output else {
        crate::output::write(format_args!("{text}"));
        return Ok(());
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(force).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    if written.is_ok() {
        let unhonoured = text.lines().filter(|line| line.starts_with(UNHONOURED)).count();
        if unhonoured > 0 {
            let settings = convoke_text::counted(unhonoured, "setting");
            let _ = writeln!(
                std::io::stderr(),
                "warning: not honoured: {settings} of the Hazelcast file; the end of {} names them",
                path.display()
            );
        }
    }
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} exists; name another --output, or replace it with --force", path.display())
        }
        _ => format!("{} cannot be written: {error}", path.display()),
    })
}
