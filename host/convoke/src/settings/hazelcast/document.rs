//! An XML or YAML file as a flat list of paths and values. Attributes and elements of XML get the
//! paths of the corresponding YAML keys, so that one reader handles both.

use std::path::{Path, PathBuf};

use super::super::read::read_text;
use super::quoted::{one_line, quoted, shown_path};
use super::tree::{self, Tree, VALUES_MAX};

/// Nesting levels of one file.
const DEPTH_MAX: usize = 32;
/// Depth of nested imports.
const IMPORTS_MAX: usize = 8;

/// What the contents of a file depend on besides its text: its directory and environment variables.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The directory that relative imports are resolved against.
    pub(crate) folder: PathBuf,
    /// Environment variables, sorted.
    pub(crate) environment: Vec<(String, String)>,
}

/// Prefix of the environment variables that replace `${…}`.
const VARIABLE_PREFIX: &str = "CONVOKE_HZ_";
/// Prefix of the environment variables that override values, as in Hazelcast.
const OVERRIDE_PREFIX: &str = "HZ_";

/// The values of a file that have not been read yet; reading a value removes it.
#[derive(Debug)]
pub(super) struct Document {
    /// Paths below `hazelcast`, in the order of the file. An empty element has an empty value.
    values: Vec<(String, String)>,
    /// Overrides from the environment: a plain path (see [`plain`]), the value, and the name of the
    /// variable.
    overrides: Vec<(String, String, String)>,
    environment: Vec<(String, String)>,
    /// Whether `network` holds the contents of `advanced-network`.
    is_advanced: bool,
}

impl Document {
    pub(super) fn read(text: &str, surroundings: &Surroundings) -> Result<Self, String> {
        let environment = surroundings.environment.clone();
        let overrides = environment.iter().filter_map(|(name, value)| {
            let path = name.strip_prefix(OVERRIDE_PREFIX)?.to_ascii_lowercase().replace('_', ".");
            (!path.is_empty()).then(|| (path, value.clone(), name.clone()))
        });
        let mut document = Self {
            values: Vec::new(),
            overrides: overrides.collect(),
            environment,
            is_advanced: false,
        };
        document.read_file(text, &surroundings.folder, 0)?;
        Ok(document)
    }

    fn read_file(&mut self, text: &str, folder: &Path, imports: usize) -> Result<(), String> {
        let text = text.trim_start_matches('\u{feff}');
        if text.trim_start().starts_with('<') {
            self.read_xml(text, folder, imports)
        } else {
            self.read_yaml(text, folder, imports)
        }
    }

    fn read_xml(&mut self, text: &str, folder: &Path, imports: usize) -> Result<(), String> {
        let tree = roxmltree::Document::parse(text).map_err(|error| {
            format!("the file is not well-formed XML: {}", quoted(&error.to_string()))
        })?;
        let root = tree.root_element();
        let name = root.tag_name().name();
        if name != "hazelcast" {
            return Err(format!("its root is <{}>; expected <hazelcast>", quoted(name)));
        }
        for child in root.children().filter(roxmltree::Node::is_element) {
            match child.attribute("resource") {
                Some(resource) if child.tag_name().name() == "import" => {
                    self.import(resource, folder, imports)?;
                }
                _ => self.add_element(child, "", 0)?,
            }
        }
        Ok(())
    }

    fn add_element(
        &mut self,
        node: roxmltree::Node<'_, '_>,
        above: &str,
        depth: usize,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it has more than {DEPTH_MAX} levels"));
        }
        let tag = node.tag_name().name();
        let mut path = match node.attribute("name") {
            Some(name) => join(above, &format!("{tag}[{name}]")),
            None => join(above, tag),
        };
        if tag == STRATEGY {
            path = self.numbered(&path);
        }
        for attribute in node.attributes() {
            if attribute.namespace().is_none() && attribute.name() != "name" {
                self.add(join(&path, attribute.name()), attribute.value().trim())?;
            }
        }
        // Comments and processing instructions split a text into several nodes.
        let text: String = node
            .children()
            .filter(roxmltree::Node::is_text)
            .filter_map(|text| text.text())
            .collect();
        let is_empty = !node.children().any(|child| child.is_element())
            && !node.attributes().any(|attribute| attribute.name() != "name");
        if is_empty || !text.trim().is_empty() {
            self.add(path.clone(), text.trim())?;
        }
        for child in node.children().filter(roxmltree::Node::is_element) {
            self.add_element(child, &path, depth + 1)?;
        }
        Ok(())
    }

    /// The path of one of several elements with the same name.
    fn numbered(&self, path: &str) -> String {
        let number = (0..).find(|number| {
            let start = format!("{path}[{number}]");
            !self.values.iter().any(|(known, _)| known.starts_with(&start))
        });
        format!("{path}[{}]", number.unwrap_or_default())
    }

    fn read_yaml(&mut self, text: &str, folder: &Path, imports: usize) -> Result<(), String> {
        let Tree::Map(top) = tree::read(text)? else {
            return Err("it has no key \"hazelcast\"; is it a Hazelcast file?".to_owned());
        };
        let Some((_, root)) = top.into_iter().find(|(key, _)| key == "hazelcast") else {
            return Err("it has no key \"hazelcast\"; is it a Hazelcast file?".to_owned());
        };
        let Tree::Map(entries) = root else { return Ok(()) };
        let (imported, entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, _)| key == "import");
        for (_, list) in imported {
            for resource in list.texts() {
                self.import(&resource, folder, imports)?;
            }
        }
        entries.iter().try_for_each(|(key, value)| self.add_value(value, key, 0))
    }

    fn add_value(&mut self, value: &Tree, path: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it has more than {DEPTH_MAX} levels"));
        }
        match value {
            Tree::Nothing => self.add(path.to_owned(), ""),
            Tree::Map(entries) if entries.is_empty() => self.add(path.to_owned(), ""),
            // Names of maps may contain dots.
            Tree::Map(entries) if path == "map" => entries.iter().try_for_each(|(key, value)| {
                self.add_value(value, &format!("{path}[{key}]"), depth + 1)
            }),
            Tree::Map(entries) => entries
                .iter()
                .try_for_each(|(key, value)| self.add_value(value, &join(path, key), depth + 1)),
            Tree::List(values) if path.ends_with(STRATEGIES) => {
                // The list has the name of its parent.
                let inner = format!(".{STRATEGIES}");
                let above = path.strip_suffix(&inner).filter(|above| above.ends_with(&inner));
                let above = above.unwrap_or(path);
                values.iter().try_for_each(|value| {
                    let path = self.numbered(&join(above, STRATEGY));
                    self.add_value(value, &path, depth + 1)
                })
            }
            Tree::List(values) => {
                values.iter().try_for_each(|value| self.add_value(value, path, depth + 1))
            }
            Tree::Text(text) => self.add(path.to_owned(), text.trim()),
        }
    }

    /// Reads another file in the place of the import.
    fn import(&mut self, resource: &str, folder: &Path, imports: usize) -> Result<(), String> {
        let shown = quoted(resource);
        let refused = |why: &str| format!("{IMPORT} {shown:?} {why}");
        if imports >= IMPORTS_MAX {
            return Err(refused(&format!(
                "is nested more than {IMPORTS_MAX} levels deep; do the files import each other?"
            )));
        }
        let path = resource.trim().strip_prefix("file:").unwrap_or(resource.trim());
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with("classpath:") || path.contains("://") {
            return Err(refused("is not a file path; give a path relative to this file"));
        }
        let path = folder.join(path);
        let text = read_text(&path).map_err(|error| refused(&one_line(&error.0)))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        self.read_file(&text, folder, imports + 1).map_err(|why| {
            // The innermost file is the one that must be corrected.
            if why.starts_with(IMPORT) { why } else { refused(&format!("({why})")) }
        })
    }

    fn add(&mut self, path: String, value: &str) -> Result<(), String> {
        if self.values.len() >= VALUES_MAX {
            return Err(format!("it has more than {VALUES_MAX} values"));
        }
        let value = self.filled(value);
        self.values.push((path, value));
        Ok(())
    }

    /// The text with the variables that are set in the environment.
    fn filled(&self, text: &str) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, behind)) = after.split_once('}') else { break };
            filled.push_str(before);
            match self.variable(name) {
                Some(value) => filled.push_str(value),
                None => filled.push_str(&format!("${{{name}}}")),
            }
            rest = behind;
        }
        filled.push_str(rest);
        filled
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let own = variable_name(name);
        let known = |target: &str| {
            let found = self.environment.iter().find(|(known, _)| known == target);
            found.map(|(_, value)| value.as_str())
        };
        known(&own).or_else(|| known(name))
    }

    /// Moves the contents of `advanced-network` to `network`. As in Hazelcast, a file may only have
    /// one of them.
    pub(super) fn advance(&mut self) -> Result<(), String> {
        let is_below = |(path, ..): &(String, String, String)| is_below(path, "network");
        if self.has("network") || self.overrides.iter().any(is_below) {
            return Err("hazelcast.network is present and hazelcast.advanced-network is enabled, which is ambiguous; keep one of them".to_owned());
        }
        self.is_advanced = true;
        for (path, _) in &mut self.values {
            for (theirs, ours) in [(ADVANCED_MEMBER, "network"), (ADVANCED_JOIN, "network.join")] {
                if let Some(rest) = path.strip_prefix(theirs)
                    && rest.starts_with('.')
                {
                    *path = format!("{ours}{rest}");
                }
            }
        }
        for (path, ..) in &mut self.overrides {
            for (theirs, ours) in [(ADVANCED_MEMBER, "network"), (ADVANCED_JOIN, "network.join")] {
                if let Some(rest) = path.strip_prefix(&plain(theirs))
                    && rest.starts_with('.')
                {
                    *path = format!("{ours}{rest}");
                }
            }
        }
        Ok(())
    }

    /// The path as written in the file.
    pub(super) fn shown(&self, path: &str) -> String {
        let path = if !self.is_advanced {
            path.to_owned()
        } else if let Some(rest) = path.strip_prefix("network.join") {
            format!("{ADVANCED_JOIN}{rest}")
        } else if let Some(rest) = path.strip_prefix("network") {
            format!("{ADVANCED_MEMBER}{rest}")
        } else {
            path.to_owned()
        };
        format!("hazelcast.{}", shown_path(&path))
    }

    /// Removes and returns all values of `path`; empty values are skipped.
    pub(super) fn texts(&mut self, path: &str) -> Result<Vec<String>, String> {
        let mut texts = self.take(path)?;
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    fn take(&mut self, path: &str) -> Result<Vec<String>, String> {
        let mut taken = Vec::new();
        self.values.retain(|(known, value)| {
            let is_it = is_same(known, path);
            if is_it {
                taken.push(value.clone());
            }
            !is_it
        });
        let target = plain(path);
        if let Some(at) = self.overrides.iter().position(|(known, ..)| *known == target) {
            taken = vec![self.overrides.remove(at).1];
        }
        match taken.iter().find(|text| text.contains("${")) {
            Some(text) => {
                let name = text.split_once("${").map_or("", |(_, rest)| rest);
                let name = name.split(['}', ':']).next().unwrap_or_default();
                Err(format!(
                    "{}: {:?} contains a variable; write its value, or set {} in the environment",
                    self.shown(path),
                    quoted(text),
                    variable_name(name)
                ))
            }
            None => Ok(taken),
        }
    }

    /// Removes and returns the values of several paths with the same meaning; the last one present
    /// wins.
    pub(super) fn last_text<const N: usize>(
        &mut self,
        paths: [String; N],
    ) -> Result<Option<String>, String> {
        let mut found = None;
        for path in paths {
            found = self.text(&path)?.or(found);
        }
        Ok(found)
    }

    /// Removes and returns a property below `path`, in any of its forms.
    pub(super) fn property(&mut self, path: &str, name: &str) -> Result<Option<String>, String> {
        self.last_text(property_forms(path, name))
    }

    /// Whether the file has a value for `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.values.iter().any(|(known, _)| is_below(known, path))
    }

    /// Names below `path` that occur only in the environment.
    pub(super) fn names_of_overrides(&self, path: &str) -> Vec<String> {
        let below = format!("{path}.");
        let mut names: Vec<String> = Vec::new();
        for (known, ..) in &self.overrides {
            let name = known.strip_prefix(&below).and_then(|rest| rest.split('.').next());
            let is_new = |name: &&str| {
                let start = format!("{below}{name}.");
                let is_known = |(known, _): &(String, String)| {
                    let known = plain(known);
                    known.starts_with(&start) || known == start[..start.len() - 1]
                };
                !self.values.iter().any(is_known) && !names.iter().any(|listed| listed == name)
            };
            names.extend(name.filter(is_new).map(str::to_owned));
        }
        names
    }

    /// Whether the file has a property below `path`.
    pub(super) fn has_property(&self, path: &str, name: &str) -> bool {
        let forms = property_forms(path, name);
        self.values.iter().any(|(known, _)| forms.iter().any(|form| is_same(known, form)))
    }

    /// Removes and returns the value of `path`. Only maps and properties may have several values;
    /// the last one wins.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        let mut texts = self.take(path)?;
        let may_have_several = path.starts_with("map[") || path.contains("propert");
        if let [first, .., last] = &texts[..]
            && first != last
            && !may_have_several
        {
            return Err(format!(
                "{} is both {:?} and {:?}; keep one of them",
                self.shown(path),
                quoted(first),
                quoted(last)
            ));
        }
        match texts.pop() {
            Some(text) if text.is_empty() => {
                Err(format!("{} is empty; give it a value, or remove it", self.shown(path)))
            }
            text => Ok(text),
        }
    }

    /// Removes and returns a boolean.
    pub(super) fn is_on(&mut self, path: &str, default: bool) -> Result<bool, String> {
        let text = self.text(path)?;
        self.switch(path, text.as_deref(), default)
    }

    /// Parses a boolean.
    pub(super) fn switch(
        &self,
        path: &str,
        text: Option<&str>,
        default: bool,
    ) -> Result<bool, String> {
        match text.map(str::trim) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                Err(format!("{}: {:?} is neither true nor false", self.shown(path), quoted(text)))
            }
        }
    }

    /// Parses a port.
    pub(super) fn port(&self, path: &str, text: &str) -> Result<u16, String> {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.ok_or_else(|| {
            format!("{}: {:?} is not a port; expected 1 to 65535", self.shown(path), quoted(text))
        })
    }

    /// Removes and returns a number in this range.
    pub(super) fn number(
        &mut self,
        path: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, String> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        match text.parse().ok().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!(
                "{}: {:?} is not {} to {}",
                self.shown(path),
                quoted(&text),
                range.start(),
                range.end()
            )),
        }
    }

    /// Removes everything below `path`, for a feature that is disabled.
    pub(super) fn forget(&mut self, path: &str) {
        self.values.retain(|(known, _)| !is_below(known, path));
        let path = plain(path);
        self.overrides.retain(|(known, ..)| !is_below(known, &path));
    }

    /// Removes `path` if it has the default value.
    pub(super) fn forget_default(&mut self, path: &str, default: &str) {
        let is_default = |value: &str| value.eq_ignore_ascii_case(default);
        self.values.retain(|(known, value)| known != path || !is_default(value));
    }

    /// The names directly below `path`, or at the top level.
    pub(super) fn names_below(&self, path: &str) -> Vec<String> {
        let below = if path.is_empty() { String::new() } else { format!("{path}.") };
        let mut names: Vec<String> = Vec::new();
        for (known, _) in &self.values {
            let Some(rest) = known.strip_prefix(&below) else { continue };
            // A name in brackets may contain dots.
            let from = rest.find('[').filter(|open| !rest[..*open].contains('.'));
            let from = from.and_then(|open| Some(open + rest[open..].find(']')?)).unwrap_or(0);
            let end = rest[from..].find('.').map_or(rest.len(), |dot| from + dot);
            if !names.iter().any(|listed| *listed == rest[..end]) {
                names.push(rest[..end].to_owned());
            }
        }
        names
    }

    /// Paths that were not read, each once, except those of disabled features.
    pub(super) fn rest(mut self) -> Vec<String> {
        let off = |(path, value): &(String, String)| {
            let above = path.strip_suffix(".enabled")?;
            value.eq_ignore_ascii_case("false").then(|| above.to_owned())
        };
        let switched_off: Vec<String> = self.values.iter().filter_map(off).collect();
        switched_off.iter().for_each(|path| self.forget(path));
        let mut paths: Vec<String> = Vec::new();
        let shown = self.values.iter().filter(|(_, value)| !value.is_empty());
        let shown = shown.map(|(path, _)| self.shown(path));
        let variables = self.overrides.iter().map(|(_, _, name)| quoted(name));
        for path in shown.chain(variables) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }
}

/// The start of an error in an imported file.
const IMPORT: &str = "hazelcast.import:";

/// A Hazelcast discovery plug-in, and the list of them.
const STRATEGY: &str = "discovery-strategy";
const STRATEGIES: &str = "discovery-strategies";
const ADVANCED_MEMBER: &str = "advanced-network.member-server-socket-endpoint-config";
const ADVANCED_JOIN: &str = "advanced-network.join";

/// The paths of a property in XML and YAML, directly and in `properties`.
fn property_forms(path: &str, name: &str) -> [String; 4] {
    ["", "properties.", "property[", "properties.property["].map(|form| {
        let end = if form.ends_with('[') { "]" } else { "" };
        join(path, &format!("{form}{name}{end}"))
    })
}

/// Whether a path is `known`, or below it.
fn is_below(known: &str, path: &str) -> bool {
    known.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether two paths are the same. Below `network.join`, case and dashes are ignored.
fn is_same(known: &str, path: &str) -> bool {
    known == path
        || known.starts_with("network.join.")
            && path.starts_with("network.join.")
            && plain(known) == plain(path)
}

/// A path without the characters that environment variables cannot have, as Hazelcast compares
/// them.
pub(super) fn plain(path: &str) -> String {
    let kept = path.chars().filter(|c| !matches!(c, '-' | ']'));
    kept.map(|c| if c == '[' { '.' } else { c.to_ascii_lowercase() }).collect()
}

/// The environment variable that replaces `${name}`.
fn variable_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{VARIABLE_PREFIX}{}", name.chars().map(plain).collect::<String>())
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}
