// The keys that sign: from the settings, or those of the machine's role, from its
// metadata service (IMDSv2).

import { ask } from './http.js';
import { temporary } from './problems.js';

const TOKEN_TTL_S = 21_600;
const ROLE_PATH = '/latest/meta-data/iam/security-credentials/';
/** Keys are fetched anew this long before they run out. */
const EARLY_MS = 5 * 60_000;

export class Credentials {
  #settings;
  #send;
  #now;
  #kept;

  /**
   * @param {import('./http.js').Send} send
   * @param {() => number} now milliseconds since 1970
   */
  constructor(settings, send, now) {
    this.#settings = settings;
    this.#send = send;
    this.#now = now;
  }

  /** Whether `get` fetches them. */
  get areFetched() {
    return this.#settings.keys === undefined;
  }

  /** @returns {Promise<{ access: string, secret: string, session?: string }>} */
  async get() {
    if (!this.areFetched) {
      return this.#settings.keys;
    }
    if (this.#kept === undefined || this.#now() > this.#kept.until - EARLY_MS) {
      this.#kept = await this.#fetchKeys();
    }
    return this.#kept;
  }

  /** They were refused: the next `get` fetches them anew. */
  forget() {
    this.#kept = undefined;
  }

  async #fetchKeys() {
    const token = await this.#ask('PUT', '/latest/api/token', {
      'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_TTL_S),
    });
    const known = { 'x-aws-ec2-metadata-token': token };
    const [role] = (await this.#ask('GET', ROLE_PATH, known)).trim().split('\n');
    const answer = await this.#ask('GET', ROLE_PATH + encodeURIComponent(role), known);
    const { metadata } = this.#settings;
    let keys;
    try {
      keys = JSON.parse(answer);
    } catch {
      throw temporary(`${metadata} gives keys of role "${role}" that are not JSON; is it the metadata service?`);
    }
    const until = Date.parse(keys?.Expiration);
    if (keys?.Code !== 'Success' || !keys.AccessKeyId || !keys.SecretAccessKey || Number.isNaN(until)) {
      throw temporary(`${metadata} gives no keys of role "${role}" (${keys?.Code ?? 'no Code'})`);
    }
    return { access: keys.AccessKeyId, secret: keys.SecretAccessKey, session: keys.Token, until };
  }

  async #ask(method, path, headers) {
    const { metadata, timeoutMs } = this.#settings;
    const { status, text } = await ask(this.#send, { method, url: metadata + path, headers }, timeoutMs);
    if (status === 200) {
      return text;
    }
    // Both are mended at the cloud: a member waits, and needs no restart.
    if (status === 404) {
      throw temporary(`${metadata} gives this machine no role; attach one that may ec2:DescribeInstances, or set access-key and secret-key`);
    }
    if (status === 401 || status === 403) {
      throw temporary(`${metadata} refuses its keys (HTTP ${status} to ${path}); turn this machine's metadata service on, or set access-key and secret-key`);
    }
    throw temporary(`${metadata} answers ${path} with HTTP ${status}`);
  }
}
