//! redis-rs: commands, a pipeline, a transaction and a script.

mod job;

use std::time::Duration;

use redis::cluster::{cluster_pipe, ClusterClientBuilder, ClusterConnection};
use redis::{Client, Connection, ConnectionLike, Script, TypedCommands};

/// How long a connection waits for a reply.
const REPLY_MAX: Duration = Duration::from_secs(5);

/// A connection of either kind. One to a single server does not reconnect by itself.
enum Connected {
    One(Client, Option<Connection>),
    Cluster(ClusterConnection),
}

struct Job {
    connected: Connected,
    acknowledged: Vec<usize>,
}

fn main() {
    let connected = if job::is_cluster() {
        let builder = ClusterClientBuilder::new(job::urls()).response_timeout(REPLY_MAX);
        let client = builder.retries(16).build().expect("addresses");
        Connected::Cluster(client.get_connection().expect("a member"))
    } else {
        Connected::One(Client::open(job::urls().remove(0)).expect("an address"), None)
    };
    job::run(Job { connected, acknowledged: Vec::new() }, step, verify)
}

fn step(job: &mut Job, n: usize) -> job::Result {
    match &mut job.connected {
        Connected::Cluster(connection) => {
            commands(connection, n)?;
            let mut pipe = cluster_pipe();
            pipe.hset(hash(n), "n", n).ignore().hget(hash(n), "n");
            check_pipe(pipe.query(connection)?, n)?;
        }
        Connected::One(client, connection) => {
            if !connection.as_ref().is_some_and(ConnectionLike::is_open) {
                *connection = Some(client.get_connection_with_timeout(REPLY_MAX)?);
            }
            let connection = connection.as_mut().expect("it is connected");
            commands(connection, n)?;
            let mut pipe = redis::pipe();
            pipe.atomic().hset(hash(n), "n", n).ignore().hget(hash(n), "n");
            check_pipe(pipe.query(connection)?, n)?;
        }
    }
    job.acknowledged.push(n);
    Ok(())
}

fn commands(connection: &mut (impl ConnectionLike + TypedCommands), n: usize) -> job::Result {
    connection.set(format!("key:{n}"), n)?;
    let got = connection.get(format!("key:{n}"))?;
    if got != Some(n.to_string()) {
        return Err(format!("GET returned {got:?}").into());
    }
    let add = Script::new("return redis.call('incrby', KEYS[1], ARGV[1])");
    add.key(format!("{{{n}}}sum")).arg(n).invoke::<i64>(connection)?;
    Ok(())
}

fn hash(n: usize) -> String {
    format!("{{{n}}}h")
}

fn check_pipe((field,): (usize,), n: usize) -> job::Result {
    if field == n {
        Ok(())
    } else {
        Err(format!("a pipeline returned {field}, not {n}").into())
    }
}

fn verify(job: &mut Job) -> job::Result {
    for n in &job.acknowledged {
        let key = format!("key:{n}");
        let got = match &mut job.connected {
            Connected::Cluster(connection) => connection.get(&key)?,
            Connected::One(_, Some(connection)) => connection.get(&key)?,
            Connected::One(_, None) => None,
        };
        if got != Some(n.to_string()) {
            return Err(format!("{key} is {got:?}").into());
        }
    }
    Ok(())
}
