//! Sessions of web frameworks survive the loss of members and are shared by web processes. The
//! applications are those of the documentation.

use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::Cluster;

use crate::browser::{Browser, Page};
use crate::doc_examples;
use crate::installed::Clients;
use crate::process::Process;
use crate::safe::wait_until_safe;

/// From the start of a web process to its first page.
const WEB_START_MAX: Duration = Duration::from_secs(30);

/// From the end of a member until requests through another one succeed again.
const SURVIVED_MAX: Duration = Duration::from_secs(5);

/// From the start of a member until the web process of its predecessor has reconnected to it.
const BACK_MAX: Duration = Duration::from_secs(15);

/// Delay between two requests of a user.
const POLL: Duration = Duration::from_millis(20);

/// Some of them have their sessions on the member that is killed.
const USERS: [&str; 8] = ["Ada", "Ben", "Cem", "Dora", "Eve", "Finn", "Gül", "Hans"];

const LOGGED_OUT: &str = "Nobody is logged in.\n";

/// A framework and its page of the documentation.
struct Framework {
    page: &'static str,
    language: &'static str,
    file: &'static str,
    /// The name of the module in the page's second block, if it is used.
    module: Option<&'static str>,
    /// Whether requests fail while sessions cannot be read; if not, the user is logged out.
    refuses: bool,
}

const DJANGO: Framework = Framework {
    page: "django.md",
    language: "python",
    file: "app.py",
    module: None,
    refuses: false,
};

#[test]
fn express_sessions_survive_the_loss_of_a_member() {
    let (page, language, file) = ("express.md", "js", "app.mjs");
    assert_sessions_survive(&Framework { page, language, file, module: None, refuses: true });
}

#[test]
fn django_sessions_survive_the_loss_of_a_member() {
    assert_sessions_survive(&DJANGO);
}

#[test]
fn with_the_documented_session_engine_django_logs_no_user_out() {
    assert_sessions_survive(&Framework { module: Some("engine"), refuses: true, ..DJANGO });
}

#[test]
fn flask_sessions_survive_the_loss_of_a_member() {
    assert_sessions_survive(&Framework { page: "flask.md", refuses: true, ..DJANGO });
}

#[track_caller]
fn assert_sessions_survive(framework: &Framework) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::exclusive();
    let [resp_a, resp_b, port_a, port_b] = [0, 1, 2, 3].map(|n| cluster.spare_port(n));
    let start = |port: u16| cluster.launch().option("--resp-port", port.to_string()).start();
    let mut members = vec![start(resp_a)];
    members[0].ready();
    members.push(start(resp_b));
    wait_until_safe(&cluster, &members);
    let blocks = doc_examples::code(framework.page, framework.language);
    cluster.write(framework.file, &blocks[0]);
    if let Some(module) = framework.module {
        cluster.write(&format!("{module}.py"), &blocks[1]);
    }
    let mut web_a = start_web(framework, &clients, &cluster, "web A", resp_a, port_a);
    let mut web_b = start_web(framework, &clients, &cluster, "web B", resp_b, port_b);
    let mut anonymous = Browser::default();
    for port in [port_a, port_b] {
        let page = anonymous.wait_for_page(&cluster, port, WEB_START_MAX);
        assert_eq!(page, LOGGED_OUT);
    }

    let mut users = USERS.map(|name| User { name, browser: Browser::default(), visits: 0 });
    for user in &mut users {
        let path = format!("/login?name={}", percent_encoded(user.name));
        let page = user.browser.get(port_a, &path).expect("web A answers");
        assert_eq!(page, Page { status: 200, text: format!("Welcome, {}.\n", user.name) });
        for port in [port_a, port_b, port_a, port_b] {
            user.visit(&cluster, port, Duration::ZERO);
        }
        assert_eq!(user.visits, 4, "no visit is lost or counted twice");
    }
    assert_eq!(anonymous.wait_for_page(&cluster, port_b, Duration::ZERO), LOGGED_OUT);

    wait_until_safe(&cluster, &members);
    members.remove(0).kill();
    for user in &mut users {
        user.visit(&cluster, port_b, SURVIVED_MAX);
    }
    if framework.refuses {
        let page = users[0].browser.get(port_a, "/").expect("web A answers");
        assert!(
            (500..600).contains(&page.status),
            "without its member web A returns an error: {page:?}"
        );
        assert!(users[0].browser.has_cookie(), "the error does not log the user out");
    }

    members.push(start(resp_a));
    wait_until_safe(&cluster, &members);
    for user in &mut users {
        user.visit(&cluster, port_a, BACK_MAX);
        user.visit(&cluster, port_b, Duration::ZERO);
    }
    let page = users[0].browser.get(port_a, "/logout").expect("web A answers");
    assert_eq!(page.status, 200);
    assert_eq!(users[0].browser.wait_for_page(&cluster, port_b, Duration::ZERO), LOGGED_OUT);
    users[1].visit(&cluster, port_b, Duration::ZERO);
    assert_eq!((web_a.status(), web_b.status()), (None, None), "both are still running");
}

#[track_caller]
fn start_web(
    framework: &Framework,
    clients: &Clients,
    cluster: &Cluster,
    label: &str,
    resp_port: u16,
    port: u16,
) -> Process {
    let program = if framework.language == "js" { clients.node(cluster) } else { clients.python() };
    let mut environment =
        vec![("REDIS_URL", format!("redis://127.0.0.1:{resp_port}/0")), ("PORT", port.to_string())];
    environment.extend(framework.module.map(|module| ("SESSION_ENGINE", module.to_owned())));
    Process::start(cluster, label, &program, [framework.file], &environment)
}

/// A logged-in user, and the number of visits that the site has counted.
#[derive(Debug)]
struct User {
    name: &'static str,
    browser: Browser,
    visits: u32,
}

impl User {
    /// Requests the page until it is returned: it greets this user and has a higher count.
    #[track_caller]
    fn visit(&mut self, cluster: &Cluster, port: u16, bound: Duration) {
        let text = self.browser.wait_for_page(cluster, port, bound);
        let visits = text
            .strip_prefix(&format!("Hello, {}. Visits: ", self.name))
            .and_then(|rest| rest.trim_end().parse().ok());
        let Some(visits) = visits.filter(|visits| *visits > self.visits) else {
            let error = format!("{} after {} visits gets {text:?}", self.name, self.visits);
            cluster.journal().fail(&error);
        };
        self.visits = visits;
    }
}

impl Browser {
    /// Requests the first page until it is returned; failed requests are repeated.
    #[track_caller]
    fn wait_for_page(&mut self, cluster: &Cluster, port: u16, bound: Duration) -> String {
        let deadline = Instant::now() + bound;
        loop {
            match self.get(port, "/") {
                Ok(Page { status: 200, text }) => return text,
                refused if Instant::now() >= deadline => {
                    let what = format!(
                        "timed out after {bound:?} waiting for a page on {port}: {refused:?}"
                    );
                    cluster.journal().fail(&what);
                }
                _ => thread::sleep(POLL),
            }
        }
    }
}

/// A name as a browser encodes it in a URL.
fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
