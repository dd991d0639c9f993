// Parses the argument: a list of addresses. Imports nothing from the host, so the tests need none.

export const ENDPOINTS_MAX = 1024;
const FORM = 'expected addresses such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900, separated by commas';

/**
 * Returns the endpoints without duplicates. Throws an `Error` with a text for operators.
 *
 * @param {string} argument
 * @returns {Array<{address: string, port?: number}>}
 */
export function parse(argument) {
  const texts = argument.split(',').map((text) => text.trim());
  if (texts.length > ENDPOINTS_MAX) {
    throw new Error(`"${texts[ENDPOINTS_MAX]}" is address ${ENDPOINTS_MAX + 1}; at most ${ENDPOINTS_MAX} are supported`);
  }
  return [...new Set(texts)].map(endpoint);
}

function endpoint(text) {
  const [, v6, v4, bare, port] = /^(?:\[([^\]]*)\]|([^:]*)|(.*:.*:.*?))(?::([^:]*))?$/.exec(text) ?? [];
  const address = v6 ?? bare ?? v4;
  if (v4 === undefined ? !isIpv6(address) : !isIpv4(address)) {
    throw new Error(`"${text}" has no IP address; ${FORM}`);
  }
  if (port === undefined) {
    return { address };
  }
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65535) {
    throw new Error(`"${text}" has no port from 1 to 65535; ${FORM}`);
  }
  return { address, port: Number(port) };
}

function isIpv4(text) {
  const octets = text.split('.');
  return octets.length === 4 && octets.every((octet) => /^(0|[1-9][0-9]{0,2})$/.test(octet) && Number(octet) <= 255);
}

function isIpv6(text) {
  // The grammar is that of URLs, which the engine can parse.
  try {
    return /^[0-9a-f:.]+$/i.test(text) && new URL(`http://[${text}]`).hostname !== '';
  } catch {
    return false;
  }
}
