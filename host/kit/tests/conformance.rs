//! The conformance suite for the built-in modes and the examples.

mod components;

use std::io::Write as _;

use components::{built_in, example};
use convoke_mode_kit::conformance::Subject;
use convoke_mode_kit::{FakeAnswer, FakePod, FakePods, FakeProbe, FakeProbed, Harness};

/// All modes, each with a working configuration.
macro_rules! subjects {
    ($($name:ident: $find:ident($file:literal) => $complete:expr;)*) => {$(
        #[test]
        fn $name() {
            let complete: fn(Subject) -> Subject = $complete;
            match $find($file) {
                Some(file) => complete(Subject::new(file)).assert_conforms(),
                None => skip($file),
            }
        }
    )*};
}

subjects! {
    multicast: built_in("multicast") => |mode| mode
        .declares(&["multicast"])
        .working(|mode| mode.grant("multicast", "224.2.2.4:2904"))
        .invalid_arguments(&["10.0.0.1:2904", "224.2.2.4:0", "[ff15::1", "224.2.2.4:2904:1"]);
    tcpip: built_in("tcpip") => |mode| mode
        .working(|mode| mode.argument("10.0.0.1-20,10.0.1.0/28:6900-6902"))
        .invalid_arguments(&["10.0.0.0/7", "*.*.*.*", "10.0.0.9-1", "[::]/64", "db.example", "1:9-1"]);
    dns: built_in("dns") => |mode| mode
        .declares(&["dns"])
        .working(|mode| mode
            .argument("members.shop.example:6900")
            .grant("dns", "*.shop.example")
            .fakes(|fakes| {
                let members = ["10.0.0.7", "fd00::7"].map(|ip| ip.parse().unwrap());
                fakes.dns.names.insert("members.shop.example".into(), members.into());
                fakes.dns.ttl_s = 5;
            }))
        .invalid_arguments(&["srv:", "srv:a", "a..b", "-a.example", "a.example:70000", "10.0.0.1"]);
    kubernetes: built_in("kubernetes") => |mode| mode
        .declares(&["kubernetes"])
        .working(|mode| mode.argument("shop,convoke").grant("kubernetes", "shop").fakes(pods))
        .invalid_arguments(&["shop", "shop,", ",convoke", "shop,convoke,x", "SHOP,convoke"]);
    domain: built_in("domain") => |mode| mode
        .declares(&["probe"])
        .working(|mode| mode.argument("10.0.0.5").grant("probe", "10.0.0.5:4900").fakes(server))
        .invalid_arguments(&["das.example:", "das example", "[fd00::5", "10.0.0.5:0", "a,b"]);
    consul: example("consul") => |mode| mode
        .declares(&["http"])
        .working(|mode| mode
            .argument("http://127.0.0.1:8500")
            .setting("service", "shop")
            .grant("http", "http://127.0.0.1:8500")
            .fakes(|fakes| fakes.http.answers.push(answer("http://127.0.0.1:8500/v1/health/", CONSUL))))
        .invalid_arguments(&["http://127.0.0.1:8500/v1?x", "127.0.0.1:8500", "unix:///consul"]);
    address_file: example("address-file") => |mode| mode
        .declares(&["store"])
        .working(|mode| mode.grant("store", "64KiB").fakes(|fakes| {
            let file = "# the shop's members\n10.0.0.5\n10.0.0.6:6900     # a port\n[fd00::5]:6900\n";
            fakes.store.insert("addresses".into(), file.into());
        }));
    http_list: example("http-list") => |mode| mode
        .declares(&["http"])
        .working(|mode| mode
            .argument("http://10.0.0.2:8080/members")
            .grant("http", "http://10.0.0.2:8080")
            .fakes(|fakes| {
                let list = "[{\"targets\": [\"10.0.0.5:6900\", \"[fd00::5]:6900\"], \"labels\": {\"zone\": \"b\"}}]";
                fakes.http.answers.push(answer("http://10.0.0.2:8080/members", list));
            }))
        // Go's runtime, or its bindings, leak about 2 KiB per call.
        .growth_max(3 << 10)
        .calls(2_000, 500);
    etcd: example("etcd") => |mode| mode
        .declares(&["http", "wasi"])
        .working(working_etcd)
        .calls(300, 100)
        .memory_max(48 << 20)
        .malformed(0, 100, 0);
    cloud: example("cloud") => |mode| mode
        .declares(&["http", "wasi"])
        .working(|mode| mode
            .argument("tag:cluster=shop")
            .setting("region", "eu-central-1")
            .setting("access-key", "AKIDEXAMPLE")
            .setting("secret-key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
            .grant("http", "https://ec2.eu-central-1.amazonaws.com")
            .inert_wasi()
            .fakes(|fakes| fakes.http.answers.push(answer("https://ec2.eu-central-1.amazonaws.com/", CLOUD))))
        // The engine's memory grows by about 73 KiB per call at first, later by 12 KiB, and
        // does not shrink within 5,000 calls; the host replaces such an instance.
        .growth_max(96 << 10)
        .calls(300, 100)
        .memory_max(48 << 20)
        .malformed(0, 100, 0);
}

const CONSUL: &str = r#"[{"Node": {"Node": "n1", "Address": "10.0.0.7", "Datacenter": "dc1"},
    "Service": {"ID": "shop-1", "Service": "shop", "Address": "", "Port": 6900, "Meta": {"zone": "b"}},
    "Checks": [{"CheckID": "serfHealth", "Status": "passing"}]}]"#;

const CLOUD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
    <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>r</requestId><reservationSet><item><reservationId>r-1</reservationId><groupSet/>
    <instancesSet><item><instanceId>i-1</instanceId>
    <instanceState><code>16</code><name>running</name></instanceState>
    <placement><availabilityZone>eu-central-1a</availabilityZone></placement>
    <privateIpAddress>10.0.0.7</privateIpAddress></item></instancesSet></item></reservationSet>
    </DescribeInstancesResponse>"#;

/// An etcd that accepts all writes, and has one member.
fn working_etcd(mode: Harness) -> Harness {
    const URL: &str = "http://10.0.0.5:2379";
    // `/convoke/kit/till` and `10.0.0.8:6900`.
    let members = r#"{"header": {}, "kvs": [{"key": "L2NvbnZva2Uva2l0L3RpbGw=", "value": "MTAuMC4wLjg6NjkwMA=="}], "count": "1"}"#;
    let answers = [
        ("/v3/kv/range", members),
        ("/v3/kv/put", r#"{"header": {}}"#),
        ("/v3/lease/grant", r#"{"header": {}, "ID": "7587848390313130250", "TTL": "15"}"#),
        (
            "/v3/lease/keepalive",
            r#"{"result": {"header": {}, "ID": "7587848390313130250", "TTL": "15"}}"#,
        ),
        ("/v3/lease/revoke", r#"{"header": {}}"#),
    ];
    mode.argument(URL).grant("http", URL).inert_wasi().fakes(move |fakes| {
        for (path, body) in answers {
            fakes.http.answers.push(answer(&format!("{URL}{path}"), body));
        }
    })
}

fn pods(fakes: &mut convoke_mode_kit::Fakes) {
    let pod = FakePod {
        name: "shop-0".into(),
        addresses: vec!["10.0.0.7".parse().unwrap()],
        ready: true,
        ports: [("convoke".to_owned(), 6900)].into(),
        zone: Some("b".into()),
    };
    let service = Some("convoke".into());
    fakes.kubernetes.push(FakePods { namespace: "shop".into(), service, pods: vec![pod] });
}

fn server(fakes: &mut convoke_mode_kit::Fakes) {
    fakes.probe.push(FakeProbe {
        address: "10.0.0.5:4900".parse().unwrap(),
        is: FakeProbed::Member,
        cluster_size: 3,
        coordinator: vec!["10.0.0.7:6900".parse().unwrap()],
    });
}

fn answer(url: &str, body: &str) -> FakeAnswer {
    FakeAnswer {
        url: url.into(),
        method: None,
        status: 200,
        headers: [("x-consul-index".to_owned(), "7".to_owned())].into(),
        body: body.into(),
    }
}

/// Prints that a test was skipped, bypassing the capture of output of passing tests.
fn skip(name: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: the example {name} is not built");
}
