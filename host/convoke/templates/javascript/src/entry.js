// The functions that the host calls: convoke:discovery/strategy.

import { log } from 'convoke:host/log@0.1.0';

import { parse } from './endpoints.js';

// The list is constant. The interval only matters to a host that has lost the previous result.
const LOOK_AGAIN_MS = 60_000;

// One instance serves one configured mode. The host calls `configure` first.
let endpoints = [];

export const strategy = {
  configure(config) {
    for (const [key] of config.settings) {
      log('warn', 'unknown setting ignored', [['setting', key]]);
    }
    try {
      endpoints = parse(config.argument);
    } catch (error) {
      // Any exception other than a problem ends the instance.
      throw { tag: 'misconfigured', val: error.message };
    }
  },

  discover() {
    const candidates = endpoints.map(({ address, port }) => ({ address, port, attributes: [] }));
    return { candidates, complete: false, lookAgainMs: LOOK_AGAIN_MS };
  },
};
