//! `cargo xtask peers hazelcast-clients`: the cases of `tests/peers/hazelcast-clients`, which the
//! clients of Hazelcast run on members of Hazelcast and of Convoke. Outcomes are equal, or listed in
//! `differences.toml` with the reason.

mod differences;
mod page;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::failover::install::{Program, install_program};
use crate::failover::members::{Members, empty_folder, free_ports};
use crate::failover::table::{Ecosystem, Mode, Protocol};
use crate::workspace::Workspace;
use crate::{Result, debian, modes};

use differences::Differences;

/// From the start of a program until all its cases have ended.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);
/// From the start of Hazelcast's members until their cluster is complete.
const START_MAX: Duration = Duration::from_secs(120);
/// How often a program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(100);
/// Members of each cluster.
const MEMBERS: u16 = 3;
/// Memory of the program in Java, and of Hazelcast's members, in MiB.
const CLIENT_HEAP_MIB: u32 = 512;
const MEMBERS_HEAP_MIB: u32 = 2_048;
/// Of the binary under test.
const BINARY_VARIABLE: &str = "CONVOKE_BIN";
/// The program that runs Hazelcast's members, beside the cases in Java.
const MEMBER: &str = "Member.java";

/// The cases in one language.
struct Language {
    name: &'static str,
    ecosystem: Ecosystem,
    packages: &'static [&'static str],
    script: &'static str,
}

const LANGUAGES: [Language; 4] = [
    Language {
        name: "java",
        ecosystem: Ecosystem::Java,
        packages: &["com.hazelcast:hazelcast:5.7.0", "javax.cache:cache-api:1.1.1"],
        script: "Main.java",
    },
    Language {
        name: "python",
        ecosystem: Ecosystem::Python,
        packages: &["hazelcast-python-client==5.7.0"],
        script: "main.py",
    },
    Language {
        name: "node",
        ecosystem: Ecosystem::Node,
        packages: &["hazelcast-client@5.7.0"],
        script: "main.mjs",
    },
    Language {
        name: "go",
        ecosystem: Ecosystem::Go,
        packages: &["github.com/hazelcast/hazelcast-go-client v1.4.2"],
        script: "main.go",
    },
];

/// The outcome of each case by name.
type Outcomes = BTreeMap<String, String>;

/// The outcomes of the cases in one language.
struct Compared {
    language: &'static str,
    hazelcast: Outcomes,
    convoke: Outcomes,
}

impl Compared {
    /// The cases by name: the outcomes of Hazelcast and Convoke, `None` where it did not run.
    fn cases(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        let only_convoke = self.convoke.keys().filter(|name| !self.hazelcast.contains_key(*name));
        self.hazelcast.keys().chain(only_convoke).map(|name| {
            let [hazelcast, convoke] =
                [&self.hazelcast, &self.convoke].map(|all| all.get(name).map(String::as_str));
            (name.as_str(), hazelcast, convoke)
        })
    }
}

/// Runs all cases, or those in a language whose names begin with the other options. Writes the page
/// if all were run.
pub(super) fn run(workspace: &Workspace, options: &[String]) -> Result<()> {
    let folder = workspace.root.join("tests/peers/hazelcast-clients");
    let differences = differences::read(&folder)?;
    let (wanted, cases) = match options.split_first() {
        Some((language, cases)) => (Some(language.as_str()), cases),
        None => (None, &[][..]),
    };
    if let Some(wanted) = wanted
        && !LANGUAGES.iter().any(|language| language.name == wanted)
    {
        return Err(format!("unknown language {wanted:?}; expected java, python, node or go"));
    }
    let binary = match env::var_os(BINARY_VARIABLE) {
        Some(binary) => std::path::absolute(&binary).unwrap_or_else(|_| binary.into()),
        None => {
            modes::build_host(workspace)?;
            workspace.binary()
        }
    };
    let cache = debian::cache_folder("hazelcast-clients")
        .ok_or("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set")?;
    let member = install(&folder, &cache, &LANGUAGES[0], MEMBER, MEMBERS_HEAP_MIB)?;
    let mut compared = Vec::new();
    let chosen =
        LANGUAGES.iter().filter(|language| wanted.is_none_or(|name| name == language.name));
    for language in chosen {
        let script = language.script;
        let program = install(&folder, &cache, language, script, CLIENT_HEAP_MIB)?;
        let logs = cache.join("logs").join(language.name);
        empty_folder(&logs)?;
        let clusters = Clusters::start(&binary, &logs, &member)?;
        compared.push(compare(language.name, &program, &logs, &clusters, cases, &differences)?);
    }
    let problems = differences.problems(&compared, cases);
    if options.is_empty() {
        page::write(&folder, &compared, &differences)?;
    }
    for problem in &problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        count => Err(format!("{count} cases; see {}", cache.join("logs").display())),
    }
}

/// Runs the cases of a language on both clusters. Cases with a problem are run once more: machines
/// with other work may be slower than cases wait.
fn compare(
    language: &'static str,
    program: &Installed,
    logs: &Path,
    clusters: &Clusters,
    cases: &[String],
    differences: &Differences,
) -> Result<Compared> {
    let run_both = |cases: &[String]| -> Result<Compared> {
        let run = |server: &str, cluster: &str, ports: &[u16]| {
            let path = logs.join(format!("cases-{server}.txt"));
            println!("xtask: running the cases in {language} on {server}");
            outcomes(program, &path, cluster, ports, cases)
        };
        let hazelcast = run("Hazelcast", &clusters.hazelcast.cluster, &clusters.hazelcast.ports)?;
        let ports = clusters.convoke.ports(Protocol::Hazelcast);
        let convoke = run("Convoke", &Members::cluster_name(), &ports)?;
        Ok(Compared { language, hazelcast, convoke })
    };
    let mut all = run_both(cases)?;
    let suspects = differences.suspects(&all);
    if !suspects.is_empty() {
        let again = run_both(&suspects)?;
        for (name_of_server, server, outcomes) in [
            ("Hazelcast", &mut all.hazelcast, again.hazelcast),
            ("Convoke", &mut all.convoke, again.convoke),
        ] {
            for (name, outcome) in outcomes.into_iter().filter(|(name, _)| suspects.contains(name))
            {
                if let Some(before) = server.get(&name).filter(|before| **before != outcome) {
                    println!(
                        "{language} {name} on {name_of_server}: first {before}, then {outcome}"
                    );
                }
                server.insert(name, outcome);
            }
        }
    }
    Ok(all)
}

/// An installed program; a command runs once.
struct Installed {
    program: PathBuf,
    arguments: Vec<std::ffi::OsString>,
    folder: PathBuf,
}

impl Installed {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder);
        command
    }
}

fn install(
    folder: &Path,
    cache: &Path,
    language: &Language,
    script: &str,
    heap_mib: u32,
) -> Result<Installed> {
    let folder = folder.join(language.name);
    let packages: Vec<String> = language.packages.iter().map(|&name| name.to_owned()).collect();
    let cannot_read = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        let name = path.file_name().map(PathBuf::from).unwrap_or_default();
        if path.is_file() {
            sources.push((name, fs::read_to_string(&path).map_err(cannot_read)?));
        }
    }
    sources.sort_unstable();
    let ecosystem = language.ecosystem;
    let has_application = false;
    let program =
        Program { ecosystem, packages: &packages, sources, script, heap_mib, has_application };
    let command = install_program(cache, language.name, &program)?;
    Ok(Installed {
        program: command.get_program().into(),
        arguments: command.get_args().map(Into::into).collect(),
        folder: cache.join(language.name),
    })
}

/// Runs cases; returns their outcomes.
fn outcomes(
    program: &Installed,
    path: &Path,
    cluster: &str,
    ports: &[u16],
    cases: &[String],
) -> Result<Outcomes> {
    let create =
        |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let complaints = path.with_extension("log");
    let mut command = program.command();
    command
        .args(cases)
        .env("PEER_CLUSTER", cluster)
        .env("PEER_PORTS", ports.join(","))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(create(path)?)
        .stderr(create(&complaints)?);
    let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let mut child = Killed(child);
    let end = Instant::now() + RUN_MAX;
    while child.0.try_wait().map_err(|error| error.to_string())?.is_none() {
        if Instant::now() >= end {
            return Err(format!("the cases have not ended after {RUN_MAX:?}"));
        }
        thread::sleep(POLL);
    }
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut outcomes: Outcomes = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, outcome)| (name.to_owned(), outcome.to_owned()))
        .collect();
    match outcomes.remove("done") {
        Some(_) => Ok(outcomes),
        None => Err(format!("not all cases were run; see {}", complaints.display())),
    }
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The members of both, which run at the same time.
struct Clusters {
    hazelcast: Hazelcast,
    convoke: Members,
}

impl Clusters {
    fn start(binary: &Path, logs: &Path, member: &Installed) -> Result<Self> {
        let hazelcast = Hazelcast::start(logs, member)?;
        Ok(Self { hazelcast, convoke: Members::start(binary, logs, Mode::List)? })
    }
}

/// Members of Hazelcast in one process, which ends with this.
struct Hazelcast {
    _process: Killed,
    cluster: String,
    ports: Vec<u16>,
}

impl Hazelcast {
    fn start(logs: &Path, member: &Installed) -> Result<Self> {
        let ports = free_ports(MEMBERS)?;
        let cluster = format!("peer-{}", std::process::id());
        let path = logs.join("hazelcast.log");
        let log = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = member.command();
        command.arg(&cluster).args(ports.iter().map(u16::to_string));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mut process = Killed(child);
        let stdout = process.0.stdout.take();
        // In a thread: a process that hangs prints nothing.
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            for line in lines.map_while(std::result::Result::ok) {
                let _ = sender.send(line);
            }
        });
        let end = Instant::now() + START_MAX;
        loop {
            match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "READY" => break,
                Ok(_) => {}
                Err(_) => return Err(format!("Hazelcast did not start; see {}", path.display())),
            }
        }
        Ok(Self { _process: process, cluster, ports })
    }
}
