// The main job of a library, repeated while a member is killed.

import { setTimeout as pause } from "node:timers/promises";

export const MODE = process.env.CONVOKE_MODE;
export const PORTS = process.env.CONVOKE_PORTS.split(",").map(Number);
export const HOST = "127.0.0.1";
export const URL = `redis://${HOST}:${PORTS[0]}`;
export { pause };

// Before the kill: steps that all succeed, for at least this time in milliseconds.
const STEPS_BEFORE = 10;
const BEFORE = 2_000;
// After it: consecutive steps that succeed, for at least this time in milliseconds.
const STEPS_AFTER = 10;
const AFTER = 3_000;
// From the kill until they have, in milliseconds.
const RECOVERY_MAX = 60_000;
// A step that takes longer has failed, in milliseconds.
const STEP_MAX = 20_000;
// Between two steps, and after one that failed, in milliseconds.
const PAUSE = 10;
const PAUSE_AFTER_ERROR = 100;
// Errors that are printed.
const ERRORS_SHOWN = 20;

/** Fails the step unless the condition holds. */
export function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Returns the first truthy result of `probe()`. */
export async function waitFor(what, probe, within = STEP_MAX) {
  const deadline = Date.now() + within;
  for (;;) {
    const got = await probe();
    if (got) return got;
    check(Date.now() < deadline, `no ${what} within ${within} ms`);
    await pause(20);
  }
}

/** The result of `promise`, or an error after `within` milliseconds. */
export async function bounded(promise, within = STEP_MAX) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result within ${within} ms`)), within);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function repeat(step, verify) {
  let [number, errors, inARow, interruption] = [0, 0, 0, 0];
  const started = Date.now();
  let succeededAt = started;
  const succeeded = () => {
    const now = Date.now();
    if (number > 0) interruption = Math.max(interruption, now - succeededAt);
    succeededAt = now;
    inARow += 1;
  };
  while (number < STEPS_BEFORE || Date.now() - started < BEFORE) {
    await bounded(step(number));
    succeeded();
    number += 1;
    await pause(PAUSE);
  }
  const usual = interruption;
  let [isKilled, killedAt] = [false, null];
  process.stdin.once("data", () => (isKilled = true));
  console.log("READY");
  for (;;) {
    try {
      await bounded(step(number));
      succeeded();
      await pause(PAUSE);
    } catch (error) {
      errors += 1;
      inARow = 0;
      if (errors <= ERRORS_SHOWN) console.error(`step ${number}: ${error}`);
      await pause(PAUSE_AFTER_ERROR);
    }
    number += 1;
    const now = Date.now();
    if (killedAt === null) {
      if (isKilled) [killedAt, inARow] = [now, 0];
    } else if (inARow >= STEPS_AFTER && now - killedAt >= AFTER) {
      break;
    } else if (now - killedAt >= RECOVERY_MAX) {
      throw new Error(`the job has not recovered within ${RECOVERY_MAX} ms`);
    }
  }
  if (verify) await verify();
  console.error(`${number} steps, ${errors} errors`);
  console.log(`DONE interruption_ms=${interruption - usual}`);
}

/** Calls `step(n)` with n = 0, 1, … before, during and after the kill, and then `verify()`; exits. */
export async function run(step, verify) {
  process.on("unhandledRejection", (error) => console.error(`unhandled: ${error}`));
  try {
    await repeat(step, verify);
  } catch (error) {
    console.error(error.stack);
    console.error(`${error}`.replaceAll("\n", " "));
    process.exit(1);
  }
  process.exit(0);
}
