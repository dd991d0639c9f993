// AWS Signature Version 4.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

const ALGORITHM = 'AWS4-HMAC-SHA256';
const text = new TextEncoder();

/**
 * The headers of a signed request. `host` is signed and not included, since the sender of the
 * request adds it.
 *
 * @param {{ method: string, url: string, headers: Record<string, string>, body: string }} request
 *   header names in lower case
 * @param {{ access: string, secret: string, session?: string }} keys
 * @param {{ region: string, service: string, date: Date }} scope
 */
export async function sign(request, keys, scope) {
  const at = scope.date.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const url = new URL(request.url);
  const sent = { ...request.headers, 'x-amz-date': at };
  if (keys.session) {
    sent['x-amz-security-token'] = keys.session;
  }
  const signed = { ...sent, host: url.host };
  const names = Object.keys(signed).sort();
  const canonical = [
    request.method,
    url.pathname,
    query(url),
    ...names.map((name) => `${name}:${signed[name].trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    hex(await sha256(request.body)),
  ].join('\n');
  const range = [at.slice(0, 8), scope.region, scope.service, 'aws4_request'];
  const toSign = [ALGORITHM, at, range.join('/'), hex(await sha256(canonical))].join('\n');
  let key = text.encode(`AWS4${keys.secret}`);
  for (const part of [...range, toSign]) {
    key = await hmac(key, part);
  }
  const credential = [keys.access, ...range].join('/');
  sent.authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${names.join(';')}, Signature=${hex(key)}`;
  return sent;
}

/** Percent-encodes all but the unreserved characters (RFC 3986, section 2.3). */
export function encode(value) {
  const escaped = (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(value).replace(/[!'()*]/g, escaped);
}

function query(url) {
  const pairs = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`);
  return pairs.sort().join('&');
}

async function sha256(value) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', text.encode(value)));
}

async function hmac(secret, value) {
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', key, text.encode(value)));
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
