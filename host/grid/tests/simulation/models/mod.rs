//! Models of data structures: what each operation returns, and what it changes.

pub(crate) mod cache;
pub(crate) mod counter;
pub(crate) mod distinct;
pub(crate) mod items;
pub(crate) mod partition;
pub(crate) mod register;
pub(crate) mod ring;

use convoke_grid::Reply;
use convoke_grid::op::LABEL_BYTES;

/// An item of a collection: a label and an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) label: u8,
    pub(crate) identity: u32,
}

impl Item {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.label; LABEL_BYTES];
        bytes.extend_from_slice(&self.identity.to_be_bytes());
        bytes
    }

    pub(crate) fn reply(self) -> Reply {
        Reply::bytes(&self.bytes())
    }
}

/// The bytes of several items.
pub(crate) fn all_bytes(items: &[Item]) -> Vec<Vec<u8>> {
    items.iter().map(|item| item.bytes()).collect()
}

/// Borrows each of several byte strings.
pub(crate) fn borrowed(all: &[Vec<u8>]) -> Vec<&[u8]> {
    all.iter().map(|bytes| &**bytes).collect()
}
