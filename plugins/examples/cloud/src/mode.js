// The mode. Knows nothing of WebAssembly: what it needs is handed to it.

import { Credentials } from './credentials.js';
import { instances } from './instances.js';
import * as settings from './settings.js';

export class Cloud {
  #settings;
  #credentials;
  #world;

  /**
   * @param {{ argument: string, settings: [string, string][] }} config
   * @param {{ send: import('./http.js').Send, now: () => number, log: (level: string, message: string, fields: [string, string][]) => void }} world
   */
  constructor(config, world) {
    const read = settings.read(config.argument, config.settings);
    for (const key of read.unknown) {
      world.log('warn', 'unknown setting ignored', [['setting', key]]);
    }
    this.#settings = read.settings;
    this.#world = world;
    this.#credentials = new Credentials(read.settings, world.send, world.now);
  }

  /** Takes one look: a `snapshot`, or a `Problem`. */
  async look() {
    const { send, now, log } = this.#world;
    const { machines, more } = await instances(this.#settings, this.#credentials, send, now);
    if (more) {
      log('warn', 'the filter lets more machines through than are listed', [['listed', String(machines.length)]]);
    }
    const { port, lookAgainMs } = this.#settings;
    const candidates = machines.map(({ id, address, zone }) => ({
      address,
      port,
      attributes: [['instance-id', id], ...(zone ? [['zone', zone]] : [])],
    }));
    return { candidates, complete: !more, lookAgainMs };
  }
}
