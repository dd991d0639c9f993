// HTTP by way of the host: the grant `http`.
//
// Not `fetch`: it does not tell a refusal of the host from a refused connection, and
// the engine of componentize-js 0.23 keeps some seven handles of the host for each
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
  // What is ready within the time is dropped, and nothing else is left of it.
  const wait = (source) => {
    const ready = source.subscribe();
    const isReady = poll([ready, timer]).includes(0);
    drop(ready);
    if (!isReady) {
      throw new Unreachable(`gives no answer within ${timeoutMs} ms`);
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
    // Without options: the host keeps a handle for each that it is given.
    pending = handle(outgoing, undefined);
  } catch (error) {
    drop(outgoingBody);
    throw unreachable({ url }, error.payload);
  }
  // Where the connection fails, the answer says why in better words.
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
    // The body is the host's again either way.
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
        throw new Unreachable(`answers with more than ${ANSWER_BYTES_MAX >> 20} MiB`);
      }
      read += text.decode(piece, { stream: true });
    }
  } catch (error) {
    if (error.payload?.tag === 'closed') {
      return { status, text: read + text.decode() };
    }
    forget(error);
    throw error.payload ? new Unreachable('broke off its answer') : error;
  } finally {
    drop(stream);
    drop(body);
    drop(response);
  }
}

/** A stream's error may hold one of the host's. */
function forget(error) {
  if (error.payload?.tag === 'last-operation-failed') {
    drop(error.payload.val);
  }
}

function unreachable({ url }, code) {
  if (code.tag === 'HTTP-request-denied') {
    const { origin } = new URL(url);
    return new Unreachable(`may not be asked; to allow it: grant = { http = ["${origin}"] }`, true);
  }
  const details = typeof code.val === 'object' ? Object.values(code.val ?? {}) : [code.val];
  const words = [code.tag.replaceAll('-', ' '), ...details].filter((word) => word !== undefined);
  return new Unreachable(`gives no answer: ${words.join(' ')}`);
}
