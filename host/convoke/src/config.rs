//! `convoke config`: checks or converts configuration files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use convoke_discovery::LocalMember;

use crate::member::{DryRun, beacons, modes, probing};
use crate::output::say;
use crate::settings::{ClientAddress, Settings, agreed, convert as converted};

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
        let ports = public.port.map_or("the member port".to_owned(), |port| port.to_string());
        show("public", &format!("{}, {ports}", public.host));
    }
    if settings.no_cluster {
        show("members", &"none: no-cluster is set");
    } else {
        show("port", &settings.start_port);
    }
    show("http", &settings.port);
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
    for (number, line) in agreed::lines(&settings.data.terms).enumerate() {
        show(if number == 0 { "agreed" } else { "" }, &line);
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
    if !settings.overridden.is_empty() {
        let keys = settings.overridden.join(", ");
        say!("overridden by the command line or the environment: {keys}");
    }
    for warning in settings.warning.iter().chain(&settings.notes) {
        say!("warning: {warning}");
    }
    for warning in &lacking {
        say!("warning: {warning}");
    }
    say!(
        "the configuration is valid{}",
        if lacking.is_empty() { "" } else { ", except for the warnings above" }
    );
    Ok(())
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
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} exists; name another --output, or replace it with --force", path.display())
        }
        _ => format!("{} cannot be written: {error}", path.display()),
    })
}
