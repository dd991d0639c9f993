//! Sessions of web frameworks outlive members and belong to no web process. What
//! runs here is what the pages for users show.

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

/// From the end of a member until users of another one notice nothing any more.
const SURVIVED_MAX: Duration = Duration::from_secs(5);

/// From the start of a member until a web process that knew its predecessor uses
/// it.
const BACK_MAX: Duration = Duration::from_secs(15);

/// Between two tries of an impatient user.
const POLL: Duration = Duration::from_millis(20);

/// Some of them have their sessions on the member that is killed.
const USERS: [&str; 8] = ["Ada", "Ben", "Cem", "Dora", "Eve", "Finn", "Gül", "Hans"];

const NOBODY: &str = "Nobody is logged in.\n";

/// A framework and its page.
struct Framework {
    page: &'static str,
    language: &'static str,
    file: &'static str,
    /// A module of the page's second block, if it is used: what it is called.
    module: Option<&'static str>,
    /// Whether a request fails while the sessions cannot be read: otherwise its user
    /// is logged out.
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
fn express_sessions_outlive_the_member_that_a_web_process_uses() {
    let (page, language, file) = ("express.md", "js", "app.mjs");
    sessions_outlive(&Framework { page, language, file, module: None, refuses: true });
}

#[test]
fn django_sessions_outlive_the_member_that_a_web_process_uses() {
    sessions_outlive(&DJANGO);
}

#[test]
fn with_the_module_of_its_page_django_logs_nobody_out_either() {
    sessions_outlive(&Framework { module: Some("engine"), refuses: true, ..DJANGO });
}

#[test]
fn flask_sessions_outlive_the_member_that_a_web_process_uses() {
    sessions_outlive(&Framework { page: "flask.md", refuses: true, ..DJANGO });
}

#[track_caller]
fn sessions_outlive(framework: &Framework) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::alone();
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
    let mut stranger = Browser::default();
    for port in [port_a, port_b] {
        let page = stranger.wait_for_page(&cluster, port, WEB_START_MAX);
        assert_eq!(page, NOBODY);
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
    assert_eq!(stranger.wait_for_page(&cluster, port_b, Duration::ZERO), NOBODY);

    wait_until_safe(&cluster, &members);
    members.remove(0).kill();
    for user in &mut users {
        user.visit(&cluster, port_b, SURVIVED_MAX);
    }
    if framework.refuses {
        let page = users[0].browser.get(port_a, "/").expect("web A itself is there");
        assert!((500..600).contains(&page.status), "without its member web A refuses: {page:?}");
        assert!(users[0].browser.has_cookie(), "and that logs nobody out");
    }

    members.push(start(resp_a));
    wait_until_safe(&cluster, &members);
    for user in &mut users {
        user.visit(&cluster, port_a, BACK_MAX);
        user.visit(&cluster, port_b, Duration::ZERO);
    }
    let page = users[0].browser.get(port_a, "/logout").expect("web A answers");
    assert_eq!(page.status, 200);
    assert_eq!(users[0].browser.wait_for_page(&cluster, port_b, Duration::ZERO), NOBODY);
    users[1].visit(&cluster, port_b, Duration::ZERO);
    assert_eq!((web_a.status(), web_b.status()), (None, None), "both run still");
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

/// Somebody who logged in, and how often the site says it saw them.
#[derive(Debug)]
struct User {
    name: &'static str,
    browser: Browser,
    visits: u32,
}

impl User {
    /// Asks until a page comes: it greets this user, and has counted on.
    #[track_caller]
    fn visit(&mut self, cluster: &Cluster, port: u16, bound: Duration) {
        let text = self.browser.wait_for_page(cluster, port, bound);
        let visits = text
            .strip_prefix(&format!("Hello, {}. Visits: ", self.name))
            .and_then(|rest| rest.trim_end().parse().ok());
        let Some(visits) = visits.filter(|visits| *visits > self.visits) else {
            let seen = format!("{} after {} visits sees {text:?}", self.name, self.visits);
            cluster.journal().fail(&seen);
        };
        self.visits = visits;
    }
}

impl Browser {
    /// Asks for the first page until it comes. What is refused is asked for again.
    #[track_caller]
    fn wait_for_page(&mut self, cluster: &Cluster, port: u16, bound: Duration) -> String {
        let deadline = Instant::now() + bound;
        loop {
            match self.get(port, "/") {
                Ok(Page { status: 200, text }) => return text,
                refused if Instant::now() >= deadline => {
                    let what = format!("waited {bound:?} in vain: a page on {port}: {refused:?}");
                    cluster.journal().fail(&what);
                }
                _ => thread::sleep(POLL),
            }
        }
    }
}

/// As a browser puts a name into an address.
fn percent_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
