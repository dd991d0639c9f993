//! Random commands, with arguments at and beyond all limits.

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::report::shown;
use crate::server::{
    ANSWER_MAX, Client, RESIDENT_MIB_MAX, Served, Value, is_timeout, resident_mib,
};

/// Commands of one connection.
const BATCH: usize = 200;

/// Bytes of a command that are printed.
const SHOWN_BYTES_MAX: usize = 120;

/// Forms of commands. Lower-case letters are arguments: `k` a key, `v` a value, `i` an integer, `f`
/// a number, `n` a small count, `t` a time to live, `b` a blocking timeout in seconds, `m` one in
/// milliseconds, `s` a score or the end of a range of scores, `l` the end of a lexicographical
/// range, `p` a pattern, `c` a cursor, `d` the ID of a stream entry, `g` a group or consumer.
/// Upper-case args are literals. `?` precedes an optional part, `*` a repeatable one.
const FORMS: &[&str] = &[
    // Generic
    "COPY k k ?DB n ?REPLACE",
    "DEL k *k",
    "EXISTS k *k",
    "EXPIRE k i ?NX",
    "EXPIRE k i ?XX",
    "EXPIRE k i ?GT",
    "EXPIRE k i ?LT",
    "EXPIREAT k i ?GT",
    "EXPIRETIME k",
    "KEYS p",
    "PERSIST k",
    "PEXPIRE k i ?LT",
    "PEXPIREAT k i",
    "PEXPIRETIME k",
    "PTTL k",
    "RANDOMKEY",
    "RENAME k k",
    "RENAMENX k k",
    "SORT k ?ALPHA ?DESC LIMIT i i",
    "SORT k ?ALPHA STORE k",
    "SORT k BY p GET p GET # ?ALPHA",
    "SORT k BY w* GET *->v STORE k",
    "SORT_RO k ?ALPHA ?GET #",
    "SCAN c ?MATCH p ?COUNT i ?TYPE LIST",
    "TOUCH k *k",
    "TTL k",
    "TYPE k",
    "UNLINK k *k",
    "WAIT n n",
    "OBJECT ENCODING k",
    "OBJECT FREQ k",
    "OBJECT IDLETIME k",
    "OBJECT REFCOUNT k",
    "MEMORY USAGE k ?SAMPLES n",
    "MOVE k n",
    "DUMP k",
    "RESTORE k n v ?REPLACE",
    "RESTORE k i v ABSTTL ?IDLETIME i",
    "WAITAOF n n n",
    "SWAPDB n n",
    // Strings
    "APPEND k v",
    "DECR k",
    "DECRBY k i",
    "GET k",
    "GETDEL k",
    "GETEX k ?EX i",
    "GETEX k ?PX i",
    "GETEX k ?EXAT i",
    "GETEX k ?PXAT i",
    "GETEX k PERSIST",
    "GETRANGE k i i",
    "GETSET k v",
    "INCR k",
    "INCRBY k i",
    "INCRBYFLOAT k f",
    "MGET k *k",
    "MSET k v *k *v",
    "MSETNX k v",
    "PSETEX k i v",
    "SET k v",
    "SET k v EX i",
    "SET k v PX i",
    "SET k v EXAT i",
    "SET k v PXAT i",
    "SET k v ?NX ?GET ?KEEPTTL",
    "SET k v XX GET EX t",
    "SETEX k i v",
    "SETNX k v",
    "SETRANGE k i v",
    "SETRANGE k n v",
    "STRLEN k",
    "SUBSTR k i i",
    "DELEX k ?IFEQ v",
    "DELEX k IFDNE v",
    "DELIFEQ k v",
    "DIGEST k",
    "INCREX k ?BYINT i ?LBOUND i ?UBOUND i ?SATURATE ?EX i",
    "INCREX k BYFLOAT f ?UBOUND f ?SATURATE ?PXAT i ?ENX",
    "LCS k k ?LEN",
    "LCS k k IDX ?MINMATCHLEN i ?WITHMATCHLEN",
    "MSETEX n k v *k *v ?NX ?EX i",
    "SET k v ?IFEQ v ?GET",
    "SET k v IFDEQ v",
    // Bits
    "BITCOUNT k ?i ?i ?BIT",
    "BITFIELD k GET u8 i OVERFLOW SAT INCRBY i16 i i",
    "BITFIELD k SET i64 n i OVERFLOW FAIL INCRBY u63 n i",
    "BITFIELD_RO k GET i5 i",
    "BITOP AND k k *k",
    "BITOP ONE k k *k",
    "BITOP DIFF k k k *k",
    "BITOP NOT k k",
    "BITPOS k n ?i ?i ?BIT",
    "GETBIT k i",
    "SETBIT k i n",
    "SETBIT k n n",
    // HyperLogLogs
    "PFADD k *v",
    "PFCOUNT k *k",
    "PFMERGE k *k",
    // Hashes
    "HDEL k v *v",
    "HEXPIRE k t ?NX FIELDS 1 v",
    "HEXPIREAT k i ?GT FIELDS 2 v v",
    "HEXPIRETIME k FIELDS n v *v",
    "HGETDEL k FIELDS 1 v",
    "HGETEX k ?EX t FIELDS 1 v",
    "HGETEX k PERSIST FIELDS n v *v",
    "HPERSIST k FIELDS 1 v",
    "HPEXPIRE k i ?LT FIELDS n v *v",
    "HPEXPIREAT k i ?XX FIELDS 1 v",
    "HPEXPIRETIME k FIELDS 1 v",
    "HPTTL k FIELDS 1 v",
    "HSETEX k ?FNX ?EX t FIELDS 1 v v",
    "HSETEX k FXX KEEPTTL FIELDS n v v",
    "HTTL k FIELDS n v *v",
    "HEXISTS k v",
    "HGET k v",
    "HGETALL k",
    "HINCRBY k v i",
    "HINCRBYFLOAT k v f",
    "HKEYS k",
    "HLEN k",
    "HMGET k v *v",
    "HMSET k v v",
    "HRANDFIELD k ?i",
    "HRANDFIELD k i WITHVALUES",
    "HSCAN k c ?MATCH p ?COUNT i",
    "HSET k v v *v *v",
    "HSETNX k v v",
    "HSTRLEN k v",
    "HVALS k",
    // Lists
    "BLMOVE k k LEFT RIGHT b",
    "BLMPOP b n k *k LEFT ?COUNT i",
    "BLPOP k *k b",
    "BRPOP k *k b",
    "BRPOPLPUSH k k b",
    "LINDEX k i",
    "LINSERT k BEFORE v v",
    "LINSERT k AFTER v v",
    "LLEN k",
    "LMOVE k k RIGHT LEFT",
    "LMPOP n k *k RIGHT ?COUNT i",
    "LPOP k ?i",
    "LPOS k v ?RANK i ?COUNT i ?MAXLEN i",
    "LPUSH k v *v",
    "LPUSHX k v *v",
    "LRANGE k i i",
    "LREM k i v",
    "LSET k i v",
    "LTRIM k i i",
    "RPOP k ?i",
    "RPOPLPUSH k k",
    "RPUSH k v *v",
    "RPUSHX k v *v",
    // Sets
    "SADD k v *v",
    "SCARD k",
    "SDIFF k *k",
    "SDIFFSTORE k k *k",
    "SINTER k *k",
    "SINTERCARD n k *k ?LIMIT i",
    "SINTERSTORE k k *k",
    "SISMEMBER k v",
    "SMEMBERS k",
    "SMISMEMBER k v *v",
    "SMOVE k k v",
    "SPOP k ?i",
    "SRANDMEMBER k ?i",
    "SREM k v *v",
    "SSCAN k c ?MATCH p ?COUNT i",
    "SUNION k *k",
    "SUNIONSTORE k k *k",
    // Sorted sets
    "BZMPOP b n k *k MIN ?COUNT i",
    "BZPOPMAX k *k b",
    "BZPOPMIN k *k b",
    "ZADD k ?NX ?CH f v *f *v",
    "ZADD k ?XX ?GT ?INCR f v",
    "ZADD k ?LT f v",
    "ZCARD k",
    "ZCOUNT k s s",
    "ZDIFF n k *k ?WITHSCORES",
    "ZDIFFSTORE k n k *k",
    "ZINCRBY k f v",
    "ZINTER n k *k ?WEIGHTS *f ?AGGREGATE MAX ?WITHSCORES",
    "ZINTERCARD n k *k ?LIMIT i",
    "ZINTERSTORE k n k *k ?WEIGHTS *f ?AGGREGATE MIN",
    "ZLEXCOUNT k l l",
    "ZMPOP n k *k MAX ?COUNT i",
    "ZMSCORE k v *v",
    "ZPOPMAX k ?i",
    "ZPOPMIN k ?i",
    "ZRANDMEMBER k ?i",
    "ZRANDMEMBER k i WITHSCORES",
    "ZRANGE k i i ?REV ?WITHSCORES",
    "ZRANGE k s s BYSCORE ?REV ?LIMIT i i",
    "ZRANGE k l l BYLEX ?REV ?LIMIT i i",
    "ZRANGEBYLEX k l l ?LIMIT i i",
    "ZRANGEBYSCORE k s s ?WITHSCORES ?LIMIT i i",
    "ZRANGESTORE k k i i",
    "ZRANGESTORE k k s s BYSCORE LIMIT i i",
    "ZRANK k v ?WITHSCORE",
    "ZREM k v *v",
    "ZREMRANGEBYLEX k l l",
    "ZREMRANGEBYRANK k i i",
    "ZREMRANGEBYSCORE k s s",
    "ZREVRANGE k i i ?WITHSCORES",
    "ZREVRANGEBYLEX k l l",
    "ZREVRANGEBYSCORE k s s ?LIMIT i i",
    "ZREVRANK k v",
    "ZSCAN k c ?MATCH p ?COUNT i",
    "ZSCORE k v",
    "ZUNION n k *k ?WEIGHTS *f ?AGGREGATE SUM ?WITHSCORES",
    "ZUNIONSTORE k n k *k ?WEIGHTS *f",
    // Geo
    "GEOADD k ?NX ?CH f f v",
    "GEODIST k v v ?KM",
    "GEOHASH k *v",
    "GEOPOS k *v",
    "GEORADIUS k f f f KM ?WITHDIST ?COUNT i ?ASC",
    "GEORADIUS k f f f M STORE k",
    "GEORADIUSBYMEMBER k v f MI ?STOREDIST k",
    "GEOSEARCH k FROMLONLAT f f BYRADIUS f KM ?WITHCOORD ?WITHHASH ?DESC",
    "GEOSEARCH k FROMMEMBER v BYBOX f f M ?COUNT i",
    "GEOSEARCHSTORE k k FROMLONLAT f f BYBOX f f KM ?STOREDIST",
    // Streams
    "XACK k g d *d",
    "XACKDEL k g ?ACKED IDS n d *d",
    "XACKDEL k g DELREF IDS n d *d",
    "XADD k ?NOMKSTREAM d v v *v *v",
    "XADD k ?KEEPREF MAXLEN ~ i ?LIMIT i d v v",
    "XADD k ?ACKED MAXLEN i d v v",
    "XADD k ?DELREF MINID d d v v",
    "XAUTOCLAIM k g g i d ?COUNT i ?JUSTID",
    "XCLAIM k g g i d *d ?IDLE i ?RETRYCOUNT i ?FORCE ?JUSTID",
    "XCLAIM k g g 0 d *d TIME i LASTID d",
    "XDEL k d *d",
    "XDELEX k ?KEEPREF IDS n d *d",
    "XDELEX k ?ACKED IDS n d *d",
    "XGROUP CREATE k g d ?MKSTREAM",
    "XGROUP CREATE k g d ENTRIESREAD i",
    "XGROUP CREATECONSUMER k g g",
    "XGROUP DELCONSUMER k g g",
    "XGROUP DESTROY k g",
    "XGROUP SETID k g d ?ENTRIESREAD i",
    "XINFO CONSUMERS k g",
    "XINFO GROUPS k",
    "XINFO STREAM k",
    "XINFO STREAM k FULL COUNT i",
    "XLEN k",
    "XPENDING k g",
    "XPENDING k g d d i ?g",
    "XPENDING k g IDLE i d d i",
    "XRANGE k d d ?COUNT i",
    "XREAD ?COUNT i STREAMS k d",
    "XREAD BLOCK m STREAMS k k d d",
    "XREADGROUP GROUP g g ?COUNT i ?NOACK STREAMS k d",
    "XREADGROUP GROUP g g BLOCK m STREAMS k k d d",
    "XREVRANGE k d d ?COUNT i",
    "XSETID k d ?ENTRIESADDED i ?MAXDELETEDID d",
    "XTRIM k MAXLEN i",
    "XTRIM k ?ACKED MAXLEN ~ n ?LIMIT i",
    "XTRIM k ?DELREF MINID d",
    // Server and connection
    "PUBLISH v v",
    "PUBSUB CHANNELS ?p",
    "PUBSUB NUMSUB *v",
    "PUBSUB NUMPAT",
    "PUBSUB SHARDCHANNELS ?p",
    "PUBSUB SHARDNUMSUB *v",
    "SPUBLISH v v",
    "ECHO v",
    "PING ?v",
    "CLIENT GETNAME",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST ?ID i",
    "CLIENT LIST ?NOT-ID i ?TYPE NORMAL ?NAME v ?IDLE i",
    "CLIENT CACHING YES",
    "CLIENT GETREDIR",
    "CLIENT TRACKINGINFO",
    "CLIENT MAINT_NOTIFICATIONS OFF",
    "CLIENT TRACKING ON ?OPTIN ?NOLOOP ?PREFIX v ?REDIRECT i",
    "CLIENT TRACKING OFF",
    "CLIENT UNBLOCK i ?ERROR",
    "CLIENT SETNAME v",
    "CLIENT SETINFO LIB-NAME v",
    "CLIENT NO-EVICT ON",
    "CLIENT KILL ID i",
    "CLIENT TRACKING ON",
    "CLIENT PAUSE n",
    "CLIENT UNPAUSE",
    "CLIENT REPLY v",
    "COMMAND COUNT",
    "COMMAND INFO *v",
    "COMMAND DOCS *v",
    "COMMAND GETKEYS GET k",
    "COMMAND GETKEYSANDFLAGS ZUNIONSTORE k n *k",
    "COMMAND LIST FILTERBY PATTERN p",
    "CONFIG GET p *p",
    "CONFIG SET v v",
    "CONFIG RESETSTAT",
    "DBSIZE",
    "INFO *v",
    "LATENCY DOCTOR",
    "LATENCY GRAPH v",
    "LATENCY HISTOGRAM *v",
    "LATENCY HISTORY v",
    "LATENCY LATEST",
    "LATENCY RESET *v",
    "SLOWLOG GET ?i",
    "SLOWLOG LEN",
    "SLOWLOG RESET",
    "TIME",
    "ACL WHOAMI",
    "ACL CAT v",
    "CLUSTER INFO",
    "CLUSTER NODES",
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER KEYSLOT k",
    "CLUSTER COUNTKEYSINSLOT i",
    "CLUSTER GETKEYSINSLOT i i",
    "CLUSTER MYID",
    "READONLY",
    "READWRITE",
    "ASKING",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k *k",
    "UNWATCH",
    "SELECT n",
    "SELECT i",
    "FLUSHDB ?ASYNC",
    "FLUSHALL ?SYNC",
    "RESET",
    "HELLO ?2",
    "AUTH v ?v",
];

const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "7",
    "100",
    "-100",
    "1000",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "1048576",
    "67108863",
    "67108864",
    "67108865",
    "536870911",
    "3153600000",
    "3153600000000",
    "9007199254740993",
    "4398046511103",
    "4398046511104",
    "9223372036854775",
    "9223372036854776",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551614",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "+1",
    "01",
    "-0",
    " 1",
    "1 ",
    "1.0",
    "0x10",
    "",
    "abc",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1.5",
    "-1.5",
    "3",
    "1e3",
    "1e308",
    "-1e308",
    "1.7976931348623157e308",
    "1e309",
    "5e-324",
    "2.2250738585072014e-308",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "nan",
    "-nan",
    "9007199254740993",
    "9223372036854775807",
    "0.1",
    "3.0000000000000000000000001",
    "1e",
    "e1",
    "",
    " 1",
    "1 ",
    "0x1p3",
    "abc",
];

/// IDs of entries of a stream.
const IDS: &[&str] = &[
    "*",
    "-",
    "+",
    "$",
    ">",
    "0",
    "0-0",
    "0-1",
    "7-*",
    "(5-1",
    "(0-0",
    "18446744073709551615-18446744073709551614",
    "18446744073709551615-18446744073709551615",
    "(18446744073709551615-18446744073709551615",
    "18446744073709551616",
    "1-",
    "-1",
    "",
    "abc",
];

const PATTERNS: &[&str] = &[
    "*",
    "?",
    "k*",
    "[a-z]*",
    "[^k]",
    "[",
    "[]",
    "[a",
    "\\",
    "k\\",
    "**********************b",
    "",
    "[z-a]",
    "*a*a*a*a*a*a*a*a*a*a*b",
    "k[0-9]",
    "\\*",
];

/// Keys that all commands use.
const KEYS: usize = 6;

/// Lengths of keys around the limits.
const KEY_LENGTHS: &[usize] = &[0, 1, 255, 16_383, 16_384, 16_385, 32_767, 32_768, 40_000, 65_536];

/// Lengths of values around the sizes at which their representation changes.
const VALUE_LENGTHS: &[usize] = &[0, 1, 15, 16, 63, 64, 65, 255, 256, 4_096, 65_535, 65_536];

fn of<'a>(random: &mut StdRng, all: &[&'a str]) -> &'a str {
    all[random.random_range(0..all.len())]
}

fn key(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..100) {
        0 => {
            let length = KEY_LENGTHS[random.random_range(0..KEY_LENGTHS.len())];
            vec![b'K'; length]
        }
        1 => vec![0, 255, b'\r', b'\n'],
        // Keys of one slot.
        2..60 => format!("{{t}}k{}", random.random_range(0..KEYS)).into_bytes(),
        _ => format!("k{}", random.random_range(0..KEYS)).into_bytes(),
    }
}

fn value(random: &mut StdRng) -> Vec<u8> {
    match random.random_range(0..20) {
        0 => vec![b'V'; VALUE_LENGTHS[random.random_range(0..VALUE_LENGTHS.len())]],
        1 => of(random, INTEGERS).as_bytes().to_vec(),
        2 => of(random, NUMBERS).as_bytes().to_vec(),
        3 => (0..random.random_range(0..20)).map(|_| random.random()).collect(),
        _ => format!("v{}", random.random_range(0..30)).into_bytes(),
    }
}

/// An argument of a form.
fn argument(random: &mut StdRng, kind: &str) -> Option<Vec<u8>> {
    let text = match kind {
        "k" => return Some(key(random)),
        "v" => return Some(value(random)),
        "i" => of(random, INTEGERS).to_owned(),
        "f" if random.random_bool(0.6) => random.random_range(-9..9).to_string(),
        "f" => of(random, NUMBERS).to_owned(),
        "n" if random.random_bool(0.95) => random.random_range(0..4).to_string(),
        "n" => of(random, INTEGERS).to_owned(),
        "t" => random.random_range(1..100).to_string(),
        "b" if random.random_bool(0.9) => "0.01".to_owned(),
        // Never infinite: 0 is left out, and so are spellings of it.
        "b" => ["-1", "nan", "inf", "-0.001", "1e-320", "abc", "0.0001"][random.random_range(0..7)]
            .to_owned(),
        "s" => {
            let open = if random.random_bool(0.3) { "(" } else { "" };
            format!("{open}{}", of(random, NUMBERS))
        }
        "l" => match random.random_range(0..6) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 => "v1".to_owned(),
            n => format!("{}v{}", if n % 2 == 0 { "[" } else { "(" }, random.random_range(0..30)),
        },
        "d" if random.random_bool(0.5) => of(random, IDS).to_owned(),
        "d" => format!("{}-{}", random.random_range(0..40), random.random_range(0..3)),
        "g" if random.random_bool(0.02) => return Some(value(random)),
        "g" => ["g", "h", "c"][random.random_range(0..3)].to_owned(),
        // Never infinite: 0 is left out.
        "m" => ["1", "5", "20", "-1", "abc", "1.5"][random.random_range(0..6)].to_owned(),
        "p" => of(random, PATTERNS).to_owned(),
        "c" if random.random_bool(0.7) => "0".to_owned(),
        "c" => of(random, INTEGERS).to_owned(),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// A command of a random form, occasionally with too many, too few or invalid arguments.
pub(crate) fn command(random: &mut StdRng) -> Vec<Vec<u8>> {
    let form = of(random, FORMS);
    let mut args: Vec<Vec<u8>> = Vec::new();
    for part in form.split(' ') {
        let (mut times, kind) = match (part.strip_prefix('?'), part.strip_prefix('*')) {
            (Some(kind), _) => (random.random_range(0..2), kind),
            (_, Some(kind)) => (random.random_range(0..4), kind),
            _ => (1, part),
        };
        if times > 0 && random.random_bool(0.002) {
            times = 300;
        }
        for _ in 0..times {
            let arg = argument(random, kind).unwrap_or_else(|| kind.as_bytes().to_vec());
            args.push(arg);
        }
    }
    if random.random_bool(0.04) {
        let at = random.random_range(0..=args.len());
        match random.random_range(0..3) {
            0 if at < args.len() && args.len() > 1 => drop(args.remove(at)),
            1 => args.insert(at.max(1), value(random)),
            _ if at < args.len() && at > 0 => {
                args[at] = of(random, INTEGERS).as_bytes().to_vec();
            }
            _ => {}
        }
    }
    // Commands that block indefinitely are not sent: blocking commands get a timeout, others are
    // rejected.
    if may_block_indefinitely(&args) {
        return vec![b"PING".to_vec()];
    }
    args
}

/// Whether it may be a command that blocks longer than the time limit of a command.
fn may_block_indefinitely(args: &[Vec<u8>]) -> bool {
    let name = args[0].to_ascii_uppercase();
    let at = match &name[..] {
        b"BLMPOP" | b"BZMPOP" => 1,
        b"BLPOP" | b"BRPOP" | b"BZPOPMIN" | b"BZPOPMAX" | b"BLMOVE" | b"BRPOPLPUSH" => {
            args.len() - 1
        }
        b"XREAD" | b"XREADGROUP" => {
            let block = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"BLOCK"));
            let ms = block.and_then(|at| str::from_utf8(args.get(at + 1)?).ok()?.parse().ok());
            return ms.is_some_and(|ms: i64| ms == 0 || ms > 1_000);
        }
        // These commands suppress the answers to the client.
        b"CLIENT" => return args.get(1).is_some_and(|arg| arg == b"REPLY" || arg == b"PAUSE"),
        b"WAIT" => 2,
        _ => return false,
    };
    let seconds = args.get(at).and_then(|arg| str::from_utf8(arg).ok()?.trim().parse().ok());
    seconds.is_some_and(|seconds: f64| seconds == 0.0 || seconds > 1.0)
}

/// A command as a line.
pub(crate) fn line(args: &[Vec<u8>]) -> String {
    let arg = |arg: &Vec<u8>| {
        let shown = &arg[..arg.len().min(SHOWN_BYTES_MAX)];
        let cut =
            if shown.len() < arg.len() { format!("…({})", arg.len()) } else { String::new() };
        format!("{}{cut}", shown.escape_ascii())
    };
    args.iter().map(arg).collect::<Vec<_>>().join(" ")
}

pub(crate) fn random(run: &mut Run) {
    let served = Served::start();
    while run.has_time() {
        let Ok(mut client) = Client::connect(served.resp) else {
            run.report.add("no more connections", "", "");
            return;
        };
        let mut done: Vec<String> = Vec::new();
        for _ in 0..BATCH {
            if !run.has_time() {
                break;
            }
            run.report.count();
            let args = command(&mut run.random);
            done.push(line(&args));
            let recent = |done: &[String]| done[done.len().saturating_sub(30)..].join("\n    ");
            let answer = client.call(&args);
            run.report.take_panics(|| recent(&done));
            match answer {
                Ok(Value::Error(text)) if text.is_empty() => {
                    run.report.add("an error without a text", "", &recent(&done));
                }
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    let text = format!("no answer in {ANSWER_MAX:?}");
                    let kind = format!("hang in {}", String::from_utf8_lossy(&args[0]));
                    run.report.add(&kind, &text, &recent(&done));
                    if !served.answers() {
                        run.report.add(
                            "server does not answer",
                            "PING is not answered",
                            &line(&args),
                        );
                        return;
                    }
                    break;
                }
                // It may have closed its connection, as by CLIENT KILL.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    run.report.add("no RESP", &error.to_string(), &recent(&done));
                    break;
                }
                Err(_) => break,
            }
        }
        if !served.answers() {
            run.report.add("server does not answer", "PING is not answered", &done.join("\n    "));
            return;
        }
        let resident = resident_mib();
        if resident > RESIDENT_MIB_MAX {
            let text = format!("{resident} MiB resident");
            run.report.add("memory", &text, &done.join("\n    "));
            return;
        }
        // The next batch begins with an empty database.
        if let Ok(mut client) = Client::connect(served.resp) {
            let _ = client.call(&[b"FLUSHALL"]);
        }
        run.report.take_panics(|| shown(done.join(" | ").as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn no_command_blocks_indefinitely() {
        let args = |text: &str| text.split(' ').map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(may_block_indefinitely(&args("BLPOP k 0")));
        assert!(may_block_indefinitely(&args("BLMPOP 1e309 1 k LEFT")));
        assert!(!may_block_indefinitely(&args("BLPOP k 0.01")));
        assert!(!may_block_indefinitely(&args("BLPOP k nan")));
        assert!(!may_block_indefinitely(&args("LPOP k 0")));
    }

    #[test]
    fn every_form_is_generated() {
        let mut random = StdRng::seed_from_u64(1);
        let names: std::collections::BTreeSet<Vec<u8>> =
            (0..50_000).map(|_| command(&mut random).swap_remove(0)).collect();
        for form in FORMS {
            let name = form.split(' ').next().unwrap();
            assert!(names.contains(name.as_bytes()), "{name}");
        }
    }
}
