//! Network faults (loss, delay, limits, drops) with the tools that this machine has.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use crate::lab::Host;

/// The tool that drops packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Nft,
    Iptables(&'static str),
    None,
}

/// The tool that delays or limits packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shaper {
    Netem,
    Tbf,
    None,
}

/// A rule for the packets that a host receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Drops all packets from an address.
    From(Ipv4Addr, Ipv6Addr),
    /// Drops this percentage of packets.
    Loss(u64),
    /// Drops TCP resets, so that only one side notices a broken connection.
    Resets,
}

/// Traffic shaping of the packets that a host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Rate limit in Mbit/s.
    Rate(u64),
    /// Delay in milliseconds, with jitter.
    Delay(u64),
}

/// The tools that were found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    filter: Filter,
    shaper: Shaper,
}

impl Network {
    /// Tries the tools on a host.
    pub(super) fn probe(host: &Host) -> Self {
        let mut network = Self { filter: Filter::None, shaper: Shaper::None };
        let rules = [Rule::Loss(1), Rule::Resets];
        let filters =
            [Filter::Nft, Filter::Iptables("iptables"), Filter::Iptables("iptables-legacy")];
        for filter in filters {
            network.filter = filter;
            if network.filter(host, &rules).and_then(|()| network.filter(host, &[])).is_ok() {
                break;
            }
            network.filter = Filter::None;
        }
        for shaper in [Shaper::Netem, Shaper::Tbf] {
            network.shaper = shaper;
            let shaped = network.shape(host, Some(Shape::Rate(100)));
            if shaped.and_then(|()| network.shape(host, None)).is_ok() {
                break;
            }
            network.shaper = Shaper::None;
        }
        network
    }

    /// The tools in use, for the output of a run.
    pub(super) fn describe(self) -> String {
        let filter = match self.filter {
            Filter::Nft => "nftables (loss by numgen, one-way drops, dropped resets)",
            Filter::Iptables(_) => "iptables (loss by statistic, one-way drops, dropped resets)",
            Filter::None => "none: no loss, no drops, no splits",
        };
        let shaper = match self.shaper {
            Shaper::Netem => "netem (delay and rate)",
            Shaper::Tbf => "tbf (rate only; this kernel has no netem)",
            Shaper::None => "none: no rate limits, no delay",
        };
        format!("drops by {filter}; links shaped by {shaper}")
    }

    pub(super) fn can_drop(self) -> bool {
        self.filter != Filter::None
    }

    pub(super) fn can_limit(self) -> bool {
        self.shaper != Shaper::None
    }

    pub(super) fn can_delay(self) -> bool {
        self.shaper == Shaper::Netem
    }

    /// Replaces all rules of a host.
    pub(super) fn filter(self, host: &Host, rules: &[Rule]) -> Result<(), String> {
        match self.filter {
            Filter::Nft => run(host, &["nft", "-f", "-"], &nft(rules)),
            Filter::Iptables(program) => {
                run(host, &[program, "-w", "-F", "INPUT"], "")?;
                for rule in rules {
                    let args = iptables(*rule);
                    let mut all = vec![program, "-w", "-A", "INPUT", "-i", "eth0"];
                    all.extend(args.iter().map(String::as_str));
                    all.extend(["-j", "DROP"]);
                    run(host, &all, "")?;
                }
                Ok(())
            }
            Filter::None => Err("there is neither nft nor iptables".to_owned()),
        }
    }

    /// Replaces the traffic shaping of a host's link.
    pub(super) fn shape(self, host: &Host, shape: Option<Shape>) -> Result<(), String> {
        let Some(shape) = shape else {
            // There may be nothing to delete.
            let _ = run(host, &["tc", "qdisc", "del", "dev", "eth0", "root"], "");
            return Ok(());
        };
        let args = match (self.shaper, shape) {
            (Shaper::Netem, Shape::Rate(mbit)) => format!("netem rate {mbit}mbit"),
            (Shaper::Netem, Shape::Delay(ms)) => format!("netem delay {ms}ms {}ms", ms.div_ceil(4)),
            (Shaper::Tbf, Shape::Rate(mbit)) => {
                format!("tbf rate {mbit}mbit burst 64kb latency 200ms")
            }
            (shaper, shape) => return Err(format!("{shaper:?} cannot do {shape:?}")),
        };
        let mut all = vec!["tc", "qdisc", "replace", "dev", "eth0", "root"];
        all.extend(args.split(' '));
        run(host, &all, "")
    }

    /// Breaks the connections of a host with another one.
    pub(super) fn cut(self, host: &Host, peer: Ipv4Addr) -> Result<(), String> {
        run(host, &["ss", "-K", "dst", &peer.to_string()], "")
    }
}

fn nft(rules: &[Rule]) -> String {
    let mut text = "flush ruleset\n".to_owned();
    if !rules.is_empty() {
        text.push_str("table inet chaos {\n chain input {\n");
        text.push_str("  type filter hook input priority 0; policy accept;\n");
        for rule in rules {
            let lines = match rule {
                Rule::From(v4, v6) => vec![format!("ip saddr {v4}"), format!("ip6 saddr {v6}")],
                Rule::Loss(percent) => vec![format!("numgen random mod 100 < {percent}")],
                Rule::Resets => vec!["tcp flags & rst == rst".to_owned()],
            };
            for line in lines {
                text.push_str(&format!("  iifname \"eth0\" {line} drop\n"));
            }
        }
        text.push_str(" }\n}\n");
    }
    text
}

fn iptables(rule: Rule) -> Vec<String> {
    let args = match rule {
        Rule::From(v4, _) => format!("-s {v4}"),
        Rule::Loss(percent) => {
            format!("-m statistic --mode random --probability {}", percent as f64 / 100.0)
        }
        Rule::Resets => "-p tcp --tcp-flags RST RST".to_owned(),
    };
    args.split(' ').map(str::to_owned).collect()
}

/// Runs a program on a host.
fn run(host: &Host, args: &[&str], input: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host.namespace()]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("`ip` cannot be started: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that exits early reports the reason itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{args:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{}` failed: {}", args.join(" "), complaint.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_for_either_tool() {
        let from = Rule::From(Ipv4Addr::new(10, 0, 0, 1), Ipv6Addr::LOCALHOST);
        assert_eq!(nft(&[]), "flush ruleset\n");
        let text = nft(&[from, Rule::Loss(5), Rule::Resets]);
        for line in ["ip saddr 10.0.0.1 drop", "numgen random mod 100 < 5 drop", "rst == rst"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(iptables(from), ["-s", "10.0.0.1"]);
        assert_eq!(iptables(Rule::Loss(5)).last().map(String::as_str), Some("0.05"));
    }
}
