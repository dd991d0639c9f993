//! Writing a value.

use convoke_grid::op::{Content, integer};

use super::packed::ListpackWriter;
use super::{VERSION, VERSION_WITH_FIELD_DEADLINES, form, stream};

/// Length at which a node of a list is complete, in bytes.
const NODE_BYTES: usize = 8 * 1024;
/// A node of a list that is a listpack.
const NODE_PACKED: u64 = 2;

/// The type, the value, and the version of the encoding.
pub(super) fn save(content: &Content<'_>) -> (Vec<u8>, u16) {
    let mut writer = Writer(Vec::new());
    let version = match content {
        Content::Hash(fields) if fields.iter().any(|field| field.deadline_ms.is_some()) => {
            VERSION_WITH_FIELD_DEADLINES
        }
        _ => VERSION,
    };
    match content {
        Content::Bytes(bytes) => {
            writer.0.push(form::STRING);
            writer.string(bytes);
        }
        Content::List(elements) => {
            writer.0.push(form::LIST_QUICKLIST_2);
            let nodes = nodes(elements.iter().map(|element| &**element));
            writer.length(nodes.len() as u64);
            for node in nodes {
                writer.length(NODE_PACKED);
                writer.raw(&node);
            }
        }
        Content::Set(members) => {
            writer.0.push(form::SET);
            writer.length(members.len() as u64);
            members.iter().for_each(|member| writer.string(member));
        }
        Content::Hash(fields) => {
            let first_ms = fields.iter().filter_map(|field| field.deadline_ms).min();
            match first_ms {
                None => writer.0.push(form::HASH),
                Some(first_ms) => {
                    writer.0.push(form::HASH_DEADLINES);
                    writer.0.extend_from_slice(&first_ms.to_le_bytes());
                }
            }
            writer.length(fields.len() as u64);
            for field in fields {
                if let Some(first_ms) = first_ms {
                    let after = field.deadline_ms.map(|ms| ms.saturating_sub(first_ms) + 1);
                    writer.length(after.unwrap_or(0));
                }
                writer.string(&field.name);
                writer.string(&field.value);
            }
        }
        Content::SortedSet(members) => {
            writer.0.push(form::SORTED_SET);
            writer.length(members.len() as u64);
            for (score, name) in members {
                writer.string(name);
                writer.0.extend_from_slice(&score.get().to_le_bytes());
            }
        }
        Content::Stream(stream) => stream::save(&mut writer, stream),
    }
    (writer.0, version)
}

/// Appends a string.
pub(super) fn append_string(bytes: &mut Vec<u8>, string: &[u8]) {
    let mut writer = Writer(std::mem::take(bytes));
    writer.string(string);
    *bytes = writer.0;
}

/// The nodes of a list.
fn nodes<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut nodes, mut node) = (Vec::new(), ListpackWriter::new());
    for element in elements {
        if !node.is_empty() && node.len() + element.len() > NODE_BYTES {
            nodes.push(std::mem::replace(&mut node, ListpackWriter::new()).finish());
        }
        node.push(element);
    }
    if !node.is_empty() {
        nodes.push(node.finish());
    }
    nodes
}

/// The type and the value so far.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn length(&mut self, length: u64) {
        match length {
            0..=0x3F => self.0.push(length as u8),
            0x40..=0x3FFF => self.0.extend([0x40 | (length >> 8) as u8, length as u8]),
            0x4000..=0xFFFF_FFFF => {
                self.0.push(0x80);
                self.0.extend_from_slice(&(length as u32).to_be_bytes());
            }
            _ => {
                self.0.push(0x81);
                self.0.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// A string as its bytes.
    pub(super) fn raw(&mut self, string: &[u8]) {
        self.length(string.len() as u64);
        self.0.extend_from_slice(string);
    }

    /// A string; as an integer if it is a small one.
    pub(super) fn string(&mut self, string: &[u8]) {
        let Some(number) = integer(string).and_then(|number| i32::try_from(number).ok()) else {
            return self.raw(string);
        };
        let bytes = number.to_le_bytes();
        let (special, length) = match number {
            -0x80..=0x7F => (0, 1),
            -0x8000..=0x7FFF => (1, 2),
            _ => (2, 4),
        };
        self.0.push(0xC0 | special);
        self.0.extend_from_slice(&bytes[..length]);
    }
}
