//! Libraries of functions, on the grid of a single member. Replies are those of Redis 7.0.15.

use convoke_grid::Reply;

use super::super::super::answer::Answer;
use super::super::super::client::Client;
use super::{reply, server};
use crate::testing::{call, client_of};
use crate::trust::Trust;

fn library(name: &str, function: &str, body: &str) -> String {
    format!(
        "#!lua name={name}\nredis.register_function('{function}', function(keys, args) {body} end)"
    )
}

#[tokio::test]
async fn a_function_is_called_by_name_in_any_case() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let set = library("lib", "put", "return redis.call('set', keys[1], args[1])");
    assert_eq!(reply(client, &["function", "load", &set]).await, "$3 lib");
    assert_eq!(reply(client, &["fcall", "put", "1", "k", "v"]).await, "+OK");
    assert_eq!(reply(client, &["get", "k"]).await, "$1 v");
    assert_eq!(reply(client, &["fcall", "PUT", "1", "k", "w"]).await, "+OK");
    assert_eq!(reply(client, &["get", "k"]).await, "$1 w");
    let error = async |client: &mut Client, args: &[&str]| {
        reply(client, args).await.strip_prefix("-ERR ").unwrap_or("no error").to_owned()
    };
    assert_eq!(error(client, &["fcall", "put", "x", "k"]).await, "Bad number of keys provided");
    assert_eq!(error(client, &["fcall", "put", "-1"]).await, "Number of keys can't be negative");
    assert_eq!(
        error(client, &["fcall", "put", "2", "k"]).await,
        "Number of keys can't be greater than number of args"
    );
    assert_eq!(error(client, &["fcall", "other", "0"]).await, "Function not found");
    assert_eq!(
        error(client, &["fcall_ro", "put", "1", "k", "v"]).await,
        "Can not execute a script with write flag using *_ro command."
    );
    // Keys of several partitions.
    let many = library(
        "many",
        "many",
        "for i = 1, 20 do redis.call('incr', 'n' .. i) end return redis.call('get', 'n20')",
    );
    assert_eq!(reply(client, &["function", "load", &many]).await, "$4 many");
    assert_eq!(reply(client, &["fcall", "many", "0"]).await, "$1 1");
    assert_eq!(reply(client, &["mget", "n1", "n19"]).await, "*2 $1 1 $1 1");
}

#[tokio::test]
async fn libraries_are_loaded_replaced_listed_and_deleted() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let one = library("lib", "f", "return 1");
    assert_eq!(reply(client, &["function", "load", &one]).await, "$3 lib");
    assert_eq!(
        reply(client, &["function", "load", &one]).await,
        "-ERR Library 'lib' already exists"
    );
    let two = library("lib", "f", "return 2");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":1");
    assert_eq!(reply(client, &["function", "load", "REPLACE", &two]).await, "$3 lib");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":2");
    let other = library("other", "F", "return 3");
    assert_eq!(
        reply(client, &["function", "load", &other]).await,
        "-ERR Function F already exists"
    );
    // A source that cannot be loaded leaves the library that it would replace.
    let broken = "#!lua name=lib\nredis.register_function('g', 1)";
    assert!(reply(client, &["function", "load", "replace", broken]).await.starts_with("-ERR"));
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":2");
    assert_eq!(
        reply(client, &["function", "list"]).await,
        "*1 *6 $12 library_name $3 lib $6 engine $3 LUA $9 functions *1 *6 $4 name $1 f $11 description $-1 $5 flags *0"
    );
    assert_eq!(reply(client, &["function", "list", "libraryname", "x*"]).await, "*0");
    assert!(reply(client, &["function", "list", "withcode"]).await.contains("library_code $"));
    assert_eq!(
        reply(client, &["function", "stats"]).await,
        "*4 $14 running_script $-1 $7 engines *2 $3 LUA *4 $15 libraries_count :1 $15 functions_count :1"
    );
    assert_eq!(reply(client, &["function", "delete", "other"]).await, "-ERR Library not found");
    assert_eq!(reply(client, &["function", "delete", "lib"]).await, "+OK");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, "-ERR Function not found");
    assert_eq!(reply(client, &["function", "load", &other]).await, "$5 other");
    assert_eq!(reply(client, &["flushall"]).await, "+OK");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":3");
    assert_eq!(reply(client, &["function", "flush"]).await, "+OK");
    assert_eq!(reply(client, &["function", "list"]).await, "*0");
    assert_eq!(
        reply(client, &["function", "kill"]).await,
        "-NOTBUSY No scripts in execution right now."
    );
}

#[tokio::test]
async fn malformed_arguments_are_refused() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let cases = [
        (vec!["load", "foo", "x"], "Unknown option given: foo"),
        (vec!["load", "return 1"], "Missing library metadata"),
        (vec!["load", "#!perl name=a\n"], "Engine 'perl' not found"),
        (vec!["load", "#!lua name=a\nreturn 1"], "No functions registered"),
        (vec!["list", "bad"], "Unknown argument bad"),
        (vec!["list", "withcode", "withcode"], "Unknown argument withcode"),
        (vec!["list", "libraryname"], "library name argument was not given"),
        (vec!["flush", "bad"], "FUNCTION FLUSH only supports SYNC|ASYNC option"),
        (
            vec!["flush", "sync", "bad"],
            "unknown subcommand or wrong number of arguments for 'flush'. Try FUNCTION HELP.",
        ),
    ];
    for (args, expected) in cases {
        let args: Vec<&str> = std::iter::once("function").chain(args).collect();
        assert_eq!(reply(client, &args).await, format!("-ERR {expected}"), "{args:?}");
    }
    let endless = "#!lua name=a\nwhile true do end";
    assert_eq!(reply(client, &["function", "load", endless]).await, "-ERR FUNCTION LOAD timeout");
}

#[tokio::test]
async fn a_user_who_may_only_read_calls_functions_that_read() {
    let server = server();
    let full = &mut client_of(&server, Trust::Full);
    let source = "#!lua name=lib\nredis.register_function('put', function(keys) return redis.call('set', keys[1], 'v') end) redis.register_function{function_name='look', callback=function(keys) return redis.call('get', keys[1]) end, flags={'no-writes'}}";
    assert_eq!(reply(full, &["function", "load", source]).await, "$3 lib");
    assert_eq!(reply(full, &["fcall", "put", "1", "k"]).await, "+OK");
    let reader = &mut client_of(&server, Trust::ReadOnly);
    assert!(reply(reader, &["fcall", "look", "1", "k"]).await.starts_with("-NOPERM"));
    assert_eq!(reply(reader, &["fcall_ro", "look", "1", "k"]).await, "$1 v");
    assert!(reply(reader, &["function", "flush"]).await.starts_with("-NOPERM"));
    assert!(reply(reader, &["function", "load", source]).await.starts_with("-NOPERM"));
}

#[tokio::test]
async fn libraries_are_dumped_and_restored() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let one = library("one", "f", "return 1");
    assert_eq!(reply(client, &["function", "load", &one]).await, "$3 one");
    let Answer::Reply(Reply::Bytes(payload)) = call(client, &[b"function", b"dump"]).await else {
        panic!("no payload");
    };
    let restore = async |client: &mut Client, policy: &str| {
        let args: [&[u8]; 4] = [b"function", b"restore", &payload, policy.as_bytes()];
        let Answer::Error(text) = call(client, &args).await else { return "OK".to_owned() };
        text.into_owned()
    };
    assert_eq!(restore(client, "append").await, "ERR Library one already exists");
    assert_eq!(restore(client, "flush").await, "OK");
    let other = library("one", "g", "return 2");
    assert_eq!(reply(client, &["function", "load", "replace", &other]).await, "$3 one");
    assert_eq!(restore(client, "replace").await, "OK");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":1");
    assert_eq!(reply(client, &["fcall", "g", "0"]).await, "-ERR Function not found");
    assert_eq!(reply(client, &["function", "flush"]).await, "+OK");
    // A function that another library has.
    let same = library("two", "f", "return 3");
    assert_eq!(reply(client, &["function", "load", &same]).await, "$3 two");
    assert_eq!(restore(client, "replace").await, "ERR Function f already exists");
    assert_eq!(reply(client, &["fcall", "f", "0"]).await, ":3");
    assert!(restore(client, "bad").await.starts_with("ERR Wrong restore policy given"));
    assert_eq!(
        reply(client, &["function", "restore", "short"]).await,
        "-ERR DUMP payload version or checksum are wrong"
    );
}
