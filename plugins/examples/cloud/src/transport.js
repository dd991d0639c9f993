// HTTP through the host; needs the grant `http`.
//
// `fetch` is not used: it does not distinguish a denial by the host from a refused connection,
// and the engine of componentize-js 0.23 leaks about seven host handles per request, until
// there are none left. Here each handle is released.
// request until the host has none left. Here each one is given back.

import { subscribeDuration } from 'wasi:clocks/monotonic-clock@0.2.12';
import { handle } from 'wasi:http/outgoing-handler@0.2.12';
import { Fields, OutgoingBody, OutgoingRequest } from 'wasi:http/types@0.2.12';
import { poll } from 'wasi:io/poll@0.2.12';

import { Unreachable } from './http.js';

const ANSWER_BYTES_MAX = 4 << 20;
const READ_BYTES = 64n << 10n;
const DISPOSE = Symbol.dispose ?? Symbol.for('dispose');

const drop = (resource) => resource[DISPOSE]();

/** @type {import('./http.js').Send} */
export function send(request, timeoutMs) {
  const timer = subscribeDuration(BigInt(timeoutMs) * 1_000_000n);
  // Subscribes, waits, and drops the subscription.
  const wait = (source) => {
    const ready = source.subscribe();
    const isReady = poll([ready, timer]).includes(0);
    drop(ready);
    if (!isReady) {
      throw new Unreachable(`did not respond within ${timeoutMs} ms`);
    }
  };
  try {
    const pending = start(request, wait);
    try {
      wait(pending);
      const { val: arrived } = pending.get();
      if (arrived.tag === 'err') {
        throw unreachable(request, arrived.val);
      }
      return read(arrived.val, wait);
    } finally {
      drop(pending);
    }
  } finally {
    drop(timer);
  }
}

function start({ method, url, headers, body }, wait) {
  const text = new TextEncoder();
  const content = text.encode(body ?? '');
  const sent = { ...headers, 'content-length': String(content.length) };
  const { protocol, host, pathname, search } = new URL(url);
  const outgoing = new OutgoingRequest(
    Fields.fromList(Object.entries(sent).map(([name, value]) => [name, text.encode(value)])),
  );
  outgoing.setMethod({ tag: method.toLowerCase() });
  outgoing.setScheme({ tag: protocol === 'https:' ? 'HTTPS' : 'HTTP' });
  outgoing.setAuthority(host);
  outgoing.setPathWithQuery(pathname + search);
  const outgoingBody = outgoing.body();
  let pending;
  try {
    // Without options: the host would keep a handle for each.
    pending = handle(outgoing, undefined);
  } catch (error) {
    drop(outgoingBody);
    throw unreachable({ url }, error.payload);
  }
  // If the connection fails, the response has a better error text.
  try {
    write(outgoingBody, content, wait);
  } catch (error) {
    drop(outgoingBody);
    if (error instanceof Unreachable) {
      drop(pending);
      throw error;
    }
    forget(error);
    return pending;
  }
  try {
    OutgoingBody.finish(outgoingBody, undefined);
  } catch {
    // The body is returned to the host in either case.
  }
  return pending;
}

function write(outgoingBody, content, wait) {
  const stream = outgoingBody.write();
  try {
    for (let at = 0; at < content.length; ) {
      const room = Number(stream.checkWrite());
      if (room === 0) {
        wait(stream);
      } else {
        stream.write(content.subarray(at, at + room));
        at += room;
      }
    }
    stream.flush();
    wait(stream);
  } finally {
    drop(stream);
  }
}

function read(response, wait) {
  const status = response.status();
  const body = response.consume();
  const stream = body.stream();
  const text = new TextDecoder();
  let read = '';
  let bytes = 0;
  try {
    for (;;) {
      const piece = stream.read(READ_BYTES);
      if (piece.length === 0) {
        wait(stream);
        continue;
      }
      bytes += piece.length;
      if (bytes > ANSWER_BYTES_MAX) {
        throw new Unreachable(`returned more than ${ANSWER_BYTES_MAX >> 20} MiB`);
      }
      read += text.decode(piece, { stream: true });
    }
  } catch (error) {
    if (error.payload?.tag === 'closed') {
      return { status, text: read + text.decode() };
    }
    forget(error);
    throw error.payload ? new Unreachable('closed the connection before the end of the response') : error;
  } finally {
    drop(stream);
    drop(body);
    drop(response);
  }
}

/** Releases the host's error in a stream's error. */
function forget(error) {
  if (error.payload?.tag === 'last-operation-failed') {
    drop(error.payload.val);
  }
}

function unreachable({ url }, code) {
  if (code.tag === 'HTTP-request-denied') {
    const { origin } = new URL(url);
    return new Unreachable(`is not granted; to allow it: grant = { http = ["${origin}"] }`, true);
  }
  const details = typeof code.val === 'object' ? Object.values(code.val ?? {}) : [code.val];
  const words = [code.tag.replaceAll('-', ' '), ...details].filter((word) => word !== undefined);
  return new Unreachable(`cannot be reached: ${words.join(' ')}`);
}
