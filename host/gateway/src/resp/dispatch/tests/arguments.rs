//! Commands with random arguments: there is always a reply.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::shown;
use crate::testing::{client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

const COMMANDS: &[&str] = &[
    "copy",
    "dump",
    "geoadd",
    "geodist",
    "geohash",
    "geopos",
    "georadius",
    "georadius_ro",
    "georadiusbymember",
    "georadiusbymember_ro",
    "geosearch",
    "geosearchstore",
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "hset",
    "hsetex",
    "httl",
    "memory",
    "move",
    "object",
    "restore",
    "swapdb",
    "waitaof",
    "zadd",
];

const WORDS: &[&str] = &[
    "",
    "-1",
    "-inf",
    "0",
    "0.5",
    "1",
    "1e308",
    "2",
    "3",
    "5e-324",
    "9223372036854775807",
    "a",
    "absttl",
    "any",
    "asc",
    "b",
    "bybox",
    "byradius",
    "c",
    "ch",
    "count",
    "db",
    "desc",
    "encoding",
    "ex",
    "exat",
    "fields",
    "fnx",
    "freq",
    "fromlonlat",
    "frommember",
    "fxx",
    "gt",
    "help",
    "idletime",
    "inf",
    "k1",
    "k2",
    "k3",
    "keepttl",
    "km",
    "lt",
    "m",
    "nan",
    "nx",
    "persist",
    "px",
    "pxat",
    "replace",
    "samples",
    "store",
    "storedist",
    "usage",
    "withcoord",
    "withdist",
    "withhash",
    "xx",
];

#[tokio::test]
async fn random_arguments_do_no_harm() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    let mut rng = SmallRng::seed_from_u64(3);
    for _ in 0..20_000 {
        let mut line = COMMANDS[rng.random_range(0..COMMANDS.len())].to_owned();
        for _ in 0..rng.random_range(0..12) {
            line.push(' ');
            line.push_str(WORDS[rng.random_range(0..WORDS.len())]);
        }
        let reply = shown(client, &line).await;
        assert!(!reply.is_empty() && !reply.contains("unknown command"), "{line}: {reply}");
    }
}
