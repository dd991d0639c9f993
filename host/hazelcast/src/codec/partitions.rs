//! The partition table.

use uuid::Uuid;

use super::field::{Problem, Variable};
use super::lists::{List, Packed};
use crate::frame::Frames;
use crate::message::Writer;

/// Which member owns which partitions. Partitions without an owner are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartitionTable<'a> {
    owners: Packed<'a, Uuid>,
    partitions: List<'a, Packed<'a, i32>>,
}

impl<'a> PartitionTable<'a> {
    /// A table of owners, and of the partitions of each owner in the same order.
    #[must_use]
    pub const fn new(owners: Packed<'a, Uuid>, partitions: List<'a, Packed<'a, i32>>) -> Self {
        Self { owners, partitions }
    }

    /// Each owner with its partitions.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, Packed<'a, i32>)> + use<'a> {
        self.owners.iter().zip(self.partitions)
    }
}

/// Not a list of pairs: all values, then the packed keys.
impl<'a> Variable<'a> for PartitionTable<'a> {
    fn read(frames: &mut Frames<'a>) -> Result<Self, Problem> {
        let partitions = Variable::read(frames)?;
        Ok(Self { owners: Variable::read(frames)?, partitions })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.partitions.write(writer);
        self.owners.write(writer);
    }
}
