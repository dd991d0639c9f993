// The HTTP interface of this mode, implemented by `transport.js` or a test.

import { denied, temporary } from './problems.js';

/**
 * @typedef {{ method: 'GET' | 'POST' | 'PUT', url: string, headers: Record<string, string>, body?: string }} Request
 * @typedef {{ status: number, text: string }} Answer
 * @typedef {(request: Request, timeoutMs: number) => Answer | Promise<Answer>} Send
 *   Throws `Unreachable`, also if the response is not complete in time.
 */

/** The request failed, with the reason. */
export class Unreachable extends Error {
  /** @param {boolean} isRefused whether the host denied the request */
  constructor(words, isRefused = false) {
    super(words);
    this.isRefused = isRefused;
  }
}

/**
 * @param {Send} send
 * @param {Request} request
 * @returns {Promise<Answer>}
 */
export async function ask(send, request, timeoutMs) {
  try {
    return await send(request, timeoutMs);
  } catch (error) {
    if (!(error instanceof Unreachable)) {
      throw error;
    }
    const words = `${new URL(request.url).origin} ${error.message}`;
    throw error.isRefused ? denied(words) : temporary(words);
  }
}
