//! A harness of commands: what a client sends is parsed, executed on a grid of one member, and
//! answered.

use std::time::Duration;

use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::command_state::CommandState;
use crate::resp::dispatch;
use crate::resp::encode::Protocol;
use crate::resp::request::{OwnedRequest, RequestParser};
use crate::testing::{client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

/// Commands of one input, at most.
const COMMANDS_MAX: usize = 24;

/// How long a command may block.
const BLOCKED: Duration = Duration::from_millis(5);

/// Beginnings of the names of commands that are not executed: scripts have a harness of their own,
/// and run on other threads.
const LEFT_OUT: [&[u8]; 4] = [b"eval", b"script", b"fcall", b"function"];

const SAMPLES: [&str; 10] = [
    "SET k 10 EX 100 NX GET\r\nINCRBY k -3\r\nINCRBYFLOAT k 1.5e3\r\nAPPEND k text\r\n\
     SETRANGE k 7 more\r\nGETRANGE k -4 -1\r\nGETEX k PXAT 99999999999999\r\nGETDEL k\r\n\
     MSET a 1 b 2\r\nMGET a b c\r\nSETEX k 5 v\r\nSTRLEN k\r\nGETSET k w\r\n",
    "EXPIRE k 100 GT\r\nSET k v\r\nPEXPIREAT k 99999999999999 NX\r\nTTL k\r\nPERSIST k\r\nTYPE k\r\n\
     RENAME k l\r\nCOPY l k REPLACE\r\nKEYS *\r\nSCAN 0 MATCH [a-l] COUNT 5 TYPE string\r\n\
     OBJECT ENCODING l\r\nRANDOMKEY\r\nDEL k l m\r\nEXISTS k k\r\nDBSIZE\r\n",
    "RPUSH l a b c a\r\nLPUSH l z\r\nLINSERT l BEFORE b x\r\nLSET l -1 y\r\nLREM l -1 a\r\n\
     LRANGE l 0 -1\r\nLPOS l a RANK -1 COUNT 2 MAXLEN 9\r\nLTRIM l 1 -2\r\nLPOP l 2\r\n\
     LMOVE l m LEFT RIGHT\r\nLMPOP 2 l m RIGHT COUNT 5\r\nBLPOP l m 0.01\r\n",
    "HSET h f 1 g w\r\nHSETNX h f 2\r\nHINCRBY h f 5\r\nHINCRBYFLOAT h f 0.25\r\nHMGET h f x\r\n\
     HGETALL h\r\nHRANDFIELD h -3 WITHVALUES\r\nHSCAN h 0 MATCH * COUNT 1\r\nHSTRLEN h g\r\nHDEL h f\r\n",
    "SADD s x y z\r\nSADD t y\r\nSINTERCARD 2 s t LIMIT 1\r\nSUNIONSTORE u s t\r\nSDIFF s t\r\n\
     SMISMEMBER s x n\r\nSRANDMEMBER s -5\r\nSMOVE s t x\r\nSPOP s 2\r\nSSCAN t 0\r\nSMEMBERS t\r\n",
    "ZADD z GT CH 1 a 2.5 b +inf c\r\nZADD z INCR -3 a\r\nZRANGE z (0 +inf BYSCORE LIMIT 0 2 WITHSCORES\r\n\
     ZRANGE z - [b BYLEX REV\r\nZRANGESTORE y z 0 -1\r\nZUNION 2 z y WEIGHTS 2 -1 AGGREGATE MAX WITHSCORES\r\n\
     ZINTERSTORE x 2 z y\r\nZRANK z a\r\nZCOUNT z (1 5\r\nZLEXCOUNT z - +\r\nZPOPMIN z 2\r\n\
     ZRANDMEMBER y -2 WITHSCORES\r\nZREMRANGEBYRANK y 0 0\r\nZMPOP 1 y MAX\r\nZSCAN y 0\r\n",
    "WATCH k\r\nMULTI\r\nSET k v\r\nINCR k\r\nLPUSH k x\r\nEXEC\r\nMULTI\r\nGET\r\nEXEC\r\nDISCARD\r\n\
     SELECT 3\r\nSWAPDB 0 3\r\nMOVE k 1\r\nUNWATCH\r\nFLUSHDB ASYNC\r\n",
    "HELLO 3 SETNAME me\r\nCLIENT ID\r\nCLIENT REPLY SKIP\r\nCLIENT INFO\r\nCLIENT LIST ID 1 2\r\n\
     SUBSCRIBE a b\r\nPSUBSCRIBE n*\r\nPUBLISH a m\r\nUNSUBSCRIBE\r\nPUBSUB NUMSUB a\r\nRESET\r\n",
    "COMMAND COUNT\r\nCOMMAND INFO get nope\r\nCOMMAND GETKEYS SET k v\r\nCONFIG GET max*\r\nINFO server\r\n\
     TIME\r\nECHO e\r\nPING p\r\nWAIT 0 1\r\nMEMORY USAGE k\r\nOBJECT HELP\r\nLASTSAVE\r\nROLE\r\n",
    "*3\r\n$3\r\nSET\r\n$3\r\n\0\r\n\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$3\r\n\0\r\n\r\n\
     CLUSTER KEYSLOT k\r\nCLUSTER SHARDS\r\nCLUSTER NODES\r\nCLUSTER COUNTKEYSINSLOT 5\r\n",
];

/// Starts a command, and returns what is sent to the client; nothing if it blocks.
async fn answered(client: &mut Client, request: &OwnedRequest) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut outcome = dispatch::begin(client, &request.as_request(), &mut sent);
    let answer = loop {
        outcome = match outcome {
            CommandState::Ready(answer) | CommandState::Close(answer) => break answer,
            CommandState::Pending(later)
            | CommandState::Barrier(later)
            | CommandState::Blocking(later) => match tokio::time::timeout(BLOCKED, later).await {
                Ok(answer) => break answer,
                Err(_) => return sent,
            },
            CommandState::Continue(next) => match tokio::time::timeout(BLOCKED, next).await {
                Ok(next) => next(client),
                Err(_) => return sent,
            },
            CommandState::WhenIdle(next) => next(client),
        };
    };
    if !matches!(answer, Answer::Nothing) {
        answer.write(&mut sent, Protocol::Resp3);
        let mut other = Vec::new();
        answer.write(&mut other, Protocol::Resp2);
        sent.extend(other);
    }
    sent
}

/// Reads one reply; returns what is behind it.
fn reply(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|end| end == b"\r\n")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    let (kind, text) = line.split_first()?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let elements = match kind {
        b'+' | b'-' => return (!text.contains(&b'\n')).then_some(rest),
        b':' => return number().map(|_| rest),
        b',' | b'(' | b'#' => return (!text.is_empty()).then_some(rest),
        b'_' => return text.is_empty().then_some(rest),
        b'$' | b'*' if number()? == -1 => return Some(rest),
        b'$' | b'=' => {
            let (bulk, rest) = rest.split_at_checked(usize::try_from(number()?).ok()?)?;
            let is_whole = *kind == b'$' || bulk.get(3) == Some(&b':');
            return rest.strip_prefix(b"\r\n").filter(|_| is_whole);
        }
        b'*' | b'~' | b'>' => usize::try_from(number()?).ok()?,
        b'%' => 2 * usize::try_from(number()?).ok()?,
        _ => return None,
    };
    (0..elements).try_fold(rest, |rest, _| reply(rest))
}

#[test]
fn fuzz_command() {
    convoke_harness::check!(&SAMPLES, |bytes| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let server = server_on(single_member_grid(), Passwords::default());
            let mut client = client_of(&server, Trust::Full);
            let (mut parser, mut rest) = (RequestParser::default(), bytes);
            for _ in 0..COMMANDS_MAX {
                let Ok(Some(request)) = parser.next(rest, true) else { break };
                let (owned, consumed) = (OwnedRequest::from(&request), request.consumed);
                let name = request.get(0).unwrap_or_default().to_ascii_lowercase();
                rest = &rest[consumed..];
                if name.is_empty() || LEFT_OUT.iter().any(|front| name.starts_with(front)) {
                    continue;
                }
                let sent = answered(&mut client, &owned).await;
                let mut unread = &sent[..];
                while !unread.is_empty() {
                    let Some(behind) = reply(unread) else {
                        panic!("no reply: {:?} to {owned:?}", unread.escape_ascii().to_string());
                    };
                    unread = behind;
                }
            }
        });
    });
}
