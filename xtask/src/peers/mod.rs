//! `cargo xtask peers`: compares how other software and Convoke read the same input. Not part of
//! CI, which compares with the values recorded here.

mod clients;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::modes::build_binary;
use crate::process::{find, output, run as run_command};
use crate::workspace::Workspace;
use crate::{Result, debian, modes};

/// The version of Hazelcast whose values are recorded; also named on the page with the comparison.
const HAZELCAST: &str = "5.7.0";
/// Maven's coordinates of Hazelcast, and the goal that downloads it.
const ARTIFACT: &str = "com.hazelcast:hazelcast";
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";
/// Debian's package of a Java compiler, for machines without one.
const JDK: &str = "openjdk-17-jdk-headless";
/// The Java runtime that the compiler's package depends on.
const JRE: &str = "openjdk-17-jre-headless";
/// Prefix of the lines of an `.env` file that are system properties.
const VARIABLE: &str = "variable ";

/// Compares with one peer.
pub(crate) fn run(workspace: &Workspace, name: &str, options: &[String]) -> Result<()> {
    match name {
        "hazelcast" if options.is_empty() => hazelcast(workspace),
        "hazelcast" => Err("peers hazelcast has no options".to_owned()),
        "hazelcast-clients" => clients::run(workspace, options),
        unknown => {
            Err(format!("unknown peer {unknown:?}; expected hazelcast or hazelcast-clients"))
        }
    }
}

/// Records the values that Hazelcast reads from the files of the corpus, then compares them with
/// Convoke's and writes the page.
fn hazelcast(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("tests/peers/hazelcast");
    let (java, jar) = (java(workspace)?, jar(workspace)?);
    let mut recorded = format!(
        "# Values that Hazelcast {HAZELCAST} reads from each file of the corpus; written by\n\
         # `cargo xtask peers hazelcast`.\n"
    );
    // A file with an `.env` file is read in a separate run, with that environment.
    let (alone, together): (Vec<_>, Vec<_>) =
        corpus(&folder)?.into_iter().partition(|file| environment(file).is_file());
    let runs = alone.iter().map(std::slice::from_ref).chain([together.as_slice()]);
    let mut by_file = BTreeMap::new();
    for files in runs.filter(|files| !files.is_empty()) {
        let printed = output(&mut effective(&java, &jar, &folder, files)?)?;
        let mut rest = printed.as_str();
        // Each section begins with a file's name in brackets; no value line does.
        while let Some(start) = rest.strip_prefix('[') {
            let end = start.find("\n[").map_or(rest.len(), |end| end + 2);
            let (section, after) = rest.split_at(end);
            let name = section.lines().next().unwrap_or_default().to_owned();
            by_file.insert(name, section.trim_end().to_owned());
            rest = after;
        }
    }
    for section in by_file.values() {
        recorded.push('\n');
        recorded.push_str(section);
        recorded.push('\n');
    }
    let path = folder.join("recorded.txt");
    fs::write(&path, recorded).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("xtask: recorded {} files in {}", by_file.len(), path.display());
    modes::build_host(workspace)?;
    build_binary(workspace, "peers")?;
    let mut peers = Command::new(workspace.target.join("release/peers"));
    run_command(peers.arg("hazelcast").env("CONVOKE_BIN", workspace.binary()))
}

/// The command that prints the values that Hazelcast reads from these files.
fn effective(java: &Path, jar: &Path, folder: &Path, files: &[PathBuf]) -> Result<Command> {
    let mut program = Command::new(java);
    // Imports in the files are relative to the working directory.
    program.current_dir(folder.join("corpus"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HZ_") {
            program.env_remove(name);
        }
    }
    if let [file] = files
        && environment(file).is_file()
    {
        let path = environment(file);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match name.strip_prefix(VARIABLE) {
                Some(name) => program.arg(format!("-D{name}={value}")),
                None => program.env(name, value),
            };
        }
    }
    program.args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp"]).arg(jar);
    program.arg(folder.join("Effective.java"));
    program.args(files.iter().filter_map(|file| file.file_name()));
    Ok(program)
}

/// The files of the corpus, sorted.
fn corpus(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join("corpus");
    let cannot_read = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        if path.extension().is_some_and(|extension| extension == "xml" || extension == "yaml") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn environment(file: &Path) -> PathBuf {
    file.with_extension("env")
}

/// The path of Hazelcast's jar; downloaded with Maven if it is missing.
pub(crate) fn jar(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("peers/hazelcast");
    let jar = folder.join(format!("hazelcast-{HAZELCAST}.jar"));
    if jar.is_file() {
        return Ok(jar);
    }
    if find("mvn").is_none() {
        return Err(format!(
            "mvn is not installed; install Maven, or copy hazelcast-{HAZELCAST}.jar to {}",
            folder.display()
        ));
    }
    println!("xtask: downloading {ARTIFACT}:{HAZELCAST}");
    let mut copy = Command::new("mvn");
    copy.args(["--quiet", "--batch-mode", COPY]);
    copy.arg(format!("-Dartifact={ARTIFACT}:{HAZELCAST}"));
    copy.arg(format!("-DoutputDirectory={}", folder.display()));
    run_command(&mut copy)?;
    if jar.is_file() { Ok(jar) } else { Err(format!("Maven did not create {}", jar.display())) }
}

/// A Java that can run source files: the installed one, or Debian's, unpacked.
pub(crate) fn java(workspace: &Workspace) -> Result<PathBuf> {
    let has_compiler = |java: &Path| {
        output(Command::new(java).arg("--list-modules"))
            .is_ok_and(|modules| modules.contains("jdk.compiler"))
    };
    if let Some(java) = find("java").filter(|java| has_compiler(java)) {
        return Ok(java);
    }
    let folder = workspace.target.join("peers/java");
    debian::unpacked(&folder, &[JDK, JRE])?;
    let machines = folder.join("usr/lib/jvm");
    let found = fs::read_dir(&machines).into_iter().flatten().flatten();
    let mut found = found.map(|entry| entry.path().join("bin/java"));
    let java = found.find(|java| java.is_file());
    java.ok_or_else(|| format!("{JDK} contains no java below {}", machines.display()))
}
