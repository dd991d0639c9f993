//! The modes of `plugins/examples`, and projects that `convoke plugin new` creates, with the tools
//! of their languages if these are installed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, binary};

/// Set by `cargo xtask test --examples`, which installs the tools.
const VARIABLE: &str = "CONVOKE_EXAMPLES";
/// Until a component of 18 MB is compiled on a busy machine.
pub(crate) const COMPILED: Duration = Duration::from_secs(120);
/// What one project's build may take.
const BUILD_MAX: Duration = Duration::from_secs(600);

/// The target folder, if it has the examples; otherwise reports that the test is skipped.
pub(crate) fn target() -> Option<PathBuf> {
    if std::env::var_os(VARIABLE).is_none() {
        println!("skipped: the examples are built by `cargo xtask test --examples`");
        return None;
    }
    Some(binary::convoke().ancestors().nth(2).expect("target/release/convoke").to_owned())
}

/// A web server with one list.
struct Web {
    address: SocketAddr,
    list: Arc<Mutex<String>>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, list) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(String::new())));
        let served = Arc::clone(&list);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let served = Arc::clone(&served);
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let mut request = Vec::new();
                    let mut part = [0; 1024];
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                        match stream.read(&mut part) {
                            Ok(some) if some > 0 => request.extend_from_slice(&part[..some]),
                            _ => return,
                        }
                    }
                    let body = served.lock().unwrap().clone();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                });
            }
        });
        Self { address, list }
    }

    fn set(&self, list: &str) {
        *self.list.lock().unwrap() = list.to_owned();
    }
}

#[test]
fn members_find_each_other_by_a_list_on_a_web_server() {
    let Some(target) = target() else { return };
    let (cluster, web) = (Cluster::exclusive(), Web::start());
    let first = cluster.start();
    cluster.agree([&first]);
    web.set(&format!("{}\n", first.address()));
    let config = |grant: &str| {
        let text = format!(
            "[[discovery]]\nmode = \"list\"\nplugin = {:?}\nargument = \"http://{}/members\"\n{grant}\n",
            target.join("examples/http-list.wasm").display().to_string(),
            web.address
        );
        cluster.write("list.toml", text).display().to_string()
    };
    let granted = format!("grant = {{ http = [\"http://{}\"] }}", web.address);
    let second = cluster.launch().option("--config", config(&granted)).start();
    cluster.agree([&first, &second]);

    let elsewhere = "grant = { http = [\"http://127.0.0.1:1\"] }";
    let denied = cluster.launch().option("--config", config(elsewhere)).start();
    denied.wait_for_line(
        TIMEOUT,
        &[
            "was denied http",
            &format!("grant = {{ http = [\"http://127.0.0.1:1\", \"http://{}\"] }}", web.address),
        ],
    );
    denied.wait_for_line(TIMEOUT, &["stopped", "does not found a cluster until it succeeds"]);
    assert!(denied.view().is_none(), "it has not founded a cluster");
}

/// Creates a project, builds it with `make` and these variables, runs its tests, and runs
/// `plugin try` on it.
fn build_and_try(language: &str, variables: &[String], path: Option<&Path>) {
    let cluster = Cluster::new();
    let name = format!("my-{language}");
    let plugin = |words: &[&str]| {
        let words: Vec<&str> = ["plugin"].iter().chain(words).copied().collect();
        cluster.launch().subcommand(&words, &["--interfaces"]).run(COMPILED)
    };
    assert!(plugin(&["new", "--lang", language, &name]).status.success());
    let folder = cluster.folder().join(&name);
    for goal in [&[][..], &["test"]] {
        let mut make = Command::new("timeout");
        make.arg(BUILD_MAX.as_secs().to_string()).arg("make").args(goal).args(variables);
        make.arg(format!("CONVOKE={}", binary::convoke().display())).current_dir(&folder);
        if let Some(path) = path {
            let usual = std::env::var_os("PATH").unwrap_or_default();
            let paths = [path.to_owned()].into_iter().chain(std::env::split_paths(&usual));
            make.env("PATH", std::env::join_paths(paths).unwrap());
        }
        let output = make.output().expect("make");
        assert!(
            output.status.success(),
            "make {goal:?} in {language}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let component = format!("{name}/{name}.wasm");
    let ended = plugin(&["try", &component, "--argument", "10.0.0.5"]);
    assert!(ended.status.success(), "{ended:#?}");
    assert!(ended.stdout.contains("10.0.0.5:"), "{ended:#?}");
    let refused = plugin(&["try", &component, "--argument", "10.0.0.500"]);
    assert!(refused.stderr.contains("configure: misconfigured: \"10.0.0.500\""), "{refused:#?}");
}

#[test]
fn a_project_in_rust_builds_and_works() {
    let Some(target) = target() else { return };
    let cargo = target.join("examples-tools/rust/cargo");
    let variables = cargo.is_file().then(|| format!("CARGO={}", cargo.display()));
    build_and_try("rust", variables.as_slice(), None);
}

#[test]
fn a_project_in_python_builds_and_works() {
    let Some(target) = target() else { return };
    let venv = target.join("examples-tools/venv");
    build_and_try("python", &[format!("VENV={}", venv.display())], None);
}

#[test]
fn a_project_in_javascript_builds_and_works() {
    let Some(target) = target() else { return };
    let tools = target.join("examples-tools");
    build_and_try("javascript", &[format!("TOOLS={}", tools.display())], None);
}

#[test]
fn a_project_in_c_builds_and_works() {
    let Some(target) = target() else { return };
    let usr = target.join("examples-tools/clang/usr");
    if !usr.is_dir() {
        // The compiler that WASI_SDK_PATH or WASM_CC name.
        return build_and_try("c", &[], None);
    }
    let compiler = format!(
        "WASM_CC=LD_LIBRARY_PATH={0}/lib/x86_64-linux-gnu:{0}/lib/llvm-19/lib clang-19",
        usr.display()
    );
    build_and_try(
        "c",
        &[compiler, format!("WASI_SYSROOT={}", usr.display())],
        Some(&usr.join("bin")),
    );
}

#[test]
fn a_project_in_go_builds_and_works() {
    if target().is_some() {
        build_and_try("go", &[], None);
    }
}
