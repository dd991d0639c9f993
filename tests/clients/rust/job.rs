//! The main job of a library, repeated while a member is killed.

use std::env;
use std::error::Error;
use std::io;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Before the kill: steps that all succeed, for at least this time.
const STEPS_BEFORE: usize = 10;
const BEFORE: Duration = Duration::from_secs(2);
/// After it: consecutive steps that succeed, for at least this time.
const STEPS_AFTER: usize = 10;
const AFTER: Duration = Duration::from_secs(3);
/// From the kill until they have.
const RECOVERY_MAX: Duration = Duration::from_secs(60);
/// Between two steps, and after one that failed.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);
/// Errors that are printed.
const ERRORS_SHOWN: usize = 20;

pub type Result = std::result::Result<(), Box<dyn Error>>;

/// URLs of members, the first one first.
pub fn urls() -> Vec<String> {
    let ports = env::var("CONVOKE_PORTS").expect("CONVOKE_PORTS");
    ports.split(',').map(|port| format!("redis://127.0.0.1:{port}/")).collect()
}

pub fn is_cluster() -> bool {
    env::var("CONVOKE_MODE").is_ok_and(|mode| mode == "cluster")
}

/// Calls `step(n)` with n = 0, 1, … before, during and after the kill, and then `verify`; exits.
pub fn run<J>(mut job: J, step: fn(&mut J, usize) -> Result, verify: fn(&mut J) -> Result) -> ! {
    match repeat(&mut job, step, verify) {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("{}", error.to_string().replace('\n', " "));
            exit(1)
        }
    }
}

fn repeat<J>(
    job: &mut J,
    step: fn(&mut J, usize) -> Result,
    verify: fn(&mut J) -> Result,
) -> Result {
    let (mut number, mut errors, mut in_a_row) = (0, 0, 0);
    let (started, mut succeeded_at) = (Instant::now(), None);
    let mut interruption = Duration::ZERO;
    let mut succeeded = |in_a_row: &mut usize| {
        let last = succeeded_at.replace(Instant::now());
        interruption =
            interruption.max(last.map_or(Duration::ZERO, |last: Instant| last.elapsed()));
        *in_a_row += 1;
        interruption
    };
    let mut usual = Duration::ZERO;
    while number < STEPS_BEFORE || started.elapsed() < BEFORE {
        step(job, number)?;
        usual = succeeded(&mut in_a_row);
        number += 1;
        sleep(PAUSE);
    }
    let is_killed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_killed);
    thread::spawn(move || {
        let _ = io::stdin().read_line(&mut String::new());
        seen.store(true, Ordering::Relaxed);
    });
    println!("READY");
    let mut killed_at: Option<Instant> = None;
    let mut longest = usual;
    loop {
        match step(job, number) {
            Ok(()) => {
                longest = succeeded(&mut in_a_row);
                sleep(PAUSE);
            }
            Err(error) => {
                errors += 1;
                in_a_row = 0;
                if errors <= ERRORS_SHOWN {
                    eprintln!("step {number}: {error}");
                }
                sleep(PAUSE_AFTER_ERROR);
            }
        }
        number += 1;
        match killed_at {
            None if is_killed.load(Ordering::Relaxed) => {
                killed_at = Some(Instant::now());
                in_a_row = 0;
            }
            None => {}
            Some(at) if in_a_row >= STEPS_AFTER && at.elapsed() >= AFTER => break,
            Some(at) if at.elapsed() >= RECOVERY_MAX => {
                return Err(format!("the job has not recovered within {RECOVERY_MAX:?}").into());
            }
            Some(_) => {}
        }
    }
    verify(job)?;
    eprintln!("{number} steps, {errors} errors");
    println!("DONE interruption_ms={}", (longest - usual).as_millis());
    Ok(())
}
