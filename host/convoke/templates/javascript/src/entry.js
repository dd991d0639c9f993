// What the host calls: convoke:discovery/strategy.

import { log } from 'convoke:host/log@0.1.0';

import { read } from './places.js';

// The list never changes: another look is for a host that lost the last one.
const LOOK_AGAIN_MS = 60_000;

// One instance serves one configured mode. The host calls `configure` first.
let places = [];

export const strategy = {
  configure(config) {
    for (const [key] of config.settings) {
      log('warn', 'unknown setting ignored', [['setting', key]]);
    }
    try {
      places = read(config.argument);
    } catch (wrong) {
      // Anything but a problem ends the instance.
      throw { tag: 'misconfigured', val: wrong.message };
    }
  },

  discover() {
    const candidates = places.map(({ address, port }) => ({ address, port, attributes: [] }));
    return { candidates, complete: false, lookAgainMs: LOOK_AGAIN_MS };
  },
};
