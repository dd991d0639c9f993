// Checks that are counted; the first that does not hold ends the script.

import { isDeepStrictEqual, inspect } from "node:util";
import { setTimeout as pause } from "node:timers/promises";

/** How long something may take that should be so at once, in milliseconds. */
const SOON = 10_000;

/** What was expected, and what came instead. */
class Deviation extends Error {}

/** Checks of one script. */
export class Checks {
  passed = 0;
  part = "";

  /** `got` is `expected`, whatever the prototypes of plain objects are. */
  equal(what, got, expected) {
    if (!isDeepStrictEqual(plain(got), plain(expected))) this.fail(what, shown(expected), got);
    this.passed += 1;
  }

  /** Something is so. */
  holds(what, isSo, got) {
    if (!isSo) this.fail(what, "that it is so", got);
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

  /** `look()` gives something true before long; gives that. */
  async comes(what, look, within = SOON) {
    const deadline = Date.now() + within;
    for (;;) {
      const got = await look();
      if (got) {
        this.passed += 1;
        return got;
      }
      if (Date.now() >= deadline) this.fail(what, `it within ${within} ms`, got);
      await pause(10);
    }
  }

  fail(what, expected, got) {
    const where = this.part ? `${this.part}: ${what}` : what;
    throw new Deviation(`${where}\n  expected ${expected}\n  got      ${shown(got)}`);
  }
}

function shown(value) {
  return inspect(value, { depth: 5, maxStringLength: 400 });
}

/** Without prototypes, which say nothing of what a server answered. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return new Map([...value].map(([key, one]) => [key, plain(one)]));
  if (value === null || typeof value !== "object" || Buffer.isBuffer(value)) return value;
  if (value instanceof Error) return value.message;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

/** The ports of the command line, and whether they are nodes of a Redis Cluster. */
export function told() {
  const words = process.argv.slice(2);
  const ports = words.filter((word) => word !== "--cluster").map(Number);
  if (ports.length !== 3 || ports.some(Number.isNaN)) {
    console.error("expected the RESP ports of three members");
    process.exit(1);
  }
  return { ports, isCluster: words.includes("--cluster") };
}

/** Says that a member may be ended now; goes on with a line of the input. */
export async function memberIsEnded() {
  console.log("READY");
  await new Promise((done) => process.stdin.once("data", done));
  process.stdin.unref();
}

/** Calls `check` with fresh checks; says how it ended, and ends. */
export async function run(client, check) {
  const checks = new Checks();
  try {
    await check(checks);
  } catch (error) {
    const why = error instanceof Deviation ? error.message : `${checks.part}: ${error.stack}`;
    console.error(`${client}: after ${checks.passed} checks: ${why}`);
    process.exit(1);
  }
  console.log(`${client}: ${checks.passed} checks passed`);
  process.exit(0);
}
