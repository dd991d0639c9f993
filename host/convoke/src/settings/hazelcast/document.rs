//! An XML or YAML file as a flat list of paths and values: attributes and
//! elements of XML are named as the keys of YAML are, so that one reader does.

use serde_json::Value;

/// Levels of one file.
const DEPTH_MAX: usize = 32;
/// Values of one file.
const VALUES_MAX: usize = 20_000;
/// Bytes of a foreign text that are shown.
const SHOWN_CHARS: usize = 80;

/// What is left of a file; reading a value takes it out.
#[derive(Debug)]
pub(super) struct Document {
    /// Below `hazelcast`, in the order of the file.
    values: Vec<(String, String)>,
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut document = Self { values: Vec::new() };
        if text.trim_start().starts_with('<') {
            document.read_xml(text)?;
        } else {
            document.read_yaml(text)?;
        }
        Ok(document)
    }

    fn read_xml(&mut self, text: &str) -> Result<(), String> {
        let tree = roxmltree::Document::parse(text).map_err(|error| {
            format!("the file is not well-formed XML: {}", one_line(&error.to_string()))
        })?;
        let root = tree.root_element();
        let name = root.tag_name().name();
        if name != "hazelcast" {
            return Err(format!("its root is <{}>; expected <hazelcast>", one_line(name)));
        }
        for child in root.children().filter(roxmltree::Node::is_element) {
            self.add_element(child, "", 0)?;
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
        let path = match node.attribute("name") {
            Some(name) => join(above, &format!("{tag}[{}]", one_line(name))),
            None => join(above, tag),
        };
        for attribute in node.attributes() {
            if attribute.namespace().is_none() && attribute.name() != "name" {
                self.add(join(&path, attribute.name()), attribute.value())?;
            }
        }
        let text = node.text().map(str::trim).unwrap_or_default();
        if !text.is_empty() {
            self.add(path.clone(), text)?;
        }
        for child in node.children().filter(roxmltree::Node::is_element) {
            self.add_element(child, &path, depth + 1)?;
        }
        Ok(())
    }

    fn read_yaml(&mut self, text: &str) -> Result<(), String> {
        let tree: Value = serde_saphyr::from_str(text).map_err(|error| {
            format!("the file is not well-formed YAML: {}", one_line(&error.to_string()))
        })?;
        match tree.get("hazelcast") {
            Some(Value::Null) => Ok(()),
            Some(tree) => self.add_value(tree, "", 0),
            None => Err("it has no key \"hazelcast\"; is it a file of Hazelcast's?".to_owned()),
        }
    }

    fn add_value(&mut self, value: &Value, path: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("it has more than {DEPTH_MAX} levels"));
        }
        match value {
            Value::Null => Ok(()),
            Value::Object(map) => map.iter().try_for_each(|(key, value)| {
                self.add_value(value, &join(path, &one_line(key)), depth + 1)
            }),
            Value::Array(values) => {
                values.iter().try_for_each(|value| self.add_value(value, path, depth + 1))
            }
            Value::String(text) => self.add(path.to_owned(), text.trim()),
            plain => self.add(path.to_owned(), &plain.to_string()),
        }
    }

    fn add(&mut self, path: String, value: &str) -> Result<(), String> {
        if self.values.len() >= VALUES_MAX {
            return Err(format!("it has more than {VALUES_MAX} values"));
        }
        self.values.push((path, value.to_owned()));
        Ok(())
    }

    /// Takes all values of `path`.
    pub(super) fn texts(&mut self, path: &str) -> Result<Vec<String>, String> {
        let mut taken = Vec::new();
        self.values.retain(|(known, value)| {
            let is_it = known == path;
            if is_it {
                taken.push(value.clone());
            }
            !is_it
        });
        match taken.iter().find(|text| text.contains("${")) {
            Some(text) => Err(format!(
                "hazelcast.{path}: {:?} holds a variable, which only Hazelcast can fill; write its value",
                one_line(text)
            )),
            None => Ok(taken),
        }
    }

    /// Takes the last value of `path`.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        Ok(self.texts(path)?.pop())
    }

    /// Takes a switch.
    pub(super) fn is_on(&mut self, path: &str, usual: bool) -> Result<bool, String> {
        match self.text(path)?.as_deref() {
            None => Ok(usual),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => {
                Err(format!("hazelcast.{path}: {:?} is neither true nor false", one_line(text)))
            }
        }
    }

    /// Reads a port.
    pub(super) fn number(&self, path: &str, text: &str) -> Result<u16, String> {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.ok_or_else(|| {
            format!("hazelcast.{path}: {:?} is not a port; expected 1 to 65535", one_line(text))
        })
    }

    /// Drops all below `path`: it is switched off.
    pub(super) fn forget(&mut self, path: &str) {
        let below = format!("{path}.");
        self.values.retain(|(known, _)| known != path && !known.starts_with(&below));
    }

    /// Drops `path` where it says what holds anyway.
    pub(super) fn forget_default(&mut self, path: &str, usual: &str) {
        self.values.retain(|(known, value)| known != path || value != usual);
    }

    /// The names right below `path`.
    pub(super) fn names_below(&self, path: &str) -> Vec<String> {
        let below = format!("{path}.");
        let mut names: Vec<String> = Vec::new();
        for (known, _) in &self.values {
            if let Some(name) = known.strip_prefix(&below).and_then(|rest| rest.split('.').next())
                && !names.iter().any(|listed| listed == name)
            {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// Paths that nobody took, each once.
    pub(super) fn rest(self) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for (path, _) in self.values {
            let path = format!("hazelcast.{path}");
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn one_line(text: &str) -> String {
    let line: Vec<&str> = text.split_whitespace().collect();
    let line = line.join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
