// The mode, independent of WebAssembly: its dependencies are passed to it.

import { Credentials } from './credentials.js';
import { instances } from './instances.js';
import * as settings from './settings.js';

export class Cloud {
  #settings;
  #credentials;
  #host;

  /**
   * @param {{ argument: string, settings: [string, string][] }} config
   * @param {{ send: import('./http.js').Send, now: () => number, log: (level: string, message: string, fields: [string, string][]) => void }} host
   */
  constructor(config, host) {
    const read = settings.read(config.argument, config.settings);
    for (const key of read.unknown) {
      host.log('warn', 'unknown setting ignored', [['setting', key]]);
    }
    this.#settings = read.settings;
    this.#host = host;
    this.#credentials = new Credentials(read.settings, host.send, host.now);
  }

  /** Returns a `snapshot`, or throws a `Problem`. */
  async look() {
    const { send, now, log } = this.#host;
    const { machines, more } = await instances(this.#settings, this.#credentials, send, now);
    if (more) {
      log('warn', 'more machines match the filter than are listed', [['listed', String(machines.length)]]);
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
