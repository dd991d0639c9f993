//! The commands of scenario scripts.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use convoke_membership::terms::{Rule, Term, Terms};

use super::texts;
use crate::network::Node;
use crate::world::{Setup, World};

/// All scripts run with this seed: they show what happens, not what must hold for every seed.
const SEED: u64 = 1;
/// One-way delay of all that is sent.
const DELAY: Duration = Duration::from_micros(500);
/// Time between the starts of members that one command starts, so that their order is that of their
/// names.
const START_GAP: Duration = Duration::from_millis(1);
/// Time between two attempts to open a data stream to a member that cannot be reached.
const DATA_PERIOD: Duration = Duration::from_secs(1);
/// The port of all members.
const PORT: u16 = 6900;

/// Gets the words after the name of the command; returns what it prints, in complete lines.
type Run = fn(&mut Cluster, &[&str]) -> Result<String, String>;

/// All commands, by name.
const COMMANDS: [(&str, Run); 17] = [
    ("start", Cluster::start),
    ("restart", Cluster::restart),
    ("crash", Cluster::crash),
    ("pause", Cluster::pause),
    ("leave", Cluster::leave),
    ("find", Cluster::find),
    ("move", Cluster::relocate),
    ("partition", Cluster::partition),
    ("block", Cluster::block),
    ("unplug", Cluster::unplug),
    ("firewall", Cluster::firewall),
    ("heal", Cluster::heal),
    ("advance", Cluster::advance),
    ("view", Cluster::view),
    ("views", Cluster::views),
    ("terms", Cluster::terms),
    ("addresses", Cluster::addresses),
];

/// The simulated cluster of a script.
pub(super) struct Cluster {
    world: World,
    /// When the current block of commands began.
    block_since: Duration,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let mut world = World::new(SEED);
        world.log = Some(Vec::new());
        (world.network.delay_min, world.network.delay_max) = (DELAY, DELAY);
        Self { world, block_since: Duration::ZERO }
    }

    /// Executes one line; returns what it prints, in complete lines.
    pub(super) fn execute(&mut self, line: &str) -> Result<String, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((name, arguments)) = words.split_first() else { return Ok(String::new()) };
        let command = COMMANDS.iter().find(|(known, _)| known == name);
        let (_, run) =
            command.ok_or_else(|| unknown("command", name, &COMMANDS.map(|(n, _)| n)))?;
        run(self, arguments).map_err(|what| format!("{name}: {what}"))
    }

    /// Times in the next block count from now.
    pub(super) fn end_block(&mut self) {
        self.block_since = self.world.now;
    }

    /// `start a b lite partitions=7`: starts members, one after the other, each of which finds those
    /// that run.
    fn start(&mut self, arguments: &[&str]) -> Result<String, String> {
        let (names, options): (Vec<&str>, Vec<&str>) =
            arguments.iter().partition(|word| is_name(word) && **word != "lite");
        if names.is_empty() {
            return Err("expected a member".into());
        }
        for name in names {
            if self.latest(name).is_some_and(|node| self.runs(node)) {
                return Err(format!("{name} is running already"));
            }
            self.start_one(name, None, &options)?;
        }
        Ok(String::new())
    }

    /// `restart a`: starts a new process with the name and the address of one that has ended.
    fn restart(&mut self, arguments: &[&str]) -> Result<String, String> {
        let Some((name, options)) = arguments.split_first() else {
            return Err("expected a member".into());
        };
        let known = self.known(name)?;
        if self.runs(known) {
            return Err(format!("{name} is running already"));
        }
        if self.world.network.unplugged.contains(&known) {
            return Err(format!("the host of {name} has no network"));
        }
        self.start_one(name, Some(self.world.nodes[known].address), options)?;
        Ok(String::new())
    }

    fn start_one(
        &mut self,
        name: &str,
        host: Option<SocketAddr>,
        options: &[&str],
    ) -> Result<(), String> {
        let mut setup = Setup { name: Some(name.into()), address: host, ..Setup::default() };
        let mut finds: Vec<Node> = self.world.living().collect();
        for option in options {
            let (key, value) = option.split_once('=').unwrap_or((*option, ""));
            let number = || value.parse().map_err(|_| format!("{option}: expected a number"));
            match key {
                "lite" if value.is_empty() => setup.lite = true,
                "partitions" => setup.partitions = Some(number()?),
                "ttl" | "changing-ttl" => {
                    let rule = if key == "ttl" { Rule::Same } else { Rule::Changing };
                    let value = number()?.to_string();
                    setup.more_terms.push(Term { name: "ttl".into(), value, is_set: true, rule });
                }
                "address" => setup.more_addresses.push(address(value)?),
                "finds" if value == "none" => finds.clear(),
                "finds" => {
                    let found = value.split(',').map(|name| self.known(name));
                    finds = found.collect::<Result<_, _>>()?;
                }
                _ if is_name(key) || option.contains('=') => {
                    let known = ["lite", "partitions", "ttl", "changing-ttl", "address", "finds"];
                    return Err(unknown("option", key, &known));
                }
                _ => {
                    return Err(format!(
                        "{key:?} is not a name: expected lower-case letters and digits"
                    ));
                }
            }
        }
        self.world.start_as(setup, &finds);
        self.world.run(START_GAP);
        Ok(())
    }

    /// `crash a`: ends a process without notice. Its host answers, so that its streams break and
    /// its address refuses connections.
    fn crash(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.running(one(arguments)?)?;
        self.world.crash(node);
        self.world.streams.retain(|(from, to)| *from != node && *to != node);
        self.world.break_streams(node);
        Ok(String::new())
    }

    /// `pause a 10s`: stops a process for that long. What is sent to it waits.
    fn pause(&mut self, arguments: &[&str]) -> Result<String, String> {
        let [name, time] = arguments else { return Err("expected a member and a time".into()) };
        let node = self.awake(name)?;
        self.world.pause(node, duration(time)?);
        Ok(String::new())
    }

    /// `leave a`: shuts a member down gracefully.
    fn leave(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.awake(one(arguments)?)?;
        self.world.leave(node);
        Ok(String::new())
    }

    /// `find a b`: the modes of a find b.
    fn find(&mut self, arguments: &[&str]) -> Result<String, String> {
        let [at, whom] = arguments else { return Err("expected two members".into()) };
        let (at, whom) = (self.awake(at)?, self.known(whom)?);
        self.world.find(at, whom);
        Ok(String::new())
    }

    /// `move a 10.0.9.1`: changes the address of the host of a, which a notices.
    fn relocate(&mut self, arguments: &[&str]) -> Result<String, String> {
        let [name, ip] = arguments else { return Err("expected a member and an address".into()) };
        let node = self.awake(name)?;
        self.world.move_host_to(node, address(ip)?);
        Ok(String::new())
    }

    /// `partition a | b c`: nothing arrives between members on different sides.
    fn partition(&mut self, arguments: &[&str]) -> Result<String, String> {
        let sides: Vec<&[&str]> = arguments.split(|word| *word == "|").collect();
        if sides.len() < 2 || sides.iter().any(|side| side.is_empty()) {
            return Err("expected two sides or more, separated by |".into());
        }
        let mut placed: Vec<(Node, usize)> = Vec::new();
        for (side, names) in sides.iter().enumerate() {
            for name in *names {
                let node = self.known(name)?;
                if placed.iter().any(|(other, _)| *other == node) {
                    return Err(format!("{name} is listed twice"));
                }
                placed.push((node, side));
            }
        }
        let is_placed = |node: &Node| placed.iter().any(|(other, _)| other == node);
        if let Some(missing) = self.world.living().find(|node| !is_placed(node)) {
            return Err(format!("{} is on no side", texts::name(&self.world, missing)));
        }
        for (one, side) in &placed {
            for (other, other_side) in &placed {
                if side != other_side {
                    self.separate(*one, *other);
                }
            }
        }
        Ok(String::new())
    }

    /// `block a b`: nothing arrives between two members.
    fn block(&mut self, arguments: &[&str]) -> Result<String, String> {
        let [one, other] = arguments else { return Err("expected two members".into()) };
        let (one, other) = (self.known(one)?, self.known(other)?);
        self.separate(one, other);
        Ok(String::new())
    }

    fn separate(&mut self, one: Node, other: Node) {
        self.world.network.partitioned.insert((one, other));
        self.world.streams.retain(|pair| *pair != (one, other) && *pair != (other, one));
    }

    /// `unplug a`: the host of a loses its network, and nothing answers at its address.
    fn unplug(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.known(one(arguments)?)?;
        self.world.network.unplugged.insert(node);
        self.world.streams.retain(|(from, to)| *from != node && *to != node);
        Ok(String::new())
    }

    /// `firewall a tcp`: the host of a drops incoming connections. `firewall a udp`: it drops
    /// incoming datagrams. What a itself opens works in both directions.
    fn firewall(&mut self, arguments: &[&str]) -> Result<String, String> {
        let [name, protocols @ ..] = arguments else { return Err("expected a member".into()) };
        if protocols.is_empty() {
            return Err("expected tcp, udp or both".into());
        }
        let node = self.known(name)?;
        for protocol in protocols {
            match *protocol {
                "tcp" => {
                    self.world.network.closed.insert(node);
                    self.world.streams.retain(|(_, to)| *to != node);
                }
                "udp" => {
                    self.world.network.deaf.insert(node);
                }
                _ => return Err(unknown("protocol", protocol, &["tcp", "udp"])),
            }
        }
        Ok(String::new())
    }

    /// `heal`: ends all partitions, blocks and firewalls, and plugs all hosts in.
    fn heal(&mut self, arguments: &[&str]) -> Result<String, String> {
        nothing(arguments)?;
        let network = &mut self.world.network;
        network.partitioned.clear();
        network.unplugged.clear();
        network.closed.clear();
        network.deaf.clear();
        Ok(String::new())
    }

    /// `advance 3s`: lets this time pass, and prints the events of all members since the block
    /// began.
    fn advance(&mut self, arguments: &[&str]) -> Result<String, String> {
        let end = self.world.now + duration(one(arguments)?)?;
        while self.world.now < end {
            let step = DATA_PERIOD.min(end - self.world.now);
            self.world.run(step);
            self.world.report_data_unreachable();
        }
        let log = std::mem::take(self.world.log.as_mut().expect("events are recorded"));
        Ok(texts::events(&self.world, &log, self.block_since))
    }

    /// `view a`: the members in the view of a, oldest first.
    fn view(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.running(one(arguments)?)?;
        Ok(texts::views(&self.world, [node]))
    }

    /// `views`: the views of all running members.
    fn views(&mut self, arguments: &[&str]) -> Result<String, String> {
        nothing(arguments)?;
        Ok(texts::views(&self.world, self.world.living()))
    }

    /// `terms a`: the settings that apply in the cluster of a.
    fn terms(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.running(one(arguments)?)?;
        let terms = self.world.nodes[node].core.terms();
        let general = terms.scopes().iter().filter(|scope| scope.name == Terms::GENERAL);
        let lines = general.flat_map(|scope| &scope.terms);
        Ok(lines.map(|term| format!("{} = {}\n", term.name, term.value)).collect())
    }

    /// `addresses a`: where a connects to each other member of its view.
    fn addresses(&mut self, arguments: &[&str]) -> Result<String, String> {
        let node = self.running(one(arguments)?)?;
        let core = &self.world.nodes[node].core;
        let Some(view) = core.view() else { return Err("it has no view".into()) };
        let others = view.members().iter().filter(|member| member.id != core.me().id);
        let lines = others.map(|member| {
            let addresses = view.dial_addresses(member);
            let addresses: BTreeSet<String> = addresses.iter().map(ToString::to_string).collect();
            let addresses: Vec<String> = addresses.into_iter().collect();
            format!(
                "{}: {}\n",
                texts::name(&self.world, self.world.node_of(member.id)),
                addresses.join(", ")
            )
        });
        Ok(lines.collect())
    }

    /// The last process that was started with this name.
    fn latest(&self, name: &str) -> Option<Node> {
        self.world.nodes.iter().rposition(|process| process.core.me().name == name)
    }

    fn known(&self, name: &str) -> Result<Node, String> {
        self.latest(name).ok_or_else(|| format!("there is no member {name:?}"))
    }

    fn runs(&self, node: Node) -> bool {
        self.world.living().any(|running| running == node)
    }

    fn running(&self, name: &str) -> Result<Node, String> {
        let node = self.known(name)?;
        if self.runs(node) { Ok(node) } else { Err(format!("{name} is not running")) }
    }

    fn awake(&self, name: &str) -> Result<Node, String> {
        let node = self.running(name)?;
        if self.world.is_paused(node) { Err(format!("{name} is paused")) } else { Ok(node) }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

fn nothing(arguments: &[&str]) -> Result<(), String> {
    arguments.first().map_or(Ok(()), |word| Err(format!("unexpected {word:?}")))
}

fn one<'a>(arguments: &[&'a str]) -> Result<&'a str, String> {
    match arguments {
        [word] => Ok(word),
        [] => Err("expected an argument".into()),
        [_, word, ..] => Err(format!("unexpected {word:?}")),
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    format!("unknown {what} {word:?}; known are {}", known.join(", "))
}

/// The member port at an IP address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let ip: Option<IpAddr> = text.parse().ok();
    let address = ip.map(|ip| SocketAddr::new(ip, PORT));
    address.ok_or_else(|| format!("{text:?} is not an IP address"))
}

/// Parses a time such as `300ms`, `3s`, `2m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number: Option<u32> = number.parse().ok();
    let time = number.zip(unit_ms).map(|(number, unit)| Duration::from_millis(unit) * number);
    time.ok_or_else(|| format!("{text:?} is not a time: expected a number and ms, s, m or h"))
}
