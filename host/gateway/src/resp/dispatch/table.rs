//! The table of all commands.

use std::sync::LazyLock;

use super::super::command::Handler::{self, Blocking, Exec, Local, Op, Shaped, Streams, WithTable};
use super::super::command::{Command, CommandTable, Group, Keys};
use super::super::commands::{
    bits, blocking, clients, cluster, describe, fields, geo, hashes, hyperloglogs, info,
    introspection, keys, latency, lists, objects, pubsub, scans, sets, sorted_sets, sorting,
    streams, strings, tracking, transactions,
};
use super::super::scripts::{self, functions};

/// The table, with its index.
pub(super) static TABLE: LazyLock<CommandTable> = LazyLock::new(|| CommandTable::new(COMMANDS));

/// Index of `GET`, for its fast path.
pub(super) fn get_index() -> usize {
    static INDEX: LazyLock<usize> = LazyLock::new(|| TABLE.find(b"get").unwrap_or(usize::MAX));
    *INDEX
}

/// The index of `SET`.
#[inline]
pub(super) fn set_index() -> usize {
    static INDEX: LazyLock<usize> = LazyLock::new(|| TABLE.find(b"set").unwrap_or(usize::MAX));
    *INDEX
}

const W: u16 = Command::WRITE;
const R: u16 = Command::READ;
const M: u16 = Command::DENY_OOM;
const F: u16 = Command::FAST;
const ADMIN: u16 = Command::ADMIN;
const P: u16 = Command::PUBSUB | Command::WHILE_SUBSCRIBED | Command::NO_MULTI;
const B: u16 = Command::BLOCKING;
const NO_AUTH: u16 = Command::NO_AUTH;
const NO_MULTI: u16 = Command::NO_MULTI;
const NOT_QUEUED: u16 = Command::NOT_QUEUED;
const WHILE_SUBSCRIBED: u16 = Command::WHILE_SUBSCRIBED;
const CONTAINER: u16 = Command::CONTAINER;
const DANGEROUS: u16 = Command::DANGEROUS;

const NONE: Keys = Keys::None;
const ONE: Keys = Keys::Every { first: 1, last: 1, step: 1 };
const SECOND: Keys = Keys::Every { first: 2, last: 2, step: 1 };
const TWO: Keys = Keys::Every { first: 1, last: 2, step: 1 };
const ALL: Keys = Keys::Every { first: 1, last: -1, step: 1 };
const PAIRS: Keys = Keys::Every { first: 1, last: -1, step: 2 };
const ALL_BUT_LAST: Keys = Keys::Every { first: 1, last: -2, step: 1 };

const fn c(
    name: &'static str,
    arity: i32,
    flags: u16,
    keys: Keys,
    group: Group,
    handler: Handler,
    summary: &'static str,
) -> Command {
    Command { name, arity, flags, keys, group, summary, handler }
}

use Group::{
    Bitmap, Cluster, Connection, Generic, Geo, Hash, HyperLogLog, List, PubSub, Scripting, Server,
    Set, SortedSet, Stream, String, Transactions,
};

/// All commands, by group.
#[rustfmt::skip]
pub(super) static COMMANDS: &[Command] = &[
    c("auth", -2, NO_AUTH | F | NOT_QUEUED, NONE, Connection, Local(clients::auth), "Authenticates the connection with a password, or with a user name and password."),
    c("client", -2, CONTAINER, NONE, Connection, Local(describe::container), "Inspects, names and disconnects clients."),
    c("client|caching", 3, 0, NONE, Connection, Local(tracking::caching), "Selects whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT of CLIENT TRACKING."),
    c("client|getname", 2, 0, NONE, Connection, Local(clients::getname), "Returns the name of this connection."),
    c("client|getredir", 2, 0, NONE, Connection, Local(tracking::getredir), "Returns the client that gets the invalidation messages of this connection: 0 for itself, -1 without CLIENT TRACKING."),
    c("client|help", 2, 0, NONE, Connection, WithTable(describe::help), "Lists the subcommands."),
    c("client|id", 2, 0, NONE, Connection, Local(clients::id), "Returns the ID of this connection."),
    c("client|info", 2, 0, NONE, Connection, WithTable(clients::info), "Returns information about this connection, in the format of CLIENT LIST."),
    c("client|kill", -3, ADMIN, NONE, Connection, Local(clients::kill), "Disconnects the clients of this member that match the given filters."),
    c("client|list", -2, ADMIN, NONE, Connection, WithTable(clients::list), "Lists the clients connected to this member."),
    c("client|maint_notifications", -3, 0, NONE, Connection, Local(clients::maint_notifications), "Turns announcements on or off, by which a member that leaves sends this connection to another one."),
    c("client|no-evict", 3, ADMIN, NONE, Connection, Local(clients::on_or_off), "Accepted for compatibility; clients are never evicted."),
    c("client|no-touch", 3, 0, NONE, Connection, Local(clients::no_touch), "Turns off, or on, that reads of this connection count as uses of keys: they do not change OBJECT IDLETIME or when a key expires without use."),
    c("client|pause", -3, ADMIN, NONE, Connection, Local(clients::pause), "Holds back commands of the clients of this member for a time: all, or those that write."),
    c("client|reply", 3, 0, NONE, Connection, Local(clients::reply), "Turns replies to this connection on or off, or skips the next reply."),
    c("client|setinfo", 4, 0, NONE, Connection, Local(clients::setinfo), "Sets the library name or version of this connection."),
    c("client|setname", 3, 0, NONE, Connection, Local(clients::setname), "Sets the name of this connection."),
    c("client|tracking", -3, 0, NONE, Connection, Local(tracking::tracking), "Turns client-side caching on or off: the client is notified when keys that it read are changed by any client of the cluster."),
    c("client|trackinginfo", 2, 0, NONE, Connection, Local(tracking::trackinginfo), "Returns the options of CLIENT TRACKING for this connection."),
    c("client|unblock", -3, ADMIN, NONE, Connection, Local(clients::unblock), "Ends the blocked command of a client of this member, as if its time had passed, or with an error."),
    c("client|unpause", 2, ADMIN, NONE, Connection, Local(clients::unpause), "Ends CLIENT PAUSE on this member."),
    c("echo", 2, F, NONE, Connection, Local(clients::echo), "Returns its argument."),
    c("hello", -1, NO_AUTH | F, NONE, Connection, Local(clients::hello), "Selects the RESP version, and optionally authenticates and names the connection."),
    c("ping", -1, F | WHILE_SUBSCRIBED, NONE, Connection, Local(clients::ping), "Returns PONG, or its argument if one is given."),
    c("quit", -1, NO_AUTH | F | NOT_QUEUED | WHILE_SUBSCRIBED, NONE, Connection, Local(clients::quit), "Closes the connection after the reply."),
    c("reset", 1, NO_AUTH | F | NOT_QUEUED | WHILE_SUBSCRIBED, NONE, Connection, Local(clients::reset), "Resets the connection to its initial state."),
    c("select", 2, F, NONE, Connection, Local(clients::select), "Selects the database of this connection, 0 to 15 (the maps resp:0 to resp:15)."),

    c("copy", -3, W | M, TWO, Generic, Op(keys::copy), "Copies the value of a key to another key."),
    c("del", -2, W, ALL, Generic, Op(keys::del), "Deletes keys and returns how many existed."),
    c("dump", 2, R, ONE, Generic, Shaped(objects::dump, objects::dumped), "Returns the value of a key in the RDB encoding of Redis."),
    c("exists", -2, R | F, ALL, Generic, Op(keys::exists), "Returns how many of the given keys exist."),
    c("expire", -3, W | F, ONE, Generic, Op(keys::expire), "Sets the time to live of a key, in seconds."),
    c("expireat", -3, W | F, ONE, Generic, Op(keys::expireat), "Sets the time at which a key expires, as a Unix timestamp in seconds."),
    c("expiretime", 2, R | F, ONE, Generic, Shaped(keys::expiretime, keys::seconds), "Returns the time at which a key expires, as a Unix timestamp in seconds."),
    c("keys", 2, R | DANGEROUS, NONE, Generic, Local(scans::keys), "Returns all keys matching a pattern; fails beyond 1,000,000 keys or 64 MiB of them: use SCAN."),
    c("move", 3, W | F, ONE, Generic, Op(keys::move_to), "Moves a key to another database."),
    c("object", -2, CONTAINER, NONE, Generic, Local(describe::container), "Reports how values are stored and used."),
    c("object|encoding", 3, R, SECOND, Generic, Op(objects::encoding), "Returns the name of the form in which Redis would store a value."),
    c("object|freq", 3, R, SECOND, Generic, Shaped(objects::exists, objects::freq), "Returns an error: the frequency of accesses is not that of Redis."),
    c("object|help", 2, 0, NONE, Generic, WithTable(describe::help), "Lists the subcommands."),
    c("object|idletime", 3, R, SECOND, Generic, Shaped(objects::view, objects::idletime), "Returns the time since a key was last used, in seconds."),
    c("object|refcount", 3, R, SECOND, Generic, Shaped(objects::exists, objects::refcount), "Returns 1 for each key: values are not shared."),
    c("persist", 2, W | F, ONE, Generic, Op(keys::persist), "Removes the expiry time of a key."),
    c("pexpire", -3, W | F, ONE, Generic, Op(keys::pexpire), "Sets the time to live of a key, in milliseconds."),
    c("pexpireat", -3, W | F, ONE, Generic, Op(keys::pexpireat), "Sets the time at which a key expires, as a Unix timestamp in milliseconds."),
    c("pexpiretime", 2, R | F, ONE, Generic, Op(keys::expiretime), "Returns the time at which a key expires, as a Unix timestamp in milliseconds."),
    c("pttl", 2, R | F, ONE, Generic, Op(keys::ttl), "Returns the remaining time to live of a key, in milliseconds."),
    c("randomkey", 1, R, NONE, Generic, Local(scans::randomkey), "Returns a random key of the database."),
    c("rename", 3, W, TWO, Generic, Op(keys::rename), "Renames a key, replacing the destination if it exists."),
    c("renamenx", 3, W | F, TWO, Generic, Op(keys::renamenx), "Renames a key if the destination does not exist."),
    c("restore", -4, W | M | DANGEROUS, ONE, Generic, Op(objects::restore), "Sets a value that DUMP of Convoke or Redis has returned."),
    c("scan", -2, R, NONE, Generic, Local(scans::scan), "Iterates over the keys of the database with a cursor."),
    c("sort", -2, W | M, Keys::SortedAndStored, Generic, Op(sorting::sort), "Sorts the elements of a list, a set or a sorted set, also by the values of other keys; returns them or stores them as a list."),
    c("sort_ro", -2, R, Keys::SortedAndStored, Generic, Op(sorting::sort_ro), "Sorts the elements of a list, a set or a sorted set, also by the values of other keys, and returns them."),
    c("touch", -2, R | F, ALL, Generic, Op(keys::touch), "Updates the last access time of keys and returns how many exist."),
    c("ttl", 2, R | F, ONE, Generic, Shaped(keys::ttl, keys::seconds), "Returns the remaining time to live of a key, in seconds."),
    c("type", 2, R | F, ONE, Generic, Op(keys::kind), "Returns the type of the value stored at a key."),
    c("unlink", -2, W | F, ALL, Generic, Op(keys::del), "Deletes keys, exactly as DEL does."),
    c("wait", 3, 0, NONE, Generic, Local(introspection::wait), "Returns the number of backups that have this connection's writes; returns at once, since each write waits for its backups."),
    c("waitaof", 4, 0, NONE, Generic, Local(introspection::waitaof), "Returns 0 and the number of backups that have this connection's writes: there is no append-only file."),

    c("append", 3, W | M | F, ONE, String, Op(strings::append), "Appends bytes to a string, creating it if the key does not exist."),
    c("decr", 2, W | M | F, ONE, String, Op(strings::decr), "Decrements the integer value of a key by one."),
    c("decrby", 3, W | M | F, ONE, String, Op(strings::decrby), "Decrements the integer value of a key by the given amount."),
    c("delex", -2, W | F, ONE, String, Op(strings::delex), "Deletes a key if its value, or the digest of it, is the given one (IFEQ, IFDEQ) or another one (IFNE, IFDNE)."),
    c("delifeq", 3, W | F, ONE, String, Op(strings::delifeq), "Deletes a key if its value is the given one."),
    c("digest", 2, R | F, ONE, String, Op(strings::digest), "Returns the XXH3 hash of the string stored at a key, as 16 hexadecimal digits."),
    c("get", 2, R | F, ONE, String, Op(strings::get), "Returns the string stored at a key."),
    c("getdel", 2, W | F, ONE, String, Op(strings::getdel), "Returns the string stored at a key and deletes the key."),
    c("getex", -2, W | F, ONE, String, Op(strings::getex), "Returns the string stored at a key, and sets or removes its expiry time."),
    c("getrange", 4, R, ONE, String, Op(strings::getrange), "Returns a substring of the string stored at a key."),
    c("getset", 3, W | M | F, ONE, String, Op(strings::getset), "Sets the string value of a key and returns the previous value."),
    c("incr", 2, W | M | F, ONE, String, Op(strings::incr), "Increments the integer value of a key by one."),
    c("incrby", 3, W | M | F, ONE, String, Op(strings::incrby), "Increments the integer value of a key by the given amount."),
    c("incrbyfloat", 3, W | M | F, ONE, String, Op(strings::incrbyfloat), "Increments the value of a key by a floating-point amount."),
    c("increx", -2, W | M | F, ONE, String, Op(strings::increx), "Increments the number stored at a key within bounds, and sets or removes its expiry time."),
    c("lcs", -3, R, TWO, String, Op(sorting::lcs), "Returns the longest common subsequence of two strings, its length, or the ranges that match."),
    c("mget", -2, R | F, ALL, String, Op(strings::mget), "Returns the strings stored at several keys."),
    c("mset", -3, W | M, PAIRS, String, Op(strings::mset), "Sets the values of several keys; atomic if they are in one slot or inside MULTI."),
    c("msetex", -4, W | M, Keys::CountedPairs(1), String, Op(strings::msetex), "Sets the values of several keys with a shared expiry time, if all of the keys exist, or none (XX, NX)."),
    c("msetnx", -3, W | M, PAIRS, String, Op(strings::msetnx), "Sets the values of several keys if none of the keys exists."),
    c("psetex", 4, W | M, ONE, String, Op(strings::psetex), "Sets the string value of a key with a time to live in milliseconds."),
    c("set", -3, W | M, ONE, String, Op(strings::set), "Sets the string value of a key, with optional condition (NX, XX, IFEQ, IFNE, IFDEQ, IFDNE), expiry (EX, PX, EXAT, PXAT, KEEPTTL) and return of the previous value (GET)."),
    c("setex", 4, W | M, ONE, String, Op(strings::setex), "Sets the string value of a key with a time to live in seconds."),
    c("setnx", 3, W | M | F, ONE, String, Shaped(strings::setnx, strings::done_or_not), "Sets the string value of a key if the key does not exist."),
    c("setrange", 4, W | M, ONE, String, Op(strings::setrange), "Overwrites part of a string, starting at the given offset."),
    c("strlen", 2, R | F, ONE, String, Op(strings::strlen), "Returns the length of the string stored at a key, in bytes."),
    c("substr", 4, R, ONE, String, Op(strings::getrange), "Returns a substring of the string stored at a key; same as GETRANGE."),

    c("bitcount", -2, R, ONE, Bitmap, Op(bits::bitcount), "Returns the number of bits that are set in a string, or in a part of it."),
    c("bitfield", -2, W | M, ONE, Bitmap, Op(bits::bitfield), "Reads and changes integers of any width at any bit of a string."),
    c("bitfield_ro", -2, R | F, ONE, Bitmap, Op(bits::bitfield_ro), "Reads integers of any width at any bit of a string."),
    c("bitop", -4, W | M, Keys::Every { first: 2, last: -1, step: 1 }, Bitmap, Op(bits::bitop), "Combines strings bit by bit (AND, OR, XOR, NOT, DIFF, DIFF1, ANDOR, ONE), and stores the result at a key."),
    c("bitpos", -3, R, ONE, Bitmap, Op(bits::bitpos), "Returns the position of the first bit of a string that is set, or clear."),
    c("getbit", 3, R | F, ONE, Bitmap, Op(bits::getbit), "Returns a bit of a string."),
    c("setbit", 4, W | M, ONE, Bitmap, Op(bits::setbit), "Sets or clears a bit of a string, and returns its previous value."),

    c("pfadd", -2, W | M | F, ONE, HyperLogLog, Op(hyperloglogs::pfadd), "Adds elements to a HyperLogLog, creating it if the key does not exist."),
    c("pfcount", -2, R, ALL, HyperLogLog, Op(hyperloglogs::pfcount), "Returns the estimated number of distinct elements in one or more HyperLogLogs."),
    c("pfmerge", -2, W | M, ALL, HyperLogLog, Op(hyperloglogs::pfmerge), "Adds the elements of HyperLogLogs to another one."),

    c("hdel", -3, W | F, ONE, Hash, Op(hashes::hdel), "Deletes fields of a hash and returns how many existed."),
    c("hexists", 3, R | F, ONE, Hash, Op(hashes::hexists), "Returns whether a field exists in a hash."),
    c("hexpire", -6, W | F, ONE, Hash, Op(fields::hexpire), "Sets the time to live of hash fields, in seconds."),
    c("hexpireat", -6, W | F, ONE, Hash, Op(fields::hexpireat), "Sets the time at which hash fields expire, as a Unix timestamp in seconds."),
    c("hexpiretime", -5, R | F, ONE, Hash, Shaped(fields::hexpiretime, fields::seconds), "Returns the time at which hash fields expire, as a Unix timestamp in seconds."),
    c("hget", 3, R | F, ONE, Hash, Op(hashes::hget), "Returns the value of a hash field."),
    c("hgetall", 2, R, ONE, Hash, Op(hashes::hgetall), "Returns all fields and values of a hash."),
    c("hgetdel", -5, W | F, ONE, Hash, Op(fields::hgetdel), "Returns the values of hash fields and deletes the fields."),
    c("hgetex", -5, W | F, ONE, Hash, Op(fields::hgetex), "Returns the values of hash fields, and sets or removes their expiry time."),
    c("hincrby", 4, W | M | F, ONE, Hash, Op(hashes::hincrby), "Increments the integer value of a hash field by the given amount."),
    c("hincrbyfloat", 4, W | M | F, ONE, Hash, Op(hashes::hincrbyfloat), "Increments the value of a hash field by a floating-point amount."),
    c("hkeys", 2, R, ONE, Hash, Op(hashes::hkeys), "Returns all field names of a hash."),
    c("hlen", 2, R | F, ONE, Hash, Op(hashes::hlen), "Returns the number of fields in a hash."),
    c("hmget", -3, R | F, ONE, Hash, Op(hashes::hmget), "Returns the values of several hash fields."),
    c("hmset", -4, W | M | F, ONE, Hash, Shaped(hashes::hmset, hashes::done), "Sets several fields of a hash; same as HSET, but replies OK."),
    c("hpersist", -5, W | F, ONE, Hash, Op(fields::hpersist), "Removes the expiry time of hash fields."),
    c("hpexpire", -6, W | F, ONE, Hash, Op(fields::hpexpire), "Sets the time to live of hash fields, in milliseconds."),
    c("hpexpireat", -6, W | F, ONE, Hash, Op(fields::hpexpireat), "Sets the time at which hash fields expire, as a Unix timestamp in milliseconds."),
    c("hpexpiretime", -5, R | F, ONE, Hash, Op(fields::hexpiretime), "Returns the time at which hash fields expire, as a Unix timestamp in milliseconds."),
    c("hpttl", -5, R | F, ONE, Hash, Op(fields::httl), "Returns the remaining time to live of hash fields, in milliseconds."),
    c("hrandfield", -2, R, ONE, Hash, Op(hashes::hrandfield), "Returns one or more random fields of a hash."),
    c("hscan", -3, R, ONE, Hash, Shaped(scans::hscan, scans::scanned), "Iterates over the fields and values of a hash with a cursor."),
    c("hset", -4, W | M | F, ONE, Hash, Op(hashes::hset), "Sets fields of a hash and returns how many are new."),
    c("hsetex", -6, W | M | F, ONE, Hash, Op(fields::hsetex), "Sets hash fields with their expiry time, if a condition on their existence holds."),
    c("hsetnx", 4, W | M | F, ONE, Hash, Op(hashes::hsetnx), "Sets a hash field if it does not exist."),
    c("hstrlen", 3, R | F, ONE, Hash, Op(hashes::hstrlen), "Returns the length of the value of a hash field, in bytes."),
    c("httl", -5, R | F, ONE, Hash, Shaped(fields::httl, fields::seconds), "Returns the remaining time to live of hash fields, in seconds."),
    c("hvals", 2, R, ONE, Hash, Op(hashes::hvals), "Returns all values of a hash."),

    c("blmove", 6, W | M | B, TWO, List, Blocking(blocking::blmove, blocking::unchanged), "Moves an element from one list to another; blocks until an element is available."),
    c("blmpop", -5, W | B, Keys::Counted(2), List, Blocking(blocking::blmpop, blocking::nested), "Pops elements from the first non-empty list; blocks until an element is available."),
    c("blpop", -3, W | B, ALL_BUT_LAST, List, Blocking(blocking::blpop, blocking::flat), "Removes and returns the first element of the first non-empty list; blocks until an element is available."),
    c("brpop", -3, W | B, ALL_BUT_LAST, List, Blocking(blocking::brpop, blocking::flat), "Removes and returns the last element of the first non-empty list; blocks until an element is available."),
    c("brpoplpush", 4, W | M | B, TWO, List, Blocking(blocking::brpoplpush, blocking::unchanged), "Moves the last element of a list to the head of another; blocks until an element is available."),
    c("lindex", 3, R, ONE, List, Op(lists::lindex), "Returns the list element at an index."),
    c("linsert", 5, W | M, ONE, List, Op(lists::linsert), "Inserts an element before or after another element of a list."),
    c("llen", 2, R | F, ONE, List, Op(lists::llen), "Returns the length of a list."),
    c("lmove", 5, W | M, TWO, List, Op(lists::lmove), "Moves an element from one list to another and returns it."),
    c("lmpop", -4, W, Keys::Counted(1), List, Shaped(lists::lmpop, blocking::nested), "Pops elements from the first non-empty list."),
    c("lpop", -2, W | F, ONE, List, Op(lists::lpop), "Removes and returns elements from the head of a list."),
    c("lpos", -3, R, ONE, List, Op(lists::lpos), "Returns the indexes at which an element occurs in a list."),
    c("lpush", -3, W | M | F, ONE, List, Op(lists::lpush), "Inserts elements at the head of a list, creating it if the key does not exist."),
    c("lpushx", -3, W | M | F, ONE, List, Op(lists::lpushx), "Inserts elements at the head of a list if the list exists."),
    c("lrange", 4, R, ONE, List, Op(lists::lrange), "Returns a range of elements of a list."),
    c("lrem", 4, W, ONE, List, Op(lists::lrem), "Removes elements of a list that are equal to the given one."),
    c("lset", 4, W | M, ONE, List, Op(lists::lset), "Replaces the list element at an index."),
    c("ltrim", 4, W, ONE, List, Op(lists::ltrim), "Trims a list to a range of elements."),
    c("rpop", -2, W | F, ONE, List, Op(lists::rpop), "Removes and returns elements from the tail of a list."),
    c("rpoplpush", 3, W | M, TWO, List, Op(lists::rpoplpush), "Moves the last element of a list to the head of another and returns it."),
    c("rpush", -3, W | M | F, ONE, List, Op(lists::rpush), "Appends elements to a list, creating it if the key does not exist."),
    c("rpushx", -3, W | M | F, ONE, List, Op(lists::rpushx), "Appends elements to a list if the list exists."),

    c("sadd", -3, W | M | F, ONE, Set, Op(sets::sadd), "Adds members to a set, creating it if the key does not exist."),
    c("scard", 2, R | F, ONE, Set, Op(sets::scard), "Returns the number of members of a set."),
    c("sdiff", -2, R, ALL, Set, Op(sets::sdiff), "Returns the members of the first set that are in none of the other sets."),
    c("sdiffstore", -3, W | M, ALL, Set, Op(sets::sdiffstore), "Stores the difference of sets at a key."),
    c("sinter", -2, R, ALL, Set, Op(sets::sinter), "Returns the members that all given sets have in common."),
    c("sintercard", -3, R, Keys::Counted(1), Set, Op(sets::sintercard), "Returns the number of members that all given sets have in common."),
    c("sinterstore", -3, W | M, ALL, Set, Op(sets::sinterstore), "Stores the intersection of sets at a key."),
    c("sismember", 3, R | F, ONE, Set, Op(sets::sismember), "Returns whether a value is a member of a set."),
    c("smembers", 2, R, ONE, Set, Op(sets::smembers), "Returns all members of a set, in no particular order."),
    c("smismember", -3, R | F, ONE, Set, Op(sets::smismember), "Returns, for each of several values, whether it is a member of a set."),
    c("smove", 4, W | F, TWO, Set, Op(sets::smove), "Moves a member from one set to another."),
    c("spop", -2, W | F, ONE, Set, Op(sets::spop), "Removes and returns random members of a set."),
    c("srandmember", -2, R, ONE, Set, Op(sets::srandmember), "Returns random members of a set."),
    c("srem", -3, W | F, ONE, Set, Op(sets::srem), "Removes members from a set and returns how many were in it."),
    c("sscan", -3, R, ONE, Set, Shaped(scans::sscan, scans::scanned), "Iterates over the members of a set with a cursor."),
    c("sunion", -2, R, ALL, Set, Op(sets::sunion), "Returns the members of all given sets, without duplicates."),
    c("sunionstore", -3, W | M, ALL, Set, Op(sets::sunionstore), "Stores the union of sets at a key."),

    c("bzmpop", -5, W | B, Keys::Counted(2), SortedSet, Blocking(blocking::bzmpop, blocking::nested), "Pops members from the first non-empty sorted set; blocks until a member is available."),
    c("bzpopmax", -3, W | B | F, ALL_BUT_LAST, SortedSet, Blocking(blocking::bzpopmax, blocking::flat), "Removes and returns the member with the highest score of the first non-empty sorted set; blocks until a member is available."),
    c("bzpopmin", -3, W | B | F, ALL_BUT_LAST, SortedSet, Blocking(blocking::bzpopmin, blocking::flat), "Removes and returns the member with the lowest score of the first non-empty sorted set; blocks until a member is available."),
    c("zadd", -4, W | M | F, ONE, SortedSet, Op(sorted_sets::zadd), "Adds members to a sorted set, or updates their scores."),
    c("zcard", 2, R | F, ONE, SortedSet, Op(sorted_sets::zcard), "Returns the number of members of a sorted set."),
    c("zcount", 4, R | F, ONE, SortedSet, Op(sorted_sets::zcount), "Returns the number of members with scores in a range."),
    c("zdiff", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zdiff), "Returns the members of the first sorted set that are in none of the others."),
    c("zdiffstore", -4, W | M, Keys::DestinationAndCounted, SortedSet, Op(sorted_sets::zdiffstore), "Stores the difference of sorted sets at a key."),
    c("zincrby", 4, W | M | F, ONE, SortedSet, Op(sorted_sets::zincrby), "Increments the score of a member of a sorted set."),
    c("zinter", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zinter), "Returns the members that all given sorted sets have in common."),
    c("zintercard", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zintercard), "Returns the number of members that all given sorted sets have in common."),
    c("zinterstore", -4, W | M, Keys::DestinationAndCounted, SortedSet, Op(sorted_sets::zinterstore), "Stores the intersection of sorted sets at a key."),
    c("zlexcount", 4, R | F, ONE, SortedSet, Op(sorted_sets::zlexcount), "Returns the number of members in a lexicographical range."),
    c("zmpop", -4, W, Keys::Counted(1), SortedSet, Shaped(sorted_sets::zmpop, blocking::nested), "Pops members from the first non-empty sorted set."),
    c("zmscore", -3, R | F, ONE, SortedSet, Op(sorted_sets::zmscore), "Returns the scores of several members of a sorted set."),
    c("zpopmax", -2, W | F, ONE, SortedSet, Shaped(sorted_sets::zpopmax, sorted_sets::popped), "Removes and returns the members with the highest scores."),
    c("zpopmin", -2, W | F, ONE, SortedSet, Shaped(sorted_sets::zpopmin, sorted_sets::popped), "Removes and returns the members with the lowest scores."),
    c("zrandmember", -2, R, ONE, SortedSet, Op(sorted_sets::zrandmember), "Returns random members of a sorted set."),
    c("zrange", -4, R, ONE, SortedSet, Op(sorted_sets::zrange), "Returns the members in a range of ranks, scores (BYSCORE) or names (BYLEX)."),
    c("zrangebylex", -4, R, ONE, SortedSet, Op(sorted_sets::zrangebylex), "Returns the members in a lexicographical range."),
    c("zrangebyscore", -4, R, ONE, SortedSet, Op(sorted_sets::zrangebyscore), "Returns the members with scores in a range."),
    c("zrangestore", -5, W | M, TWO, SortedSet, Op(sorted_sets::zrangestore), "Stores a range of a sorted set at a key."),
    c("zrank", -3, R | F, ONE, SortedSet, Op(sorted_sets::zrank), "Returns the rank of a member, counted from the lowest score, optionally with its score."),
    c("zrem", -3, W | F, ONE, SortedSet, Op(sorted_sets::zrem), "Removes members from a sorted set and returns how many were in it."),
    c("zremrangebylex", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebylex), "Removes the members in a lexicographical range."),
    c("zremrangebyrank", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebyrank), "Removes the members in a range of ranks."),
    c("zremrangebyscore", 4, W, ONE, SortedSet, Op(sorted_sets::zremrangebyscore), "Removes the members with scores in a range."),
    c("zrevrange", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrange), "Returns the members in a range of ranks, from the highest score to the lowest."),
    c("zrevrangebylex", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrangebylex), "Returns the members in a lexicographical range, in reverse order."),
    c("zrevrangebyscore", -4, R, ONE, SortedSet, Op(sorted_sets::zrevrangebyscore), "Returns the members with scores in a range, from the highest score to the lowest."),
    c("zrevrank", -3, R | F, ONE, SortedSet, Op(sorted_sets::zrevrank), "Returns the rank of a member, counted from the highest score, optionally with its score."),
    c("zscan", -3, R, ONE, SortedSet, Shaped(scans::zscan, scans::scanned), "Iterates over the members and scores of a sorted set with a cursor."),
    c("zscore", 3, R | F, ONE, SortedSet, Op(sorted_sets::zscore), "Returns the score of a member of a sorted set."),
    c("zunion", -3, R, Keys::Counted(1), SortedSet, Op(sorted_sets::zunion), "Returns the members of all given sorted sets, with aggregated scores."),
    c("zunionstore", -4, W | M, Keys::DestinationAndCounted, SortedSet, Op(sorted_sets::zunionstore), "Stores the union of sorted sets at a key."),

    c("geoadd", -5, W | M, ONE, Geo, Op(geo::geoadd), "Adds members with their longitude and latitude to a sorted set, or moves them."),
    c("geodist", -4, R, ONE, Geo, Op(geo::geodist), "Returns the distance between two members."),
    c("geohash", -2, R, ONE, Geo, Shaped(geo::scores, geo::geohash), "Returns the geohashes of members as text."),
    c("geopos", -2, R, ONE, Geo, Shaped(geo::scores, geo::geopos), "Returns the longitude and latitude of members."),
    c("georadius", -6, W | M, Keys::FirstAndStored(6), Geo, Op(geo::georadius), "Returns or stores the members within a distance of a place."),
    c("georadius_ro", -6, R, ONE, Geo, Op(geo::georadius_ro), "Returns the members within a distance of a place."),
    c("georadiusbymember", -5, W | M, Keys::FirstAndStored(5), Geo, Op(geo::georadiusbymember), "Returns or stores the members within a distance of a member."),
    c("georadiusbymember_ro", -5, R, ONE, Geo, Op(geo::georadiusbymember_ro), "Returns the members within a distance of a member."),
    c("geosearch", -7, R, ONE, Geo, Op(geo::geosearch), "Returns the members in a circle or box around a place or member."),
    c("geosearchstore", -8, W | M, TWO, Geo, Op(geo::geosearchstore), "Stores the members in a circle or box around a place or member."),

    c("xack", -4, W | F, ONE, Stream, Op(streams::xack), "Acknowledges entries that were delivered to a consumer, and returns how many were pending."),
    c("xackdel", -6, W | F, ONE, Stream, Op(streams::xackdel), "Acknowledges entries, and deletes them unless other groups still need them."),
    c("xadd", -5, W | M | F, ONE, Stream, Op(streams::xadd), "Adds an entry to a stream, optionally trims it, and returns the ID of the entry."),
    c("xautoclaim", -6, W | F, ONE, Stream, Op(streams::xautoclaim), "Gives pending entries that were delivered some time ago to another consumer, and returns them."),
    c("xclaim", -6, W | F, ONE, Stream, Op(streams::xclaim), "Gives pending entries to another consumer, and returns them."),
    c("xdel", -3, W | F, ONE, Stream, Op(streams::xdel), "Deletes entries of a stream and returns how many existed."),
    c("xdelex", -5, W | F, ONE, Stream, Op(streams::xdelex), "Deletes entries of a stream, unless consumer groups still need them."),
    c("xgroup", -2, CONTAINER, NONE, Stream, Local(describe::container), "Creates, changes and deletes consumer groups."),
    c("xgroup|create", -5, W | M, SECOND, Stream, Op(streams::xgroup_create), "Creates a consumer group."),
    c("xgroup|createconsumer", 5, W | M, SECOND, Stream, Op(streams::xgroup_createconsumer), "Creates a consumer in a group."),
    c("xgroup|delconsumer", 5, W, SECOND, Stream, Op(streams::xgroup_delconsumer), "Deletes a consumer and returns how many entries were pending for it."),
    c("xgroup|destroy", 4, W, SECOND, Stream, Op(streams::xgroup_destroy), "Deletes a consumer group."),
    c("xgroup|help", 2, 0, NONE, Stream, WithTable(describe::help), "Lists the subcommands."),
    c("xgroup|setid", -5, W, SECOND, Stream, Op(streams::xgroup_setid), "Sets the last delivered ID of a consumer group."),
    c("xinfo", -2, CONTAINER, NONE, Stream, Local(describe::container), "Describes streams, consumer groups and consumers."),
    c("xinfo|consumers", 4, R, SECOND, Stream, Op(streams::xinfo_consumers), "Returns the consumers of a group."),
    c("xinfo|groups", 3, R, SECOND, Stream, Op(streams::xinfo_groups), "Returns the consumer groups of a stream."),
    c("xinfo|help", 2, 0, NONE, Stream, WithTable(describe::help), "Lists the subcommands."),
    c("xinfo|stream", -3, R, SECOND, Stream, Op(streams::xinfo_stream), "Returns information about a stream."),
    c("xlen", 2, R | F, ONE, Stream, Op(streams::xlen), "Returns the number of entries of a stream."),
    c("xpending", -3, R, ONE, Stream, Op(streams::xpending), "Returns the entries that were delivered to consumers and not acknowledged."),
    c("xrange", -4, R, ONE, Stream, Op(streams::xrange), "Returns the entries in a range of IDs."),
    c("xread", -4, R | B, Keys::Streams, Stream, Streams(streams::xread), "Returns entries with greater IDs than the given ones; optionally blocks until there is one."),
    c("xreadgroup", -7, W | B, Keys::Streams, Stream, Streams(streams::xreadgroup), "Returns new entries to a consumer of a group, or its pending ones; optionally blocks until there is one."),
    c("xrevrange", -4, R, ONE, Stream, Op(streams::xrevrange), "Returns the entries in a range of IDs, in reverse order."),
    c("xsetid", -3, W | M | F, ONE, Stream, Op(streams::xsetid), "Sets the last ID of a stream."),
    c("xtrim", -4, W, ONE, Stream, Op(streams::xtrim), "Removes the oldest entries of a stream and returns how many."),

    c("psubscribe", -2, P, NONE, PubSub, Local(pubsub::psubscribe), "Subscribes to all channels that match the given patterns."),
    c("publish", 3, Command::PUBSUB | F | W, NONE, PubSub, Local(pubsub::publish), "Publishes a message to all subscribers of a channel, on all members."),
    c("pubsub", -2, CONTAINER, NONE, PubSub, Local(describe::container), "Reports subscriptions on all members; with --redis-cluster, those on this member."),
    c("pubsub|channels", -2, Command::PUBSUB, NONE, PubSub, Local(pubsub::channels), "Lists the channels that have subscribers."),
    c("pubsub|help", 2, 0, NONE, PubSub, WithTable(describe::help), "Lists the subcommands."),
    c("pubsub|numpat", 2, Command::PUBSUB, NONE, PubSub, Local(pubsub::numpat), "Returns the number of distinct patterns that clients are subscribed to."),
    c("pubsub|numsub", -2, Command::PUBSUB, NONE, PubSub, Local(pubsub::numsub), "Returns the number of subscribers of each given channel."),
    c("pubsub|shardchannels", -2, Command::PUBSUB, NONE, PubSub, Local(pubsub::shardchannels), "Lists the shard channels that have subscribers."),
    c("pubsub|shardnumsub", -2, Command::PUBSUB, NONE, PubSub, Local(pubsub::shardnumsub), "Returns the number of subscribers of each given shard channel."),
    c("punsubscribe", -1, P, NONE, PubSub, Local(pubsub::punsubscribe), "Unsubscribes from patterns, or from all of them."),
    c("spublish", 3, Command::PUBSUB | F | W, ONE, PubSub, Local(pubsub::spublish), "Publishes a message to all subscribers of a shard channel, on all members."),
    c("ssubscribe", -2, P, ALL, PubSub, Local(pubsub::ssubscribe), "Subscribes to shard channels."),
    c("subscribe", -2, P, NONE, PubSub, Local(pubsub::subscribe), "Subscribes to channels."),
    c("sunsubscribe", -1, P, ALL, PubSub, Local(pubsub::sunsubscribe), "Unsubscribes from shard channels, or from all of them."),
    c("unsubscribe", -1, P, NONE, PubSub, Local(pubsub::unsubscribe), "Unsubscribes from channels, or from all of them."),

    c("eval", -3, W | R, Keys::Counted(2), Scripting, WithTable(scripts::eval), "Executes a Lua script atomically."),
    c("eval_ro", -3, R, Keys::Counted(2), Scripting, WithTable(scripts::eval_ro), "Executes a read-only Lua script."),
    c("evalsha", -3, W | R, Keys::Counted(2), Scripting, WithTable(scripts::evalsha), "Executes a Lua script by its SHA-1 checksum."),
    c("evalsha_ro", -3, R, Keys::Counted(2), Scripting, WithTable(scripts::evalsha_ro), "Executes a read-only Lua script, by its SHA-1 checksum."),
    c("fcall", -3, W | R, Keys::Counted(2), Scripting, WithTable(functions::fcall), "Calls a function of a library atomically."),
    c("fcall_ro", -3, R, Keys::Counted(2), Scripting, WithTable(functions::fcall_ro), "Calls a read-only function."),
    c("function", -2, CONTAINER, NONE, Scripting, Local(describe::container), "Loads, lists, removes and stops functions."),
    c("function|delete", 3, W, NONE, Scripting, Local(functions::delete), "Deletes a library and its functions, on all members."),
    c("function|dump", 2, R, NONE, Scripting, Local(functions::dump), "Returns all libraries in an encoding for FUNCTION RESTORE, also that of Redis."),
    c("function|flush", -2, W, NONE, Scripting, Local(functions::flush), "Deletes all libraries, on all members."),
    c("function|help", 2, 0, NONE, Scripting, WithTable(describe::help), "Lists the subcommands."),
    c("function|kill", 2, W, NONE, Scripting, Local(functions::kill), "Stops the functions that are running on any member, and rolls back their changes."),
    c("function|list", -2, 0, NONE, Scripting, Local(functions::list), "Returns the libraries and their functions."),
    c("function|load", -3, W | M, NONE, Scripting, Local(functions::load), "Loads a library on all members, and returns its name."),
    c("function|restore", -3, W | M, NONE, Scripting, Local(functions::restore), "Loads libraries that FUNCTION DUMP of Convoke or Redis has returned."),
    c("function|stats", 2, 0, NONE, Scripting, Local(functions::stats), "Returns the longest-running function, and the number of libraries and functions."),
    c("script", -2, CONTAINER, NONE, Scripting, Local(describe::container), "Loads, finds, removes and stops scripts."),
    c("script|debug", 3, 0, NONE, Scripting, Local(scripts::debug), "Accepts NO; scripts cannot be debugged step by step."),
    c("script|exists", -3, 0, NONE, Scripting, Local(scripts::exists), "Reports which scripts are loaded, by their checksums."),
    c("script|flush", -2, W, NONE, Scripting, Local(scripts::flush), "Removes all scripts, on all members."),
    c("script|help", 2, 0, NONE, Scripting, WithTable(describe::help), "Lists the subcommands."),
    c("script|kill", 2, W, NONE, Scripting, Local(scripts::kill), "Stops the scripts that are running on any member, and rolls back their changes."),
    c("script|load", 3, W, NONE, Scripting, Local(scripts::load), "Loads a script on all members, and returns its checksum."),

    c("discard", 1, F | NOT_QUEUED, NONE, Transactions, Local(transactions::discard), "Discards the transaction."),
    c("exec", 1, NOT_QUEUED, NONE, Transactions, Exec, "Executes the queued commands of the transaction atomically."),
    c("multi", 1, F | NOT_QUEUED, NONE, Transactions, Local(transactions::multi), "Starts a transaction: the commands that follow are queued until EXEC."),
    c("unwatch", 1, F, NONE, Transactions, Local(transactions::unwatch), "Forgets all watched keys."),
    c("watch", -2, F | NOT_QUEUED, ALL, Transactions, Local(transactions::watch), "Watches keys: if one of them changes before EXEC, the transaction is not executed."),

    c("acl", -2, CONTAINER, NONE, Server, Local(describe::container), "Reports the user of this connection."),
    c("acl|help", 2, 0, NONE, Server, WithTable(describe::help), "Lists the subcommands."),
    c("acl|whoami", 2, 0, NONE, Server, Local(introspection::whoami), "Returns the user name of this connection."),
    c("command", -1, CONTAINER, NONE, Server, WithTable(describe::command), "Returns a description of every command."),
    c("command|count", 2, 0, NONE, Server, WithTable(describe::command_count), "Returns the number of commands."),
    c("command|docs", -2, 0, NONE, Server, WithTable(describe::command_docs), "Returns the documentation of commands."),
    c("command|getkeys", -4, 0, NONE, Server, WithTable(describe::command_getkeys), "Extracts the keys from the arguments of a command."),
    c("command|getkeysandflags", -4, 0, NONE, Server, WithTable(describe::command_getkeysandflags), "Extracts the keys from the arguments of a command, and what it does with them."),
    c("command|help", 2, 0, NONE, Server, WithTable(describe::help), "Lists the subcommands."),
    c("command|info", -2, 0, NONE, Server, WithTable(describe::command_info), "Returns a description of the given commands, or of all."),
    c("command|list", -2, 0, NONE, Server, WithTable(describe::command_list), "Lists the names of commands, optionally filtered."),
    c("config", -2, CONTAINER, NONE, Server, Local(describe::container), "Reads and changes settings."),
    c("config|get", -3, ADMIN, NONE, Server, Local(introspection::config_get), "Returns the values of settings."),
    c("config|help", 2, 0, NONE, Server, WithTable(describe::help), "Lists the subcommands."),
    c("config|resetstat", 2, ADMIN, NONE, Server, Local(introspection::config_resetstat), "Resets the statistics that INFO reports of this member."),
    c("config|set", -4, ADMIN, NONE, Server, Local(introspection::config_set), "Sets notify-keyspace-events on all members, or slowlog-log-slower-than, slowlog-max-len and latency-monitor-threshold on this one."),
    c("dbsize", 1, R | F, NONE, Server, Local(scans::dbsize), "Returns the number of keys in the database."),
    c("flushall", -1, W | DANGEROUS, NONE, Server, Local(scans::flushall), "Deletes all keys of all databases."),
    c("flushdb", -1, W | DANGEROUS, NONE, Server, Local(scans::flushdb), "Deletes all keys of the selected database."),
    c("info", -1, DANGEROUS, NONE, Server, Local(info::info), "Returns information and statistics about the server."),
    c("lastsave", 1, F | ADMIN, NONE, Server, Local(info::lastsave), "Returns the Unix time at which this member started: nothing is saved to files."),
    c("latency", -2, CONTAINER, NONE, Server, Local(describe::container), "Reports how long the commands of this member take."),
    c("latency|doctor", 2, ADMIN, NONE, Server, Local(latency::doctor), "Returns a report on slow commands as text."),
    c("latency|graph", 3, ADMIN, NONE, Server, Local(latency::graph), "Returns the samples of a latency event as a graph of characters."),
    c("latency|help", 2, 0, NONE, Server, Local(latency::help), "Lists the subcommands."),
    c("latency|histogram", -2, ADMIN, NONE, Server, WithTable(latency::histogram), "Returns how long the calls of commands took."),
    c("latency|history", 3, ADMIN, NONE, Server, Local(latency::history), "Returns the samples of a latency event."),
    c("latency|latest", 2, ADMIN, NONE, Server, Local(latency::latest), "Returns the latest sample of each latency event."),
    c("latency|reset", -2, ADMIN, NONE, Server, Local(latency::reset), "Forgets the samples of latency events."),
    c("memory", -2, CONTAINER, NONE, Server, Local(describe::container), "Reports how much memory is used."),
    c("memory|doctor", 2, 0, NONE, Server, Local(objects::memory_doctor), "Returns a text: memory problems are not diagnosed."),
    c("memory|help", 2, 0, NONE, Server, WithTable(describe::help), "Lists the subcommands."),
    c("memory|malloc-stats", 2, 0, NONE, Server, Local(objects::memory_malloc_stats), "Returns a text: the allocator has no statistics."),
    c("memory|purge", 2, 0, NONE, Server, Local(objects::memory_purge), "Accepted for compatibility; has no effect."),
    c("memory|stats", 2, 0, NONE, Server, Local(objects::memory_stats), "Returns how much memory this member uses for data and clients."),
    c("memory|usage", -3, R, SECOND, Server, Shaped(objects::memory_usage, objects::usage), "Returns the bytes that a key and its value take on each member that has them."),
    c("module", -2, CONTAINER, NONE, Server, Local(describe::container), "Lists modules."),
    c("module|help", 2, 0, NONE, Server, WithTable(describe::help), "Lists the subcommands."),
    c("module|list", 2, 0, NONE, Server, Local(describe::module_list), "Returns an empty list: there are no modules."),
    c("monitor", 1, ADMIN | NO_MULTI, NONE, Server, Local(latency::monitor), "Shows the commands that clients of this member send, as they arrive."),
    c("role", 1, F | ADMIN, NONE, Server, Local(info::role), "Returns that this member is a master without replicas: members hold the backups of each other's data."),
    c("slowlog", -2, CONTAINER, NONE, Server, Local(describe::container), "Reports the slow commands of this member."),
    c("slowlog|get", -2, ADMIN, NONE, Server, Local(latency::slowlog_get), "Returns slow commands, the latest first."),
    c("slowlog|help", 2, 0, NONE, Server, Local(latency::help), "Lists the subcommands."),
    c("slowlog|len", 2, ADMIN, NONE, Server, Local(latency::slowlog_len), "Returns the number of slow commands that are kept."),
    c("slowlog|reset", 2, ADMIN, NONE, Server, Local(latency::slowlog_reset), "Forgets the slow commands."),
    c("swapdb", 3, W | F | DANGEROUS, NONE, Server, Local(keys::swapdb), "Exchanges the keys of two databases, in one step for all clients. Not allowed from scripts."),
    c("time", 1, F, NONE, Server, Local(introspection::time), "Returns the server time: Unix time in seconds, and microseconds."),

    c("asking", 1, F, NONE, Cluster, Local(cluster::readonly), "Accepted for compatibility; slots are never partially migrated."),
    c("cluster", -2, CONTAINER, NONE, Cluster, Local(describe::container), "Reports nodes and their slots; requires --redis-cluster."),
    c("cluster|countkeysinslot", 3, 0, NONE, Cluster, Local(cluster::countkeysinslot), "Returns the number of keys in a slot."),
    c("cluster|getkeysinslot", 4, 0, NONE, Cluster, Local(cluster::getkeysinslot), "Returns keys of a slot, up to the given count."),
    c("cluster|help", 2, 0, NONE, Cluster, WithTable(cluster::help), "Lists the subcommands."),
    c("cluster|info", 2, 0, NONE, Cluster, Local(cluster::info), "Returns the state of the cluster."),
    c("cluster|keyslot", 3, 0, NONE, Cluster, Local(cluster::keyslot), "Returns the hash slot of a key."),
    c("cluster|myid", 2, 0, NONE, Cluster, Local(cluster::myid), "Returns the ID of this node."),
    c("cluster|nodes", 2, 0, NONE, Cluster, Local(cluster::nodes), "Returns the nodes and their slots, one line per node."),
    c("cluster|shards", 2, 0, NONE, Cluster, Local(cluster::shards), "Returns the nodes and their slots, as shards."),
    c("cluster|slots", 2, 0, NONE, Cluster, Local(cluster::slots), "Returns the slot ranges and their nodes."),
    c("readonly", 1, F, NONE, Cluster, Local(cluster::readonly), "Accepted for compatibility; backups do not serve reads."),
    c("readwrite", 1, F, NONE, Cluster, Local(cluster::readonly), "Accepted for compatibility; ends READONLY mode."),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::string::String;

    use super::super::super::command::Missing;
    use super::*;

    /// The content of COMMANDS.md: all commands, by group.
    fn page() -> String {
        let mut text = String::from(
            "# Commands\n\nWritten by the test `commands_md_matches_the_table` (`UPDATE_DOCS=1` rewrites it).\nArguments and replies are those of Redis 7.\n",
        );
        let mut groups: Vec<Group> = COMMANDS.iter().map(|command| command.group).collect();
        groups.dedup();
        for group in groups {
            let _ = write!(text, "\n## {}\n\n| command | summary |\n|---|---|\n", group.name());
            for command in COMMANDS.iter().filter(|command| command.group == group) {
                let name = command.name.to_uppercase().replace('|', " ");
                let _ = writeln!(text, "| `{name}` | {} |", command.summary);
            }
        }
        text
    }

    #[test]
    fn commands_md_matches_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMMANDS.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page(),
            "COMMANDS.md is out of date: run this test with UPDATE_DOCS=1 and review the change"
        );
    }

    #[test]
    fn names_are_unique_and_found_in_any_case() {
        for (at, command) in COMMANDS.iter().enumerate() {
            assert_eq!(TABLE.find(command.name.as_bytes()), Some(at), "{}", command.name);
            assert_eq!(TABLE.find(command.name.to_uppercase().as_bytes()), Some(at));
            assert!(command.summary.ends_with('.'), "{}", command.name);
        }
        assert_eq!(TABLE.find(b"nonsense"), None);
        assert_eq!(TABLE.find(&[b'a'; 1_000]), None);
    }

    #[test]
    fn a_request_resolves_to_the_row_of_its_subcommand() {
        let row = |name: &str, part: Option<&str>| {
            let found = TABLE.resolve(name.as_bytes(), part.map(str::as_bytes));
            found.map(|index| COMMANDS[index].name).map_err(|missing| match missing {
                Missing::Command => "",
                Missing::Subcommand(name) => name,
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
    fn containers_require_a_subcommand_and_have_help() {
        for row in COMMANDS.iter().filter(|row| row.is(Command::CONTAINER)) {
            assert!(TABLE.subcommands(row).count() > 0, "{}", row.name);
            assert!(
                TABLE.subcommands(row).any(|part| part.name.ends_with("|help")),
                "{}",
                row.name
            );
            // Except for COMMAND, which describes all commands if nothing follows.
            assert!(row.arity == -2 || row.name == "command", "{}", row.name);
        }
        for part in COMMANDS.iter().filter(|row| row.is_subcommand()) {
            let (name, _) = part.name.split_once('|').unwrap();
            let container = &COMMANDS[TABLE.find(name.as_bytes()).unwrap()];
            assert!(container.is(Command::CONTAINER), "{}", part.name);
            assert_eq!(container.group, part.group, "{}", part.name);
        }
    }

    #[test]
    fn keys_are_extracted_from_the_arguments() {
        let keys = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let command = &COMMANDS[TABLE.find(args[0]).unwrap()];
            let keys = command.keys_of(&args);
            keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys("mset a 1 b 2"), "a b");
        assert_eq!(keys("blpop a b 0"), "a b");
        assert_eq!(keys("lmpop 2 a b left"), "a b");
        assert_eq!(keys("zunionstore d 2 a b weights 1 2"), "d a b");
        assert_eq!(keys("lmpop 99 a"), "a");
        assert_eq!(keys("msetex 2 a 1 b 2 nx"), "a b");
        assert_eq!(keys("sort a by store get store limit 0 1 store d store e"), "a e");
        assert_eq!(keys("sort a store"), "a");
        assert_eq!(keys("bitop and d a b"), "d a b");
        assert_eq!(keys("georadius a 1 2 3 km store b withdist storedist c"), "a c");
        assert_eq!(keys("georadiusbymember a m 3 km count 1"), "a");
        assert_eq!(keys("ping"), "");
        assert_eq!(keys("xread count 2 block 0 streams streams b 0 $"), "streams b");
        assert_eq!(keys("xreadgroup group streams c noack streams a b > >"), "a b");
        assert_eq!(keys("xread count streams a 0"), "");
        assert_eq!(keys("xread streams"), "");
    }
}
