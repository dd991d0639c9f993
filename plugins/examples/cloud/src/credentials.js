// The signing keys: from the settings, or those of the machine's role from its metadata service
// (IMDSv2).

import { ask } from './http.js';
import { temporary } from './problems.js';

const TOKEN_TTL_S = 21_600;
const ROLE_PATH = '/latest/meta-data/iam/security-credentials/';
/** Keys are renewed this long before they expire, in milliseconds. */
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

  /** Whether the keys come from the metadata service. */
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

  /** Discards rejected keys, so that the next `get` fetches them again. */
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
      throw temporary(`${metadata} returned invalid JSON as keys of role "${role}"; check that it is the metadata service`);
    }
    const until = Date.parse(keys?.Expiration);
    if (keys?.Code !== 'Success' || !keys.AccessKeyId || !keys.SecretAccessKey || Number.isNaN(until)) {
      throw temporary(`${metadata} returned no keys of role "${role}" (${keys?.Code ?? 'no Code'})`);
    }
    return { access: keys.AccessKeyId, secret: keys.SecretAccessKey, session: keys.Token, until };
  }

  async #ask(method, path, headers) {
    const { metadata, timeoutMs } = this.#settings;
    const { status, text } = await ask(this.#send, { method, url: metadata + path, headers }, timeoutMs);
    if (status === 200) {
      return text;
    }
    // Both can be fixed in the cloud: the member waits, and needs no restart.
    if (status === 404) {
      throw temporary(`${metadata} returned no role for this machine; attach one that allows ec2:DescribeInstances, or set access-key and secret-key`);
    }
    if (status === 401 || status === 403) {
      throw temporary(`${metadata} denied access to its keys (HTTP ${status} for ${path}); enable this machine's metadata service, or set access-key and secret-key`);
    }
    throw temporary(`${metadata} returned HTTP ${status} for ${path}`);
  }
}
