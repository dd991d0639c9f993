//! Parser of the two multi-line blocks of the log: members and data grid status.

use std::net::{IpAddr, SocketAddr};

/// One line of a members block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLine {
    /// The address of the member.
    pub address: SocketAddr,
    /// Whether it is the one that printed the block.
    pub this: bool,
    /// Whether it is a lite member.
    pub lite: bool,
}

/// A members block: `Members [2] { … }`, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(pub Vec<MemberLine>);

impl Members {
    /// The addresses, oldest first.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|shown| shown.address).collect()
    }

    /// The line of the member at `address`.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Option<&MemberLine> {
        self.0.iter().find(|shown| shown.address == address)
    }
}

/// One line of a data grid status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The address of the member.
    pub address: SocketAddr,
    /// Its UUID, as in the log.
    pub uuid: String,
    /// Whether it is a lite member.
    pub lite: bool,
    /// Whether it is the one that printed the block.
    pub this: bool,
    /// The member's name.
    pub name: String,
    /// The member's group.
    pub group: String,
}

/// A data grid status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataGrid {
    /// `DG Version`, the version of the view.
    pub version: u64,
    /// `DG Size`, as in the log.
    pub size: usize,
    /// Oldest first.
    pub instances: Vec<Instance>,
}

/// A complete block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The members.
    Members(Members),
    /// The same with names, groups and ids.
    DataGrid(DataGrid),
}

/// Assembles blocks from the lines of one log.
#[derive(Debug, Default)]
pub struct BlockReader {
    open: Option<Open>,
}

#[derive(Debug)]
enum Open {
    Members { announced: usize, members: Members },
    DataGrid(DataGrid),
}

impl BlockReader {
    /// Reads the next line; returns the block that it completes.
    ///
    /// # Errors
    /// If a block is malformed; the text has the line.
    pub fn read(&mut self, line: &str) -> Result<Option<Block>, String> {
        if let Some(announced) = members_heading(line) {
            self.open = Some(Open::Members { announced, members: Members::default() });
            return Ok(None);
        }
        if line == "Data Grid Status" {
            self.open = Some(Open::DataGrid(DataGrid::default()));
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        if line != "}" {
            let parsed = match open {
                Open::Members { members, .. } => parse_member(members, line),
                Open::DataGrid(grid) => parse_grid_line(grid, line),
            };
            if parsed.is_none() {
                self.open = None;
                return Err(format!("a block has a malformed line: {line:?}"));
            }
            return Ok(None);
        }
        match self.open.take() {
            Some(Open::Members { announced, members }) if announced != members.0.len() => {
                Err(format!("Members [{announced}] lists {}", members.0.len()))
            }
            Some(Open::DataGrid(grid)) if grid.size != grid.instances.len() => {
                Err(format!("DG Size: {} lists {}", grid.size, grid.instances.len()))
            }
            Some(Open::Members { members, .. }) => Ok(Some(Block::Members(members))),
            Some(Open::DataGrid(grid)) => Ok(Some(Block::DataGrid(grid))),
            None => Ok(None),
        }
    }
}

/// `Members [2] {`
fn members_heading(line: &str) -> Option<usize> {
    line.strip_prefix("Members [")?.strip_suffix("] {")?.parse().ok()
}

/// `\tMember [127.0.0.1]:6900 this lite`
fn parse_member(members: &mut Members, line: &str) -> Option<()> {
    let (ip, rest) = line.strip_prefix("\tMember [")?.split_once("]:")?;
    let mut words = rest.split(' ');
    let address = SocketAddr::new(ip.parse().ok()?, words.next()?.parse().ok()?);
    let mut shown = MemberLine { address, this: false, lite: false };
    for word in words {
        match word {
            "this" => shown.this = true,
            "lite" => shown.lite = true,
            _ => return None,
        }
    }
    members.0.push(shown);
    Some(())
}

fn parse_grid_line(grid: &mut DataGrid, line: &str) -> Option<()> {
    if let Some(state) = line.strip_prefix("Convoke Data Grid State: DG Version: ") {
        let (version, size) = state.split_once(" DG Size: ")?;
        (grid.version, grid.size) = (version.parse().ok()?, size.parse().ok()?);
        return Some(());
    }
    if line == "Instances: {" {
        return Some(());
    }
    let rest = line.strip_prefix(" Address: /")?;
    let (address, rest) = rest.split_once(" UUID: ")?;
    let (uuid, rest) = rest.split_once(" Lite: ")?;
    let (lite, rest) = rest.split_once(" This: ")?;
    let (this, rest) = rest.split_once(" Name: ")?;
    let (name, group) = rest.split_once(" Group: ")?;
    grid.instances.push(Instance {
        address: grid_address(address)?,
        uuid: uuid.to_owned(),
        lite: lite.parse().ok()?,
        this: this.parse().ok()?,
        name: name.to_owned(),
        group: group.to_owned(),
    });
    Some(())
}

/// `127.0.0.1:6900`, and `[::1]:6900` or `::1:6900` for IPv6.
fn grid_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Block, String>> {
        let mut reader = BlockReader::default();
        text.lines().filter_map(|line| reader.read(line).transpose()).collect()
    }

    #[test]
    fn a_members_block_is_parsed_with_its_markers() {
        let text = "Members [3] {\n\tMember [127.0.0.1]:6900\n\tMember [127.0.0.1]:6901 this \
                    lite\n\tMember [::1]:6902 lite\n}\n";
        let shown = |address: &str, this, lite| MemberLine {
            address: address.parse().unwrap(),
            this,
            lite,
        };
        let expected = Members(vec![
            shown("127.0.0.1:6900", false, false),
            shown("127.0.0.1:6901", true, true),
            shown("[::1]:6902", false, true),
        ]);
        assert_eq!(read(text), [Ok(Block::Members(expected))]);
    }

    #[test]
    fn a_data_grid_status_with_spaces_in_names_is_parsed() {
        let text = "Data Grid Status\nConvoke Data Grid State: DG Version: 35 DG Size: \
                    1\nInstances: {\n Address: /192.0.2.130:5900 UUID: 7c1b Lite: false This: \
                    true Name: two words Group: server-config\n}\n";
        let [Ok(Block::DataGrid(grid))] = &read(text)[..] else { panic!("{:?}", read(text)) };
        assert_eq!((grid.version, grid.size), (35, 1));
        assert_eq!(grid.instances[0].name, "two words");
        assert_eq!(grid.instances[0].group, "server-config");
        assert_eq!(grid.instances[0].address, "192.0.2.130:5900".parse().unwrap());
    }

    #[test]
    fn lines_outside_of_blocks_are_ignored() {
        assert_eq!(read("2026-01-01T00:00:00Z INFO convoke: ready\n}\n\nMembers of x\n"), []);
    }

    #[test]
    fn a_malformed_block_is_an_error() {
        assert!(read("Members [2] {\n\tMember [127.0.0.1]:6900 this\n}\n")[0].is_err());
        assert!(read("Members [1] {\n Member 127.0.0.1:6900 this\n}\n")[0].is_err());
        assert!(read("Members [1] {\n\tMember [127.0.0.1]:6900 that\n}\n")[0].is_err());
    }
}
