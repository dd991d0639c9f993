// Cases: each performs operations on fresh structures, and notes what each of them returned.

import { createHash } from "node:crypto";
import hazelcast from "hazelcast-client";
import { configure } from "./objects.mjs";

// The longest time to wait for a condition, and for how long an event that must not come is waited
// for, in milliseconds.
const WAIT_MS = 12_000;
const QUIET_MS = 150;
const POLL_MS = 10;

// Longer texts are printed as their length and checksum.
const LENGTH_MAX = 80;

// Different in each run, so that a member may be used again.
const RUN = (process.hrtime.bigint() & 0xfffffffn).toString(36);

export const CASES = new Map();

// Declares a case.
export function add(name, body) {
  if (CASES.has(name)) throw new Error(`two cases are named ${name}`);
  CASES.set(name, body);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function checksum(content) {
  return createHash("sha256").update(content).digest("hex").slice(0, 8);
}

function large(line) {
  return line.length > 8 * LENGTH_MAX ? `<length ${line.length}, checksum ${checksum(line)}>` : line;
}

// A value in one canonical form.
export function text(value) {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (typeof value === "string") {
    return value.length > LENGTH_MAX
      ? `<string, length ${value.length}, checksum ${checksum(value)}>`
      : JSON.stringify(value);
  }
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof Error) return `!${value.constructor.name}`;
  if (Buffer.isBuffer(value)) {
    return value.length > LENGTH_MAX
      ? `<bytes, length ${value.length}, checksum ${checksum(value)}>`
      : `bytes ${value.toString("hex")}`;
  }
  if (value instanceof hazelcast.HazelcastJsonValue) return `json ${value.toString()}`;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Set) return unordered([...value]);
  if (typeof value[Symbol.iterator] === "function") return large(`[${[...value].map(text).join(", ")}]`);
  const isPlain = Object.getPrototypeOf(value) === Object.prototype;
  return isPlain ? JSON.stringify(value) : `${value.constructor.name} ${value}`;
}

// Values whose order does not count.
export function unordered(values) {
  return large(`(${[...values].map(text).sort().join(", ")})`);
}

// The configuration of a client of the cluster.
export function config(more = {}) {
  return configure({
    clusterName: process.env.PEER_CLUSTER,
    network: { clusterMembers: process.env.PEER_PORTS.split(",").map((port) => `127.0.0.1:${port}`) },
    connectionStrategy: { connectionRetry: { clusterConnectTimeoutMillis: 10_000 } },
    properties: {
      "hazelcast.client.invocation.timeout.millis": 15_000,
      "hazelcast.logging.level": "OFF",
    },
    ...more,
  });
}

// Events, as texts.
export class Events {
  texts = [];

  add(name, ...parts) {
    this.texts.push([name, ...parts.map(text)].join(" "));
  }

  // A listener for the entries of a map.
  entries() {
    const entry = (name) => (event) => this.add(name, event.key, event.oldValue, event.value);
    const map = (name) => (event) => this.add(name, event.numberOfAffectedEntries);
    return {
      added: entry("added"),
      removed: entry("removed"),
      updated: entry("updated"),
      evicted: entry("evicted"),
      expired: entry("expired"),
      mapEvicted: map("all-evicted"),
      mapCleared: map("cleared"),
    };
  }

  items() {
    return {
      itemAdded: (event) => this.add("added", event.item),
      itemRemoved: (event) => this.add("removed", event.item),
    };
  }
}

export class Case {
  seen = [];
  others = [];

  constructor(name, client) {
    this.name = name;
    this.client = client;
  }

  // The name of a structure that no other case uses.
  fresh(more = "") {
    return `node-${this.name}-${RUN}${more}`;
  }

  // Notes what an operation returns, or its error.
  async see(operation) {
    this.note(await this.#outcome(operation));
  }

  async #outcome(operation) {
    try {
      return await operation();
    } catch (error) {
      return error;
    }
  }

  async seeUnordered(operation) {
    const outcome = await this.#outcome(operation);
    this.seen.push(outcome instanceof Error ? text(outcome) : unordered(outcome));
  }

  note(value) {
    this.seen.push(text(value));
  }

  async #isSoon(condition) {
    const end = Date.now() + WAIT_MS;
    while (!(await condition())) {
      if (Date.now() > end) return false;
      await sleep(POLL_MS);
    }
    return true;
  }

  // Waits for a condition, and notes whether it came true.
  async wait(condition) {
    this.seen.push((await this.#isSoon(condition)) ? "came" : "did not come");
  }

  // Waits for a number of events, and then for further ones; notes them in their order.
  async events(events, count) {
    await this.#isSoon(() => events.texts.length >= count);
    await sleep(QUIET_MS);
    this.seen.push(`events [${events.texts.join(", ")}]`);
  }

  // The same for events of several keys, whose order does not count.
  async eventsOfKeys(events, count) {
    await this.#isSoon(() => events.texts.length >= count);
    await sleep(QUIET_MS);
    this.seen.push(`events (${[...events.texts].sort().join(", ")})`);
  }

  // A client of its own, which is closed after the case.
  async another(more = {}) {
    const other = await hazelcast.Client.newHazelcastClient(config(more));
    this.others.push(other);
    return other;
  }

  outcome() {
    return this.seen.join("; ");
  }

  async close() {
    for (const other of this.others) await other.shutdown();
  }
}
