// The functions that the host calls: convoke:discovery/strategy.

import { log } from 'convoke:host/log@0.1.0';

import { Cloud } from './mode.js';
import { Problem } from './problems.js';
import { send } from './transport.js';

let cloud;

// Any other exception would end the instance.
function asProblem(error) {
  const tag = error instanceof Problem ? error.tag : 'failed';
  return { tag, val: error instanceof Problem ? error.message : String(error) };
}

export const strategy = {
  configure(config) {
    try {
      cloud = new Cloud(config, { send, now: Date.now, log });
    } catch (error) {
      throw asProblem(error);
    }
  },

  // For the host this is a synchronous function: the engine's event loop runs inside the call
  // until the promise is settled.
  async discover() {
    try {
      return await cloud.look();
    } catch (error) {
      throw asProblem(error);
    }
  },
};
