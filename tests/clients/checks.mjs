// Counted checks; the first one that fails ends the script.

import { isDeepStrictEqual, inspect } from "node:util";
import { setTimeout as pause } from "node:timers/promises";

/** Timeout of conditions that should hold almost immediately, in milliseconds. */
const TIMEOUT = 10_000;

/** A failed check: the expected and the actual value. */
class CheckFailure extends Error {}

/** Checks of one script. */
export class Checks {
  passed = 0;
  part = "";

  /** `got` equals `expected`, regardless of the prototypes of plain objects. */
  equal(what, got, expected) {
    if (!isDeepStrictEqual(plain(got), plain(expected))) this.fail(what, shown(expected), got);
    this.passed += 1;
  }

  /** A condition holds. */
  holds(what, condition, got) {
    if (!condition) this.fail(what, "that the condition holds", got);
    this.passed += 1;
  }

  /** `promise` fails with an error whose text is `text`. */
  async refused(what, text, promise) {
    let got;
    try {
      got = await promise;
    } catch (error) {
      this.equal(what, error.message, text);
      return;
    }
    this.fail(what, `the error ${shown(text)}`, got);
  }

  /** `probe()` returns a truthy value within the timeout; returns that. */
  async eventually(what, probe, within = TIMEOUT) {
    const deadline = Date.now() + within;
    for (;;) {
      const got = await probe();
      if (got) {
        this.passed += 1;
        return got;
      }
      if (Date.now() >= deadline) this.fail(what, `a result within ${within} ms`, got);
      await pause(10);
    }
  }

  fail(what, expected, got) {
    const where = this.part ? `${this.part}: ${what}` : what;
    throw new CheckFailure(`${where}\n  expected ${expected}\n  got      ${shown(got)}`);
  }
}

function shown(value) {
  return inspect(value, { depth: 5, maxStringLength: 400 });
}

/** Without prototypes, which do not depend on the answer of the server. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, plain(one)]));
  if (value === null || typeof value !== "object" || Buffer.isBuffer(value)) return value;
  if (value instanceof Error) return value.message;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

/** The ports of the command line, and whether they are nodes of a Redis Cluster. */
export function commandLine() {
  const words = process.argv.slice(2);
  const ports = words.filter((word) => word !== "--cluster").map(Number);
  if (ports.length !== 3 || ports.some(Number.isNaN)) {
    console.error("expected the RESP ports of three members");
    process.exit(1);
  }
  return { ports, isCluster: words.includes("--cluster") };
}

/** Reports that a member can be killed now; continues after a line of input. */
export async function waitForMemberToEnd() {
  console.log("READY");
  await new Promise((done) => process.stdin.once("data", done));
  process.stdin.unref();
}

/** Calls `check` with new checks; prints the result, and exits. */
export async function run(client, check) {
  const checks = new Checks();
  try {
    await check(checks);
  } catch (error) {
    const why = error instanceof CheckFailure ? error.message : `${checks.part}: ${error.stack}`;
    console.error(`${client}: after ${checks.passed} checks: ${why}`);
    process.exit(1);
  }
  console.log(`${client}: ${checks.passed} checks passed`);
  process.exit(0);
}
