//! The table of all commands.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Run::{self, Here, Op, Shaped, Waits};
use super::{
    blocking, clients, cluster, hashes, introspection, keys, lists, pubsub, scans, sets,
    sorted_sets, strings, transactions,
};

/// What commands are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The connection itself.
    Connection,
    /// Keys, whatever their values are.
    Generic,
    /// Plain bytes.
    String,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Topics.
    PubSub,
    /// Several commands in one step.
    Transactions,
    /// The server.
    Server,
    /// Redis Cluster.
    Cluster,
}

impl Group {
    /// As clients know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::String => "string",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }

    /// The ACL category of its commands, if it has one.
    fn category(self) -> Option<&'static str> {
        match self {
            Self::Connection => Some("connection"),
            Self::Generic => Some("keyspace"),
            Self::String => Some("string"),
            Self::Hash => Some("hash"),
            Self::List => Some("list"),
            Self::Set => Some("set"),
            Self::SortedSet => Some("sortedset"),
            Self::Transactions => Some("transaction"),
            // PUBSUB has a flag of its own.
            Self::PubSub | Self::Server | Self::Cluster => None,
        }
    }
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None.
    None,
    /// From one to another, below zero from the end, each so many after the last.
    Every {
        /// The first.
        first: usize,
        /// The last.
        last: i64,
        /// How many arguments from one to the next.
        step: usize,
    },
    /// So many as this argument says, behind it.
    Counted(usize),
    /// The first argument, and so many as the second one says, behind it.
    StoredAndCounted,
}

/// One command, or one subcommand of a command that has some: those are rows of
/// their own, named `command|subcommand`, with their own arity and flags.
pub struct Command {
    /// In small messages; `client|kill` for a subcommand.
    pub name: &'static str,
    /// Number of arguments, the name (both args of a subcommand's) among them; below
    /// zero at least so many.
    pub arity: i32,
    flags: u16,
    /// Which of them are keys.
    pub keys: Keys,
    /// What it is about.
    pub group: Group,
    /// What it does.
    pub summary: &'static str,
    pub(super) run: Run,
}

impl Command {
    pub(super) const WRITE: u16 = 1;
    pub(super) const READ: u16 = 1 << 1;
    pub(super) const DENY_OOM: u16 = 1 << 2;
    pub(super) const FAST: u16 = 1 << 3;
    pub(super) const ADMIN: u16 = 1 << 4;
    pub(super) const PUBSUB: u16 = 1 << 5;
    pub(super) const BLOCKING: u16 = 1 << 6;
    /// A stranger may.
    pub(super) const NO_AUTH: u16 = 1 << 7;
    /// Not between `MULTI` and `EXEC`.
    pub(super) const NO_MULTI: u16 = 1 << 8;
    /// Between `MULTI` and `EXEC` too it is done at once.
    pub(super) const AT_ONCE: u16 = 1 << 9;
    /// A RESP2 client that is subscribed may.
    pub(super) const WHILE_SUBSCRIBED: u16 = 1 << 10;
    /// Its second word, if there is one, names a subcommand.
    pub(super) const CONTAINER: u16 = 1 << 11;
    /// In Redis' ACL category `dangerous`, as all admin commands are.
    pub(super) const DANGEROUS: u16 = 1 << 12;

    /// Whether it is a subcommand.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.name.contains('|')
    }

    /// The subcommands of a command, in the table's order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static Self> {
        let name = self.name;
        COMMANDS.iter().filter(move |row| {
            row.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('|'))
        })
    }

    /// The ACL categories that Redis gives commands with these flags.
    pub(super) fn categories(&self) -> Vec<&'static str> {
        [
            (self.is(Self::WRITE) && !self.is(Self::PUBSUB), "write"),
            (self.is(Self::READ), "read"),
            (self.is(Self::ADMIN), "admin"),
            (self.is(Self::ADMIN) || self.is(Self::DANGEROUS), "dangerous"),
            (self.is(Self::PUBSUB), "pubsub"),
            (self.is(Self::BLOCKING), "blocking"),
            (self.is(Self::FAST), "fast"),
            (!self.is(Self::FAST), "slow"),
        ]
        .into_iter()
        .filter_map(|(holds, name)| holds.then_some(name))
        .chain(self.group.category())
        .collect()
    }

    pub(super) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it takes so many arguments.
    #[must_use]
    pub fn takes(&self, arguments: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { arguments >= arity } else { arguments == arity }
    }

    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        let movable = matches!(self.keys, Keys::Counted(_) | Keys::StoredAndCounted);
        [
            (Self::WRITE, "write"),
            (Self::READ, "readonly"),
            (Self::DENY_OOM, "denyoom"),
            (Self::ADMIN, "admin"),
            (Self::PUBSUB, "pubsub"),
            (Self::BLOCKING, "blocking"),
            (Self::FAST, "fast"),
            (Self::NO_AUTH, "no_auth"),
            (Self::NO_MULTI, "no_multi"),
        ]
        .into_iter()
        .filter_map(|(flag, name)| self.is(flag).then_some(name))
        .chain(movable.then_some("movablekeys"))
        .collect()
    }

    /// The keys among its arguments.
    pub(super) fn keys_of<'a>(&self, arguments: &[&'a [u8]]) -> Vec<&'a [u8]> {
        let counted = |at: usize| {
            let count = arguments.get(at).and_then(|text| convoke_grid::op::integer(text));
            let count = usize::try_from(count.unwrap_or(0)).unwrap_or(0);
            arguments.iter().skip(at + 1).take(count).copied()
        };
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Every { first, last, step } => {
                let end = if last < 0 {
                    arguments.len().saturating_sub(last.unsigned_abs() as usize - 1)
                } else {
                    arguments.len().min(last as usize + 1)
                };
                (first..end).step_by(step.max(1)).map(|at| arguments[at]).collect()
            }
            Keys::Counted(at) => counted(at).collect(),
            Keys::StoredAndCounted => {
                arguments.get(1).copied().into_iter().chain(counted(2)).collect()
            }
        }
    }
}

/// Bytes of a name in the table, at most.
const NAME_BYTES_MAX: usize = 32;

/// The place of a row in [`COMMANDS`], in capitals or not, by its whole name.
pub(super) fn find(name: &[u8]) -> Option<usize> {
    static PLACES: LazyLock<HashMap<&'static [u8], usize>> = LazyLock::new(|| {
        COMMANDS.iter().enumerate().map(|(at, command)| (command.name.as_bytes(), at)).collect()
    });
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    PLACES.get(&*lower).copied()
}

/// Why there is no row for a request.
pub(super) enum Missing {
    /// There is no such command.
    Command,
    /// The command of this name has no such subcommand.
    Part(&'static str),
}

/// The place of the row that a request is about: that of the subcommand, where the
/// command has some and a second word is there. There is no other way to a row, so
/// what has none cannot be done.
pub(super) fn resolve(name: &[u8], part: Option<&[u8]>) -> Result<usize, Missing> {
    // A row of a subcommand is reached by two args only.
    let index = find(name).filter(|index| !COMMANDS[*index].is_part()).ok_or(Missing::Command)?;
    let command = &COMMANDS[index];
    let Some(part) = part.filter(|_| command.is(Command::CONTAINER)) else { return Ok(index) };
    let mut whole = [0; NAME_BYTES_MAX];
    let length = command.name.len() + 1 + part.len();
    let found = whole.get_mut(..length).and_then(|whole| {
        whole[..command.name.len()].copy_from_slice(command.name.as_bytes());
        whole[command.name.len()] = b'|';
        whole[command.name.len() + 1..].copy_from_slice(part);
        find(whole)
    });
    found.ok_or(Missing::Part(command.name))
}

/// The place of `GET`, which is asked most.
pub(super) fn get_index() -> usize {
    static PLACE: LazyLock<usize> = LazyLock::new(|| find(b"get").unwrap_or(usize::MAX));
    *PLACE
}

const W: u16 = Command::WRITE;
const R: u16 = Command::READ;
const M: u16 = Command::DENY_OOM;
const F: u16 = Command::FAST;
const ADMIN: u16 = Command::ADMIN;
const P: u16 = Command::PUBSUB | Command::WHILE_SUBSCRIBED | Command::NO_MULTI;
const B: u16 = Command::BLOCKING;
const OPEN: u16 = Command::NO_AUTH;
const NOT_IN_MULTI: u16 = Command::NO_MULTI;
const NOW: u16 = Command::AT_ONCE;
const ALWAYS: u16 = Command::WHILE_SUBSCRIBED;
const PARTS: u16 = Command::CONTAINER;
const RISKY: u16 = Command::DANGEROUS;

const NONE: Keys = Keys::None;
const ONE: Keys = Keys::Every { first: 1, last: 1, step: 1 };
const TWO: Keys = Keys::Every { first: 1, last: 2, step: 1 };
const ALL: Keys = Keys::Every { first: 1, last: -1, step: 1 };
const PAIRS: Keys = Keys::Every { first: 1, last: -1, step: 2 };
const BUT_LAST: Keys = Keys::Every { first: 1, last: -2, step: 1 };

const fn c(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: Keys,
    group: Group,
    run: Run,
    summary: &'static str,
) -> Command {
    Command { name, arity, flags, keys, group, summary, run }
}

use Group::{
    Cluster, Connection, Generic, Hash, List, PubSub, Server, Set, SortedSet, String, Transactions,
};

/// All commands, by what they are about.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    c("auth", -2, OPEN | F | NOW, NONE, Connection, Here(clients::auth), "Proves who the client is."),
    c("client", -2, PARTS, NONE, Connection, Here(introspection::container), "Shows, names and disconnects clients."),
    c("client|getname", 2, 0, NONE, Connection, Here(clients::getname), "Returns the name of this connection."),
    c("client|getredir", 2, 0, NONE, Connection, Here(clients::getredir), "Returns -1: there is no client-side caching to redirect."),
    c("client|help", 2, 0, NONE, Connection, Here(introspection::help), "Lists the subcommands."),
    c("client|id", 2, 0, NONE, Connection, Here(clients::id), "Returns the ID of this connection."),
    c("client|info", 2, 0, NONE, Connection, Here(clients::info), "Returns what CLIENT LIST shows of this connection."),
    c("client|kill", -3, ADMIN, NONE, Connection, Here(clients::kill), "Disconnects clients of this member."),
    c("client|list", -2, ADMIN, NONE, Connection, Here(clients::list), "Lists the clients of this member."),
    c("client|no-evict", 3, ADMIN, NONE, Connection, Here(clients::on_or_off), "Accepted; clients are never evicted."),
    c("client|no-touch", 3, 0, NONE, Connection, Here(clients::on_or_off), "Accepted, and has no effect."),
    c("client|reply", 3, 0, NONE, Connection, Here(clients::reply), "Turns replies to this connection on or off."),
    c("client|setinfo", 4, 0, NONE, Connection, Here(clients::setinfo), "Sets the library name or version of this connection."),
    c("client|setname", 3, 0, NONE, Connection, Here(clients::setname), "Sets the name of this connection."),
    c("client|unpause", 2, ADMIN, NONE, Connection, Here(clients::unpause), "Accepted; clients are never paused."),
    c("echo", 2, F, NONE, Connection, Here(clients::echo), "Answers what it is given."),
    c("hello", -1, OPEN | F | NOT_IN_MULTI, NONE, Connection, Here(clients::hello), "Chooses the protocol, and proves who the client is."),
    c("ping", -1, F | ALWAYS, NONE, Connection, Here(clients::ping), "Answers, if the server does."),
    c("quit", -1, OPEN | F | NOW | ALWAYS, NONE, Connection, Here(clients::quit), "Ends the connection."),
    c("reset", 1, OPEN | F | NOW | ALWAYS, NONE, Connection, Here(clients::reset), "Makes the connection as it was when it was new."),
    c("select", 2, F, NONE, Connection, Here(clients::select), "Chooses a database, 0 to 15: each is a map of its own, resp:0 to resp:15."),

    c("copy", -3, W | M, TWO, Generic, Op(keys::copy), "Copies a key to another of the same slot."),
    c("del", -2, W, ALL, Generic, Op(keys::del), "Removes keys."),
    c("exists", -2, R | F, ALL, Generic, Op(keys::exists), "Counts keys that are there."),
    c("expire", -3, W | F, ONE, Generic, Op(keys::expire), "Lets a key expire in so many seconds."),
    c("expireat", -3, W | F, ONE, Generic, Op(keys::expireat), "Lets a key expire at a time, in seconds since 1970."),
    c("expiretime", 2, R | F, ONE, Generic, Shaped(keys::expiretime, keys::seconds), "Tells when a key expires, in seconds since 1970."),
    c("keys", 2, R | RISKY, NONE, Generic, Here(scans::keys), "Returns all keys that match a pattern; refused beyond 1,000,000 keys or 64 MiB of them: use SCAN."),
    c("persist", 2, W | F, ONE, Generic, Op(keys::persist), "Lets a key live for ever."),
    c("pexpire", -3, W | F, ONE, Generic, Op(keys::pexpire), "Lets a key expire in so many milliseconds."),
    c("pexpireat", -3, W | F, ONE, Generic, Op(keys::pexpireat), "Lets a key expire at a time, in milliseconds since 1970."),
    c("pexpiretime", 2, R | F, ONE, Generic, Op(keys::expiretime), "Tells when a key expires, in milliseconds since 1970."),
    c("pttl", 2, R | F, ONE, Generic, Op(keys::ttl), "Tells how many milliseconds a key still lives."),
    c("randomkey", 1, R, NONE, Generic, Here(scans::randomkey), "Tells a key at random."),
    c("rename", 3, W, TWO, Generic, Op(keys::rename), "Gives a key another name, of the same slot."),
    c("renamenx", 3, W | F, TWO, Generic, Op(keys::renamenx), "Gives a key another name, if that is free."),
    c("scan", -2, R, NONE, Generic, Here(scans::scan), "Tells some keys, and where to go on."),
    c("touch", -2, R | F, ALL, Generic, Op(keys::touch), "Counts keys that are there, and marks them as used."),
    c("ttl", 2, R | F, ONE, Generic, Shaped(keys::ttl, keys::seconds), "Tells how many seconds a key still lives."),
    c("type", 2, R | F, ONE, Generic, Op(keys::kind), "Tells what kind of value a key has."),
    c("unlink", -2, W | F, ALL, Generic, Op(keys::del), "Removes keys."),
    c("wait", 3, 0, NONE, Generic, Here(introspection::wait), "Tells how many backups have what was written: at once, since writes wait for them."),

    c("append", 3, W | M | F, ONE, String, Op(strings::append), "Puts bytes at the end of a value."),
    c("decr", 2, W | M | F, ONE, String, Op(strings::decr), "Takes one from an integer."),
    c("decrby", 3, W | M | F, ONE, String, Op(strings::decrby), "Takes so much from an integer."),
    c("get", 2, R | F, ONE, String, Op(strings::get), "Tells a value."),
    c("getdel", 2, W | F, ONE, String, Op(strings::getdel), "Tells a value and removes it."),
    c("getex", -2, W | F, ONE, String, Op(strings::getex), "Tells a value and says how long it lives."),
    c("getrange", 4, R, ONE, String, Op(strings::getrange), "Tells a part of a value."),
    c("getset", 3, W | M | F, ONE, String, Op(strings::getset), "Tells a value and puts another in its place."),
    c("incr", 2, W | M | F, ONE, String, Op(strings::incr), "Adds one to an integer."),
    c("incrby", 3, W | M | F, ONE, String, Op(strings::incrby), "Adds so much to an integer."),
    c("incrbyfloat", 3, W | M | F, ONE, String, Op(strings::incrbyfloat), "Adds so much to a number."),
    c("mget", -2, R | F, ALL, String, Op(strings::mget), "Tells several values."),
    c("mset", -3, W | M, PAIRS, String, Op(strings::mset), "Sets the values of several keys; atomic if they are in one slot or inside MULTI."),
    c("msetnx", -3, W | M, PAIRS, String, Op(strings::msetnx), "Sets the values of several keys, if none of the keys exists."),
    c("psetex", 4, W | M, ONE, String, Op(strings::psetex), "Puts a value that lives so many milliseconds."),
    c("set", -3, W | M, ONE, String, Op(strings::set), "Puts a value: NX, XX, GET, EX, PX, EXAT, PXAT, KEEPTTL."),
    c("setex", 4, W | M, ONE, String, Op(strings::setex), "Puts a value that lives so many seconds."),
    c("setnx", 3, W | M | F, ONE, String, Shaped(strings::setnx, strings::done_or_not), "Puts a value if there is none."),
    c("setrange", 4, W | M, ONE, String, Op(strings::setrange), "Puts bytes into a value."),
    c("strlen", 2, R | F, ONE, String, Op(strings::strlen), "Tells the length of a value."),
    c("substr", 4, R, ONE, String, Op(strings::getrange), "As GETRANGE."),

    c("hdel", -3, W | F, ONE, Hash, Op(hashes::hdel), "Removes fields."),
    c("hexists", 3, R | F, ONE, Hash, Op(hashes::hexists), "Tells whether there is a field."),
    c("hget", 3, R | F, ONE, Hash, Op(hashes::hget), "Tells a field's value."),
    c("hgetall", 2, R, ONE, Hash, Op(hashes::hgetall), "Tells all fields and values."),
    c("hincrby", 4, W | M | F, ONE, Hash, Op(hashes::hincrby), "Adds so much to a field that is an integer."),
    c("hincrbyfloat", 4, W | M | F, ONE, Hash, Op(hashes::hincrbyfloat), "Adds so much to a field that is a number."),
    c("hkeys", 2, R, ONE, Hash, Op(hashes::hkeys), "Tells all fields."),
    c("hlen", 2, R | F, ONE, Hash, Op(hashes::hlen), "Tells the number of fields."),
    c("hmget", -3, R | F, ONE, Hash, Op(hashes::hmget), "Tells several fields' values."),
    c("hmset", -4, W | M | F, ONE, Hash, Shaped(hashes::hmset, hashes::done), "Puts several fields."),
    c("hrandfield", -2, R, ONE, Hash, Op(hashes::hrandfield), "Tells fields at random."),
    c("hscan", -3, R, ONE, Hash, Shaped(scans::hscan, scans::scanned), "Tells some fields with their values, and where to go on."),
    c("hset", -4, W | M | F, ONE, Hash, Op(hashes::hset), "Puts fields."),
    c("hsetnx", 4, W | M | F, ONE, Hash, Op(hashes::hsetnx), "Puts a field if there is none."),
    c("hstrlen", 3, R | F, ONE, Hash, Op(hashes::hstrlen), "Tells the length of a field's value."),
    c("hvals", 2, R, ONE, Hash, Op(hashes::hvals), "Tells all values."),

    c("blmove", 6, W | M | B, TWO, List, Waits(blocking::blmove, blocking::as_it_is), "As LMOVE, and waits."),
    c("blmpop", -5, W | B, Keys::Counted(2), List, Waits(blocking::blmpop, blocking::nested), "As LMPOP, and waits."),
    c("blpop", -3, W | B, BUT_LAST, List, Waits(blocking::blpop, blocking::flat), "Takes the first element of the first list that has one, and waits."),
    c("brpop", -3, W | B, BUT_LAST, List, Waits(blocking::brpop, blocking::flat), "Takes the last element of the first list that has one, and waits."),
    c("brpoplpush", 4, W | M | B, TWO, List, Waits(blocking::brpoplpush, blocking::as_it_is), "As RPOPLPUSH, and waits."),
    c("lindex", 3, R, ONE, List, Op(lists::lindex), "Tells an element."),
    c("linsert", 5, W | M, ONE, List, Op(lists::linsert), "Puts an element before or behind another."),
    c("llen", 2, R | F, ONE, List, Op(lists::llen), "Tells the number of elements."),
    c("lmove", 5, W | M, TWO, List, Op(lists::lmove), "Takes an element and puts it into another list of the same slot."),
    c("lmpop", -4, W, Keys::Counted(1), List, Shaped(lists::lmpop, blocking::nested), "Takes elements of the first list that has some."),
    c("lpop", -2, W | F, ONE, List, Op(lists::lpop), "Takes the first elements."),
    c("lpos", -3, R, ONE, List, Op(lists::lpos), "Tells where an element is."),
    c("lpush", -3, W | M | F, ONE, List, Op(lists::lpush), "Puts elements before the first."),
    c("lpushx", -3, W | M | F, ONE, List, Op(lists::lpushx), "Puts elements before the first, if there is a list."),
    c("lrange", 4, R, ONE, List, Op(lists::lrange), "Tells some elements."),
    c("lrem", 4, W, ONE, List, Op(lists::lrem), "Removes elements that equal one."),
    c("lset", 4, W | M, ONE, List, Op(lists::lset), "Puts another element in a place."),
    c("ltrim", 4, W, ONE, List, Op(lists::ltrim), "Keeps some elements."),
    c("rpop", -2, W | F, ONE, List, Op(lists::rpop), "Takes the last elements."),
    c("rpoplpush", 3, W | M, TWO, List, Op(lists::rpoplpush), "Takes the last element and puts it before the first of another list."),
    c("rpush", -3, W | M | F, ONE, List, Op(lists::rpush), "Puts elements behind the last."),
    c("rpushx", -3, W | M | F, ONE, List, Op(lists::rpushx), "Puts elements behind the last, if there is a list."),

    c("sadd", -3, W | M | F, ONE, Set, Op(sets::sadd), "Adds members."),
    c("scard", 2, R | F, ONE, Set, Op(sets::scard), "Tells the number of members."),
    c("sdiff", -2, R, ALL, Set, Op(sets::sdiff), "Tells what the first set has and no other."),
    c("sdiffstore", -3, W | M, ALL, Set, Op(sets::sdiffstore), "Stores that."),
    c("sinter", -2, R, ALL, Set, Op(sets::sinter), "Tells what all sets have."),
    c("sintercard", -3, R, Keys::Counted(1), Set, Op(sets::sintercard), "Counts what all sets have."),
    c("sinterstore", -3, W | M, ALL, Set, Op(sets::sinterstore), "Stores what all sets have."),
    c("sismember", 3, R | F, ONE, Set, Op(sets::sismember), "Tells whether something is a member."),
    c("smembers", 2, R, ONE, Set, Op(sets::smembers), "Tells all members."),
    c("smismember", -3, R | F, ONE, Set, Op(sets::smismember), "Tells of several whether they are members."),
    c("smove", 4, W | F, TWO, Set, Op(sets::smove), "Moves a member to another set of the same slot."),
    c("spop", -2, W | F, ONE, Set, Op(sets::spop), "Takes members at random."),
    c("srandmember", -2, R, ONE, Set, Op(sets::srandmember), "Tells members at random."),
    c("srem", -3, W | F, ONE, Set, Op(sets::srem), "Removes members."),
    c("sscan", -3, R, ONE, Set, Shaped(scans::sscan, scans::scanned), "Tells some members, and where to go on."),
    c("sunion", -2, R, ALL, Set, Op(sets::sunion), "Tells what any set has."),
    c("sunionstore", -3, W | M, ALL, Set, Op(sets::sunionstore), "Stores what any set has."),

    c("bzmpop", -5, W | B, Keys::Counted(2), SortedSet, Waits(blocking::bzmpop, blocking::nested), "As ZMPOP, and waits."),
    c("bzpopmax", -3, W | B | F, BUT_LAST, SortedSet, Waits(blocking::bzpopmax, blocking::flat), "Takes the greatest member of the first sorted set that has one, and waits."),
    c("bzpopmin", -3, W | B | F, BUT_LAST, SortedSet, Waits(blocking::bzpopmin, blocking::flat), "Takes the least member of the first sorted set that has one, and waits."),
    c("zadd", -4, W | M | F, ONE, SortedSet, Op(sorted_sets::zadd), "Gives members scores."),
    c("zcard", 2, R | F, ONE, SortedSet, Op(sorted_sets::zcard), "Tells the number of members."),
    c("zcount", 4, R | F, ONE, SortedSet, Op(sorted_sets::zcount), "Counts members within scores."),
    c("zdiff", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zdiff), "Tells what the first has and no other."),
    c("zdiffstore", -4, W | M, Keys::StoredAndCounted, SortedSet, Op(sorted_sets::zdiffstore), "Stores that."),
    c("zincrby", 4, W | M | F, ONE, SortedSet, Op(sorted_sets::zincrby), "Adds to a member's score."),
    c("zinter", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zinter), "Tells what all have."),
    c("zintercard", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zintercard), "Counts what all have."),
    c("zinterstore", -4, W | M, Keys::StoredAndCounted, SortedSet, Op(sorted_sets::zinterstore), "Stores what all have."),
    c("zlexcount", 4, R | F, ONE, SortedSet, Op(sorted_sets::zlexcount), "Counts members within names."),
    c("zmpop", -4, W, Keys::Counted(1), SortedSet, Shaped(sorted_sets::zmpop, blocking::nested), "Takes members of the first sorted set that has some."),
    c("zmscore", -3, R | F, ONE, SortedSet, Op(sorted_sets::zmscore), "Tells several members' scores."),
    c("zpopmax", -2, W | F, ONE, SortedSet, Shaped(sorted_sets::zpopmax, sorted_sets::popped), "Takes those with the greatest scores."),
    c("zpopmin", -2, W | F, ONE, SortedSet, Shaped(sorted_sets::zpopmin, sorted_sets::popped), "Takes those with the least scores."),
    c("zrandmember", -2, R, ONE, SortedSet, Op(sorted_sets::zrandmember), "Tells members at random."),
    c("zrange", -4, R, ONE, SortedSet, Op(sorted_sets::zrange), "Tells members within ranks, scores or names."),
    c("zrangebylex", -4, R, ONE, SortedSet, Op(sorted_sets::zrangebylex), "Tells members within names."),
    c("zrangebyscore", -4, R, ONE, SortedSet, Op(sorted_sets::zrangebyscore), "Tells members within scores."),
    c("zrangestore", -5, W | M, TWO, SortedSet, Op(sorted_sets::zrangestore), "Stores members within ranks, scores or names."),
    c("zrank", 3, R | F, ONE, SortedSet, Op(sorted_sets::zrank), "Tells how many are before a member."),
    c("zrem", -3, W | F, ONE, SortedSet, Op(sorted_sets::zrem), "Removes members."),
    c("zremrangebylex", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebylex), "Removes members within names."),
    c("zremrangebyrank", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebyrank), "Removes members within ranks."),
    c("zremrangebyscore", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebyscore), "Removes members within scores."),
    c("zrevrange", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrange), "Tells members within ranks, from the end."),
    c("zrevrangebylex", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrangebylex), "Tells members within names, from the end."),
    c("zrevrangebyscore", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrangebyscore), "Tells members within scores, from the end."),
    c("zrevrank", 3, R | F, ONE, SortedSet, Op(sorted_sets::zrevrank), "Tells how many are behind a member."),
    c("zscan", -3, R, ONE, SortedSet, Shaped(scans::zscan, scans::scanned), "Tells some members with their scores, and where to go on."),
    c("zscore", 3, R | F, ONE, SortedSet, Op(sorted_sets::zscore), "Tells a member's score."),
    c("zunion", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zunion), "Tells what any has."),
    c("zunionstore", -4, W | M, Keys::StoredAndCounted, SortedSet, Op(sorted_sets::zunionstore), "Stores what any has."),

    c("psubscribe", -2, P, NONE, PubSub, Here(pubsub::psubscribe), "Subscribes to topics that fit patterns."),
    c("publish", 3, Command::PUBSUB | F | W, NONE, PubSub, Here(pubsub::publish), "Tells all subscribers on all members."),
    c("pubsub", -2, PARTS, NONE, PubSub, Here(introspection::container), "Shows subscriptions on all members; on a node of a Redis Cluster, its own."),
    c("pubsub|channels", -2, Command::PUBSUB, NONE, PubSub, Here(pubsub::channels), "Lists the channels that have subscribers."),
    c("pubsub|help", 2, 0, NONE, PubSub, Here(introspection::help), "Lists the subcommands."),
    c("pubsub|numpat", 2, Command::PUBSUB, NONE, PubSub, Here(pubsub::numpat), "Counts the patterns that clients are subscribed to."),
    c("pubsub|numsub", -2, Command::PUBSUB, NONE, PubSub, Here(pubsub::numsub), "Counts the subscribers of channels."),
    c("pubsub|shardchannels", -2, Command::PUBSUB, NONE, PubSub, Here(pubsub::shardchannels), "Returns an empty list: there are no shard channels."),
    c("pubsub|shardnumsub", -2, Command::PUBSUB, NONE, PubSub, Here(pubsub::shardnumsub), "Returns 0 for each channel: there are no shard channels."),
    c("punsubscribe", -1, P, NONE, PubSub, Here(pubsub::punsubscribe), "Ends subscriptions to patterns."),
    c("subscribe", -2, P, NONE, PubSub, Here(pubsub::subscribe), "Subscribes to topics."),
    c("unsubscribe", -1, P, NONE, PubSub, Here(pubsub::unsubscribe), "Ends subscriptions."),

    c("discard", 1, F | NOW, NONE, Transactions, Here(transactions::discard), "Forgets the commands since MULTI."),
    c("exec", 1, NOW, NONE, Transactions, Here(transactions::exec), "Executes the commands since MULTI as one step."),
    c("multi", 1, F | NOW, NONE, Transactions, Here(transactions::multi), "Keeps the commands that follow until EXEC."),
    c("unwatch", 1, F, NONE, Transactions, Here(transactions::unwatch), "Watches no key any more."),
    c("watch", -2, F | NOW, ALL, Transactions, Here(transactions::watch), "EXEC does nothing if one of these keys has changed."),

    c("acl", -2, PARTS, NONE, Server, Here(introspection::container), "Shows which user the client is."),
    c("acl|help", 2, 0, NONE, Server, Here(introspection::help), "Lists the subcommands."),
    c("acl|whoami", 2, 0, NONE, Server, Here(introspection::whoami), "Returns the name of the user of this connection."),
    c("command", -1, PARTS, NONE, Server, Here(introspection::command), "Describes all commands."),
    c("command|count", 2, 0, NONE, Server, Here(introspection::command_count), "Counts the commands."),
    c("command|docs", -2, 0, NONE, Server, Here(introspection::command_docs), "Returns the documentation of commands."),
    c("command|getkeys", -3, 0, NONE, Server, Here(introspection::command_getkeys), "Returns the keys among the arguments of a command."),
    c("command|help", 2, 0, NONE, Server, Here(introspection::help), "Lists the subcommands."),
    c("command|info", -2, 0, NONE, Server, Here(introspection::command_info), "Describes commands."),
    c("command|list", -2, 0, NONE, Server, Here(introspection::command_list), "Lists the names of commands."),
    c("config", -2, PARTS, NONE, Server, Here(introspection::container), "Reads and changes settings."),
    c("config|get", -3, ADMIN, NONE, Server, Here(introspection::config_get), "Returns settings."),
    c("config|help", 2, 0, NONE, Server, Here(introspection::help), "Lists the subcommands."),
    c("config|resetstat", 2, ADMIN, NONE, Server, Here(introspection::config_resetstat), "Resets the count of commands that INFO shows."),
    c("config|set", -4, ADMIN, NONE, Server, Here(introspection::config_set), "Sets notify-keyspace-events, on all members."),
    c("dbsize", 1, R | F, NONE, Server, Here(scans::dbsize), "Counts keys."),
    c("flushall", -1, W | RISKY, NONE, Server, Here(scans::flushall), "Removes all keys of all databases."),
    c("flushdb", -1, W | RISKY, NONE, Server, Here(scans::flushdb), "Removes all keys of the database."),
    c("info", -1, RISKY, NONE, Server, Here(introspection::info), "Tells how the server is."),
    c("time", 1, F, NONE, Server, Here(introspection::time), "Tells the time: seconds since 1970, and microseconds."),

    c("asking", 1, F, NONE, Cluster, Here(introspection::readonly), "Accepted from clients of a Redis Cluster; no slot is ever half moved."),
    c("cluster", -2, PARTS, NONE, Cluster, Here(introspection::container), "Shows which member holds which slots; with --redis-cluster only."),
    c("cluster|countkeysinslot", 3, 0, NONE, Cluster, Here(cluster::countkeysinslot), "Counts the keys of a slot."),
    c("cluster|getkeysinslot", 4, 0, NONE, Cluster, Here(cluster::getkeysinslot), "Returns keys of a slot."),
    c("cluster|help", 2, 0, NONE, Cluster, Here(cluster::help), "Lists the subcommands."),
    c("cluster|info", 2, 0, NONE, Cluster, Here(cluster::info), "Returns the state of the cluster."),
    c("cluster|keyslot", 3, 0, NONE, Cluster, Here(cluster::keyslot), "Returns the slot of a key."),
    c("cluster|myid", 2, 0, NONE, Cluster, Here(cluster::myid), "Returns the ID of this node."),
    c("cluster|nodes", 2, 0, NONE, Cluster, Here(cluster::nodes), "Lists the nodes and their slots, as text."),
    c("cluster|shards", 2, 0, NONE, Cluster, Here(cluster::shards), "Lists the nodes and their slots."),
    c("cluster|slots", 2, 0, NONE, Cluster, Here(cluster::slots), "Lists the slots and their nodes."),
    c("readonly", 1, F, NONE, Cluster, Here(introspection::readonly), "Accepted from clients of a Redis Cluster; backups answer nothing by themselves."),
    c("readwrite", 1, F, NONE, Cluster, Here(introspection::readonly), "Takes READONLY back."),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::string::String;

    use super::*;

    /// The list in the docs: all commands, by what they are about.
    fn page() -> String {
        let mut text = String::from(
            "# Commands\n\nWritten by the test `the_list_in_the_docs_is_this_table` (`UPDATE_DOCS=1` rewrites it).\nArguments and answers are those of Redis 7.\n",
        );
        let mut groups: Vec<Group> = COMMANDS.iter().map(|command| command.group).collect();
        groups.dedup();
        for group in groups {
            let _ = write!(text, "\n## {}\n\n| command | |\n|---|---|\n", group.name());
            for command in COMMANDS.iter().filter(|command| command.group == group) {
                let name = command.name.to_uppercase().replace('|', " ");
                let _ = writeln!(text, "| `{name}` | {} |", command.summary);
            }
        }
        text
    }

    #[test]
    fn the_list_in_the_docs_is_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMMANDS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page(), "run this test with UPDATE_DOCS=1, and look at the change");
    }

    #[test]
    fn names_are_found_in_capitals_or_not_and_each_is_there_once() {
        for (at, command) in COMMANDS.iter().enumerate() {
            assert_eq!(find(command.name.as_bytes()), Some(at), "{}", command.name);
            assert_eq!(find(command.name.to_uppercase().as_bytes()), Some(at));
            assert!(command.summary.ends_with('.'), "{}", command.name);
        }
        assert_eq!(find(b"nonsense"), None);
        assert_eq!(find(&[b'a'; 1_000]), None);
    }

    #[test]
    fn a_request_is_about_the_row_of_its_subcommand() {
        let row = |name: &str, part: Option<&str>| {
            let found = resolve(name.as_bytes(), part.map(str::as_bytes));
            found.map(|index| COMMANDS[index].name).map_err(|missing| match missing {
                Missing::Command => "",
                Missing::Part(name) => name,
            })
        };
        assert_eq!(row("Client", Some("KILL")), Ok("client|kill"));
        assert_eq!(row("client", None), Ok("client"));
        assert_eq!(row("command", None), Ok("command"));
        assert_eq!(row("get", Some("kill")), Ok("get"));
        assert_eq!(row("client", Some("nonsense")), Err("client"));
        assert_eq!(row("client", Some("")), Err("client"));
        assert_eq!(row("client", Some(&"a".repeat(1_000))), Err("client"));
        assert_eq!(row("client|kill", None), Err(""));
        assert_eq!(row("client|kill", Some("kill")), Err(""));
    }

    #[test]
    fn what_has_subcommands_does_nothing_itself() {
        for row in COMMANDS.iter().filter(|row| row.is(Command::CONTAINER)) {
            assert!(row.parts().count() > 0, "{}", row.name);
            assert!(row.parts().any(|part| part.name.ends_with("|help")), "{}", row.name);
            // But for COMMAND, which describes all when nothing follows it.
            assert!(row.arity == -2 || row.name == "command", "{}", row.name);
        }
        for part in COMMANDS.iter().filter(|row| row.is_part()) {
            let (name, _) = part.name.split_once('|').unwrap();
            let container = &COMMANDS[find(name.as_bytes()).unwrap()];
            assert!(container.is(Command::CONTAINER), "{}", part.name);
            assert_eq!(container.group, part.group, "{}", part.name);
        }
    }

    #[test]
    fn keys_are_found_among_the_arguments() {
        let keys = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let command = &COMMANDS[find(args[0]).unwrap()];
            let keys = command.keys_of(&args);
            keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys("mset a 1 b 2"), "a b");
        assert_eq!(keys("blpop a b 0"), "a b");
        assert_eq!(keys("lmpop 2 a b left"), "a b");
        assert_eq!(keys("zunionstore d 2 a b weights 1 2"), "d a b");
        assert_eq!(keys("lmpop 99 a"), "a");
        assert_eq!(keys("ping"), "");
    }
}
