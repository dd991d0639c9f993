//! Several modes in one cluster.

use std::net::Ipv4Addr;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{ApiServer, Cluster, DnsServer};

#[test]
fn members_with_all_five_modes_form_one_cluster() {
    let (cluster, names, api) = (Cluster::exclusive(), DnsServer::start(), ApiServer::start());
    // Each member finds only the one before it.
    let by_multicast = cluster.start();
    cluster.agree([&by_multicast]);
    let by_list = cluster.start_tcpip(&by_multicast.address().to_string());
    cluster.agree([&by_multicast, &by_list]);

    names.set("members.test", &[Ipv4Addr::LOCALHOST], 1);
    let dns = format!(
        "[[discovery]]\nmode = \"dns\"\nargument = \"members.test:{}\"\nsettings = {{ servers = \"{}\" }}\n",
        by_list.address().port(),
        names.address()
    );
    let config = cluster.write("dns.toml", &dns).display().to_string();
    let by_name = cluster.launch().option("--config", config).start();
    cluster.agree([&by_multicast, &by_list, &by_name]);

    api.put_slice("till", "till-a", &["127.0.0.1"], Some(("convoke", by_name.address().port())));
    let kubernetes = format!(
        "[[discovery]]\nmode = \"kubernetes\"\nargument = \"shop,till\"\nsettings = {{ kubeconfig = \"{}\" }}\n",
        api.kubeconfig(cluster.folder()).display()
    );
    let config = cluster.write("kubernetes.toml", &kubernetes).display().to_string();
    let by_service = cluster.launch().option("--config", config).start();
    cluster.agree([&by_multicast, &by_list, &by_name, &by_service]);

    let address = by_service.address();
    let by_server = cluster.launch().mode(format!("domain:{address}")).start();
    cluster.agree([&by_multicast, &by_list, &by_name, &by_service, &by_server]);

    let all = format!(
        "{dns}{kubernetes}[[discovery]]\nmode = \"multicast\"\n\
         [[discovery]]\nmode = \"tcpip\"\nargument = \"127.0.0.1\"\n\
         [[discovery]]\nmode = \"domain\"\nargument = \"{address}\"\n"
    );
    let config = cluster.write("all.toml", all).display().to_string();
    let by_all = cluster.launch().option("--config", config).start();
    cluster.agree([&by_multicast, &by_list, &by_name, &by_service, &by_server, &by_all]);
    let modes: Vec<String> = by_all.status().modes.into_iter().map(|mode| mode.name).collect();
    assert_eq!(modes, ["dns", "kubernetes", "multicast", "tcpip", "domain"]);
    // The cluster is not affected when the sources are stopped.
    drop((names, api));
    by_all.wait_for_lookups(std::time::Duration::from_secs(20), 0);
    cluster.agree([&by_multicast, &by_list, &by_name, &by_service, &by_server, &by_all]);
}

#[test]
fn auto_is_multicast_outside_of_a_pod_and_is_logged() {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let second = cluster.launch().mode("auto").start();
    second.wait_for_line(TIMEOUT, &["mode chosen by auto", "multicast", "not running in a pod"]);
    cluster.agree([&first, &second]);
    let ended = cluster.launch().mode("auto:shop").run(TIMEOUT);
    assert!(ended.refusal().contains("mode \"auto\" takes no argument, but was given \"shop\""));
}
