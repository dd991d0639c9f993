//! Pinned packages in the form from which each ecosystem installs them.

use super::table::Ecosystem;

/// Before the coordinates of a list of versions that Maven imports.
const BOM: &str = "bom ";

/// The name and the text of the file; none for Debian, whose packages are fetched by name.
pub(super) fn of(ecosystem: Ecosystem, packages: &[String]) -> Option<(&'static str, String)> {
    Some(match ecosystem {
        Ecosystem::Debian => return None,
        Ecosystem::Python => ("requirements.txt", packages.join("\n") + "\n"),
        Ecosystem::Node => ("package.json", node(packages)),
        Ecosystem::Go => ("go.mod", go(packages)),
        Ecosystem::Rust => ("Cargo.toml", rust(packages)),
        Ecosystem::Java => ("pom.xml", java(packages)),
    })
}

/// `name@version`; the name may begin with `@`.
fn node(packages: &[String]) -> String {
    let pinned = packages.iter().map(|package| package.rsplit_once('@').unwrap_or((package, "*")));
    let pinned: Vec<String> =
        pinned.map(|(name, version)| format!("\"{name}\": \"{version}\"")).collect();
    format!(
        "{{\"private\": true, \"type\": \"module\", \"dependencies\": {{{}}}}}\n",
        pinned.join(", ")
    )
}

/// `path version`.
fn go(packages: &[String]) -> String {
    let required: Vec<String> =
        packages.iter().map(|package| format!("require {package}\n")).collect();
    format!("module client\n\ngo 1.24\n\n{}", required.concat())
}

/// `name@version`, or `name+feature+feature@version`.
fn rust(packages: &[String]) -> String {
    let mut text = "[package]\nname = \"client\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
                    [workspace]\n\n[profile.dev]\ndebug = 0\n\n[dependencies]\n"
        .to_owned();
    for package in packages {
        let (name, version) = package.rsplit_once('@').unwrap_or((package, "*"));
        let mut parts = name.split('+');
        let name = parts.next().unwrap_or_default();
        let features: Vec<String> = parts.map(|feature| format!("\"{feature}\"")).collect();
        let features = features.join(", ");
        text += &format!("{name} = {{ version = \"={version}\", features = [{features}] }}\n");
    }
    text
}

/// `group:artifact:version`; without a version if a list of versions has it, which is written
/// `bom group:artifact:version`.
fn java(packages: &[String]) -> String {
    let dependency = |package: &str, more: &str| {
        let names = ["groupId", "artifactId", "version"];
        let parts = names.iter().zip(package.split(':'));
        let parts: Vec<String> =
            parts.map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        format!("<dependency>{}{more}</dependency>\n", parts.concat())
    };
    let (mut managed, mut used) = (String::new(), String::new());
    for package in packages {
        match package.strip_prefix(BOM) {
            Some(bom) => managed += &dependency(bom, "<type>pom</type><scope>import</scope>"),
            None => used += &dependency(package, ""),
        }
    }
    format!(
        "<project>\n<modelVersion>4.0.0</modelVersion>\n<groupId>client</groupId>\n\
         <artifactId>client</artifactId>\n<version>0</version>\n\
         <dependencyManagement><dependencies>\n{managed}</dependencies></dependencyManagement>\n\
         <dependencies>\n{used}</dependencies>\n</project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ecosystem: Ecosystem, packages: &[&str]) -> String {
        let packages: Vec<String> = packages.iter().map(|&package| package.to_owned()).collect();
        of(ecosystem, &packages).unwrap().1
    }

    #[test]
    fn packages_are_pinned_in_each_ecosystem() {
        let node = text(Ecosystem::Node, &["@socket.io/redis-adapter@8.3.0", "redis@6.3.1"]);
        assert!(
            node.contains(r#""@socket.io/redis-adapter": "8.3.0", "redis": "6.3.1""#),
            "{node}"
        );
        let rust = text(Ecosystem::Rust, &["redis+cluster+script@1.8.1"]);
        let line = r#"redis = { version = "=1.8.1", features = ["cluster", "script"] }"#;
        assert_eq!(rust.lines().last(), Some(line));
        let go = text(Ecosystem::Go, &["github.com/redis/go-redis/v9 v9.23.0"]);
        assert!(go.ends_with("require github.com/redis/go-redis/v9 v9.23.0\n"), "{go}");
    }

    #[test]
    fn a_list_of_versions_gives_the_versions_of_maven() {
        let java = text(Ecosystem::Java, &["a:b", "bom c:d:1"]);
        let used = "<dependencies>\n<dependency><groupId>a</groupId><artifactId>b</artifactId>\
                    </dependency>\n</dependencies>\n</project>";
        assert!(java.contains(used), "{java}");
        let managed = "<artifactId>d</artifactId><version>1</version><type>pom</type>";
        assert!(java.contains(managed), "{java}");
    }
}
