//! Finds members in the catalogue of Consul.
//!
//! The argument is Consul's base URL, and the setting `service` the service to look for. Its
//! instances that pass their checks are the candidates. Consul holds each request until its
//! result changes ([`watch`]), so a change is noticed at once. With `register = true` the
//! member registers itself as well ([`registration`]).
//!
//! Consul omits what a token may not read, with status 200 ([`acl`]): such a result is not
//! treated as an empty one.

mod acl;
mod health;
mod registration;
mod settings;
mod status;
mod watch;

use convoke_mode_sdk::http::Response;
use convoke_mode_sdk::{
    Announcer, Candidate, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, quoted,
    tracing,
};

use health::Instance;
use registration::Registration;
use settings::Settings;
use watch::Watch;

/// The mode: one service of one Consul.
#[derive(Debug)]
struct Consul {
    settings: Settings,
    watch: Watch,
    registration: Option<Registration>,
    has_logged_names: bool,
}

impl Mode for Consul {
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
        let settings = Settings::read(&config)?;
        let watch = Watch::new(settings.wait);
        let registration = Registration::of(&settings, &me)?;
        Ok(Self { settings, watch, registration, has_logged_names: false })
    }

    fn discover(&mut self) -> Result<Snapshot, Problem> {
        let request = self.watch.hold(self.settings.instances());
        let found = request.send().and_then(Response::successful).map_err(|error| {
            let right = format!("service:read on {} and node:read", self.settings.service);
            status::problem(error, &right)
        });
        let read = found.and_then(|answer| {
            let instances = health::read(&answer.body).map_err(|why| {
                Problem::Failed(format!("Consul's response is not a list of instances: {why}"))
            })?;
            Ok((answer, instances))
        });
        let (answer, instances) = read.inspect_err(|_| self.watch.forget())?;
        let mut candidates = self.candidates(&instances);
        if acl::withholds(&self.settings, &answer) {
            let why = acl::problem_text(&self.settings);
            if instances.is_empty() {
                self.watch.forget();
                return Err(Problem::Temporary(why));
            }
            candidates.push(Candidate::unresolved(&self.settings.service, why));
        }
        let again = self.watch.take(answer.header("X-Consul-Index"), answer.elapsed);
        tracing::debug!(instances = instances.len(), elapsed = ?answer.elapsed, "catalogue read");
        Ok(Snapshot::of(candidates).look_again_in(again))
    }
}

impl Announcer for Consul {
    fn announce(&mut self) -> Result<Option<u32>, Problem> {
        self.registration.as_mut().map(|own| own.renew(&self.settings)).transpose()
    }

    fn withdraw(&mut self) -> Result<(), Problem> {
        self.registration.as_mut().map_or(Ok(()), |own| own.withdraw(&self.settings))
    }
}

impl Consul {
    fn candidates(&mut self, instances: &[Instance]) -> Vec<Candidate> {
        let mut candidates = Vec::with_capacity(instances.len());
        for instance in instances {
            candidates.push(instance.candidate());
            if !instance.is_usable() && !std::mem::replace(&mut self.has_logged_names, true) {
                tracing::warn!(
                    address = quoted(instance.address()),
                    "an instance is ignored: its address is a name, or its port is invalid; register it with an IP address"
                );
            }
        }
        candidates
    }
}

export_mode!(Consul, announcer);

#[cfg(test)]
mod tests {
    use convoke_mode_sdk::http::{Error, Request, answered_by};
    use convoke_mode_sdk::log::captured;

    use super::*;

    const ONE: &str = r#"[{
        "Node": {"Node": "rack-1", "Address": "10.0.0.1", "Datacenter": "east"},
        "Service": {"Address": "", "Port": 6900}
    }]"#;

    fn mode() -> Consul {
        let config = ModeConfig::of("http://127.0.0.1:8500").with("service", "shop");
        Consul::configure(config, LocalMember::at("10.0.0.7", 6900)).unwrap()
    }

    #[test]
    fn the_second_request_is_a_blocking_query() {
        let mut mode = mode();
        let answer = |request: &Request| {
            let status = if request.url().contains("index=41&wait=5s") { "42" } else { "41" };
            Ok(Response::new(200, ONE).with("X-Consul-Index", status))
        };
        let (first, second) = answered_by(answer, || (mode.discover(), mode.discover()));
        let place = Candidate::at("10.0.0.1", 6900).with("node", "rack-1").with("zone", "east");
        assert_eq!(first.unwrap().candidates, [place]);
        assert_eq!(second.unwrap().look_again_ms, Some(200));
    }

    #[test]
    fn a_response_that_is_not_a_list_is_a_failure() {
        let mut mode = mode();
        let page = |_: &Request| Ok(Response::new(200, "<html>welcome</html>"));
        let Err(Problem::Failed(text)) = answered_by(page, || mode.discover()) else {
            panic!("it is not a list");
        };
        assert!(text.starts_with("Consul's response is not a list of instances"), "{text}");
    }

    #[test]
    fn a_consul_that_is_down_is_a_temporary_problem() {
        let mut mode = mode();
        let down = |_: &Request| Err(Error::Temporary("nothing listens on that port".to_owned()));
        let problem = answered_by(down, || mode.discover());
        assert_eq!(problem, Err(Problem::Temporary("nothing listens on that port".to_owned())));
    }

    #[test]
    fn a_server_that_is_not_granted_is_a_denial() {
        let mut mode = mode();
        let denied = |_: &Request| Err(Error::Denied("this server is not granted".to_owned()));
        assert!(matches!(answered_by(denied, || mode.discover()), Err(Problem::Denied(_))));
    }

    #[test]
    fn names_are_ignored_and_logged_once() {
        let mut mode = mode();
        let named = ONE.replace("10.0.0.1", "rack-1.example");
        let instances = health::read(named.as_bytes()).unwrap();
        let (found, lines) = captured(|| {
            mode.candidates(&instances);
            mode.candidates(&instances)
        });
        assert_eq!(found.len(), 1, "the host drops it, and the result does not count as empty");
        assert_eq!(found[0].address, "rack-1.example");
        let addresses: Vec<&str> = lines.iter().map(|line| line.fields[0].1.as_str()).collect();
        assert_eq!(addresses, ["\"rack-1.example\""]);
    }

    /// The response of Consul 1.14.11 with `default_policy = "deny"`.
    #[test]
    fn a_filtered_result_is_not_an_empty_catalogue() {
        const RIGHT: &str = "Consul withholds instances of shop from this token; it needs service:read on shop and node:read; configure such a token in the setting token";
        let token = ModeConfig::of("http://127.0.0.1:8500")
            .with("service", "shop")
            .with("token", "of-another-service");
        let mut mode = Consul::configure(token, LocalMember::at("10.0.0.7", 6900)).unwrap();
        let filtered = |body: &'static str| {
            move |_: &Request| {
                Ok(Response::new(200, body)
                    .with("X-Consul-Index", "14")
                    .with("X-Consul-Default-Acl-Policy", "deny")
                    .with("X-Consul-Results-Filtered-By-ACLs", "true"))
            }
        };
        let problem = answered_by(filtered("[]"), || mode.discover()).unwrap_err();
        assert_eq!(problem, Problem::Temporary(RIGHT.to_owned()));
        // The readable instances are used, and the result is incomplete.
        let found = answered_by(filtered(ONE), || mode.discover()).unwrap().candidates;
        assert_eq!(found[0].address, "10.0.0.1");
        assert_eq!(found[1], Candidate::unresolved("shop", RIGHT));
    }

    #[test]
    fn the_permissions_of_an_anonymous_request_are_queried() {
        for (rights, is_nobody) in [
            (r#"[{"Allow":true},{"Allow":true}]"#, true),
            (r#"[{"Allow":true},{"Allow":false}]"#, false),
            (r#"[{"Allow":false},{"Allow":false}]"#, false),
            ("<html>", false),
            ("[]", false),
        ] {
            let answer = move |request: &Request| {
                if request.url() == "http://127.0.0.1:8500/v1/internal/acl/authorize" {
                    assert_eq!(
                        String::from_utf8_lossy(request.body_bytes()),
                        r#"[{"Resource":"service","Access":"read","Segment":"shop"},{"Resource":"node","Access":"read","Segment":""}]"#
                    );
                    return Ok(Response::new(200, rights));
                }
                // Consul sends the header only for tokens that are not anonymous.
                Ok(Response::new(200, "[]").with("X-Consul-Default-Acl-Policy", "deny"))
            };
            let mut mode = mode();
            let looked = answered_by(answer, || mode.discover());
            assert_eq!(looked.is_ok(), is_nobody, "{rights}: {looked:?}");
        }
        let open = |request: &Request| {
            assert!(!request.url().contains("authorize"), "nothing is filtered by default");
            Ok(Response::new(200, "[]").with("X-Consul-Default-Acl-Policy", "allow"))
        };
        assert!(answered_by(open, || mode().discover()).unwrap().candidates.is_empty());
    }

    #[test]
    fn without_register_nothing_is_announced() {
        let mut mode = mode();
        assert_eq!(mode.announce(), Ok(None));
        assert_eq!(mode.withdraw(), Ok(()));
    }
}
