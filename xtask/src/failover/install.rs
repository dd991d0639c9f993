//! Pinned packages in a folder of their own for each entry, and the command that runs its script.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest;
use super::members::empty_folder;
use super::table::{self, Ecosystem, Entry};
use crate::process::{find, output};
use crate::{Result, debian};

/// Written last: a folder without it, or with other contents, is made again.
const STAMP: &str = "made-from";

/// The plugin of Maven that writes where the packages are.
const CLASSPATH: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath";

/// The folder of the application on an entry's page.
const APPLICATION: &str = "application";

/// The Java release that scripts are compiled for.
const JAVA_RELEASE: u8 = 17;

/// Memory of a script in Java, in MiB.
const JAVA_HEAP_MIB: u32 = 256;

/// A program, and the packages that it needs.
pub(crate) struct Program<'a> {
    /// Where the packages are from, and what runs it.
    pub(crate) ecosystem: Ecosystem,
    /// Pinned packages as the ecosystem writes them.
    pub(crate) packages: &'a [String],
    /// Each source: where it is in the folder, and its text.
    pub(crate) sources: Vec<(PathBuf, String)>,
    /// The source that is run; in Java, that of the class.
    pub(crate) script: &'a str,
    /// Memory in MiB, in Java.
    pub(crate) heap_mib: u32,
    /// Whether the sources have an application in [`APPLICATION`], which names its packages itself and
    /// which the script starts. Only in Java.
    pub(crate) has_application: bool,
}

/// Installs the packages of an entry and builds its script, unless that was done. Returns the
/// command that runs it.
pub(super) fn install(scripts: &Path, cache: &Path, name: &str, entry: &Entry) -> Result<Command> {
    let mut sources = sources(&scripts.join(entry.ecosystem.folder()), entry)?;
    if let Some(example) = table::example(scripts, entry)? {
        let files = example.files.into_iter();
        sources.extend(files.map(|(path, text)| (Path::new(APPLICATION).join(path), text)));
    }
    let program = Program {
        ecosystem: entry.ecosystem,
        packages: &entry.packages,
        sources,
        script: &entry.script,
        heap_mib: JAVA_HEAP_MIB,
        has_application: entry.page.is_some(),
    };
    let mut command = install_program(cache, name, &program)?;
    command.args(&entry.arguments);
    Ok(command)
}

/// Installs the packages of a program into the folder of this name and builds it, unless that was
/// done. Returns the command that runs it.
pub(crate) fn install_program(cache: &Path, name: &str, entry: &Program<'_>) -> Result<Command> {
    for program in programs(entry.ecosystem) {
        if find(program).is_none() {
            return Err(format!("there is no {program}, which {name} needs"));
        }
    }
    let (sources, folder) = (&entry.sources, cache.join(name));
    // An application has its own.
    let manifest = match entry.has_application {
        true => None,
        false => manifest::of(entry.ecosystem, entry.packages),
    };
    let of_packages =
        manifest.as_ref().map_or_else(|| entry.packages.join("\n"), |(_, text)| text.clone());
    let (packages, built) = (folder.join(STAMP), folder.join("built-from"));
    let is = |stamp: &Path, text: &str| fs::read_to_string(stamp).is_ok_and(|made| made == text);
    if !is(&packages, &of_packages) {
        println!("xtask: installing {}", entry.packages.join(", "));
        empty_folder(&folder)?;
        if let Some((file, text)) = &manifest {
            write(&folder.join(file), text)?;
        }
        fetch(entry, &folder)?;
        write(&packages, &of_packages)?;
    }
    let mut of_sources = String::new();
    for (path, text) in sources {
        let _ = writeln!(of_sources, "{}\n{text}", path.display());
    }
    if !is(&built, &of_sources) {
        remove_sources(entry.ecosystem, &folder);
        if entry.has_application {
            empty_folder(&folder.join(APPLICATION))?;
        }
        for (path, text) in sources {
            write(&folder.join(path), text)?;
        }
        build(entry, &folder)?;
        write(&built, &of_sources)?;
    }
    Ok(command(entry, &folder))
}

fn programs(ecosystem: Ecosystem) -> &'static [&'static str] {
    match ecosystem {
        Ecosystem::Python => &["python3"],
        Ecosystem::Node => &["node", "npm"],
        Ecosystem::Go => &["go"],
        Ecosystem::Rust => &["cargo"],
        Ecosystem::Java => &["java", "javac", "mvn"],
        Ecosystem::Debian => &["python3", "apt-get", "apt-cache", "dpkg-deb"],
    }
}

/// The script and what it shares with others: where each is in the folder, and its text.
fn sources(scripts: &Path, entry: &Entry) -> Result<Vec<(PathBuf, String)>> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let script = Path::new(&entry.script);
    let files: Vec<(PathBuf, PathBuf)> = match entry.ecosystem {
        Ecosystem::Python => {
            vec![(script.into(), script.into()), ("job.py".into(), "job.py".into())]
        }
        Ecosystem::Debian => {
            vec![(script.into(), script.into()), ("../python/job.py".into(), "job.py".into())]
        }
        Ecosystem::Node => {
            vec![(script.into(), script.into()), ("job.mjs".into(), "job.mjs".into())]
        }
        Ecosystem::Go => {
            vec![(script.into(), "main.go".into()), ("job.go".into(), "job.go".into())]
        }
        Ecosystem::Rust => {
            vec![(script.into(), "src/main.rs".into()), ("job.rs".into(), "src/job.rs".into())]
        }
        Ecosystem::Java => {
            vec![(script.into(), script.into()), ("Job.java".into(), "Job.java".into())]
        }
    };
    files.into_iter().map(|(from, to)| Ok((to, read(scripts.join(from))?))).collect()
}

/// Fetches the packages. Those of Go, of Rust and of applications come when they are built.
fn fetch(entry: &Program<'_>, folder: &Path) -> Result<()> {
    let mut fetch;
    if entry.has_application {
        return Ok(());
    }
    match entry.ecosystem {
        Ecosystem::Python => {
            output(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder))?;
            fetch = Command::new(folder.join("venv/bin/pip"));
            fetch.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
            fetch.arg("requirements.txt");
        }
        Ecosystem::Node => {
            fetch = Command::new("npm");
            fetch.args(["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]);
        }
        Ecosystem::Java => {
            fetch = Command::new("mvn");
            fetch.args(["--quiet", "--batch-mode", CLASSPATH, "-Dmdep.outputFile=classpath"]);
        }
        Ecosystem::Debian => {
            // The version is for the page: apt has one.
            let name = |package: &str| package.split('=').next().unwrap_or_default().to_owned();
            let names: Vec<String> = entry.packages.iter().map(|package| name(package)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let root = folder.join("root");
            let is_library = |name: &str| name.starts_with("lib") && !name.starts_with("libc6");
            return debian::unpacked_with(&root, &names, || {
                debian::with_dependencies(&names, is_library)
            });
        }
        Ecosystem::Go | Ecosystem::Rust => return Ok(()),
    }
    output(fetch.current_dir(folder)).map(drop)
}

fn build(entry: &Program<'_>, folder: &Path) -> Result<()> {
    match entry.ecosystem {
        Ecosystem::Python | Ecosystem::Node | Ecosystem::Debian => Ok(()),
        Ecosystem::Go => {
            // The checksums of modules are added to go.sum.
            let mut go = Command::new("go");
            go.args(["build", "-mod=mod", "-o", "client", "."]).current_dir(folder);
            output(&mut go).map(drop)
        }
        Ecosystem::Rust => {
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--quiet", "--target-dir", "target"]).current_dir(folder);
            output(&mut cargo).map(drop)
        }
        Ecosystem::Java => {
            let list = if entry.has_application {
                // The script only starts the application.
                let mut mvn = Command::new("mvn");
                mvn.args(["--quiet", "--batch-mode", "package"]);
                output(mvn.current_dir(folder.join(APPLICATION)))?;
                String::new()
            } else {
                let list = folder.join("classpath");
                fs::read_to_string(&list).map_err(|e| format!("{}: {e}", list.display()))?
            };
            // An argument file: the list of archives is longer than one argument may be.
            write(&folder.join("javac-args"), &format!("-cp \"{}\"", list.trim()))?;
            let paths = entry.sources.iter().map(|(path, _)| path);
            let mut javac = Command::new("javac");
            javac
                .args(["--release", &JAVA_RELEASE.to_string(), "-parameters", "-proc:none"])
                .args(["-encoding", "UTF-8", "-nowarn", "-d", "classes", "@javac-args"])
                .args(paths.filter(|path| !path.starts_with(APPLICATION)))
                .current_dir(folder);
            output(&mut javac).map(drop)
        }
    }
}

fn command(entry: &Program<'_>, folder: &Path) -> Command {
    let mut command = match entry.ecosystem {
        Ecosystem::Python => {
            let mut python = Command::new(folder.join("venv/bin/python"));
            python.arg(entry.script);
            python
        }
        Ecosystem::Debian => {
            let mut python = Command::new("python3");
            let root = folder.join("root/usr");
            let libraries = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
            let libraries: Vec<String> =
                libraries.map(|library| library.path().display().to_string()).collect();
            python.arg(entry.script);
            python.env("TOOLS", root.join("bin")).env("LD_LIBRARY_PATH", libraries.join(":"));
            python
        }
        Ecosystem::Node => {
            let mut node = Command::new("node");
            node.arg(entry.script);
            node
        }
        Ecosystem::Go => Command::new(folder.join("client")),
        Ecosystem::Rust => Command::new(folder.join("target/debug/client")),
        Ecosystem::Java => {
            let mut java = Command::new("java");
            let list = fs::read_to_string(folder.join("classpath")).unwrap_or_default();
            let class = entry.script.trim_end_matches(".java");
            let heap = format!("-Xmx{}m", entry.heap_mib);
            java.args([heap.as_str(), "-cp", &format!("classes:{}", list.trim())]);
            java.arg(class);
            if entry.has_application {
                java.env("APPLICATION", folder.join(APPLICATION));
            }
            java
        }
    };
    command.current_dir(folder);
    command
}

/// Removes sources of an earlier build that a compiler would include, and what it made of them.
fn remove_sources(ecosystem: Ecosystem, folder: &Path) {
    let extension = match ecosystem {
        Ecosystem::Go => "go",
        Ecosystem::Java => "java",
        _ => return,
    };
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|file| file.extension().is_some_and(|found| found == extension)) {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir_all(folder.join("classes"));
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
