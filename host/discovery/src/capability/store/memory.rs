//! A store in memory, for tests and dry runs.

use std::collections::BTreeMap;

use super::value::StoreFailure;
use crate::limits;

#[derive(Debug)]
pub(super) struct Memory(BTreeMap<String, Vec<u8>>);

impl Memory {
    pub(super) fn new(values: BTreeMap<String, Vec<u8>>) -> Self {
        Self(values)
    }

    pub(super) fn load(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    pub(super) fn save(&mut self, name: &str, value: &[u8], max: u64) -> Result<(), StoreFailure> {
        let others = self.0.iter().filter(|(other, _)| *other != name);
        let (mut number, mut bytes) = (1, name.len() + value.len());
        for (name, value) in others {
            number += 1;
            bytes += name.len() + value.len();
        }
        if number > limits::STORE_NAMES_MAX || bytes as u64 > max {
            return Err(StoreFailure::Full);
        }
        self.0.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
