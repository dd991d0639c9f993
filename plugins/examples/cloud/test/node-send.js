// The interface of transport.js, without a host.

import { Unreachable } from '../src/http.js';

/** @type {import('../src/http.js').Send} */
export async function send({ url, ...request }, timeoutMs) {
  try {
    const answer = await fetch(url, { ...request, signal: AbortSignal.timeout(timeoutMs) });
    return { status: answer.status, text: await answer.text() };
  } catch (error) {
    const isLate = error.name === 'TimeoutError';
    throw new Unreachable(isLate ? `did not respond within ${timeoutMs} ms` : `cannot be reached: ${error.cause?.code}`);
  }
}
