// Parses and validates the configuration.

import { misconfigured } from './problems.js';

const FILTERS_MAX = 50;
const FILTER_FORM = 'expected name=value, such as tag:cluster=shop, several separated by commas';
const METADATA = 'http://169.254.169.254';

/**
 * @param {string} argument the filters, unless a setting has them
 * @param {[string, string][]} pairs
 * @returns the settings, and the unknown keys
 */
export function read(argument, pairs) {
  const given = new Map(pairs);
  const take = (key, otherwise) => {
    const value = given.get(key) ?? otherwise;
    given.delete(key);
    return value;
  };
  const region = take('region');
  if (region === undefined) {
    throw misconfigured('region is not set; add it to settings, such as region = "eu-central-1"');
  }
  if (!/^[a-z0-9-]{1,64}$/.test(region)) {
    throw misconfigured(`region = "${region}" is not a region; expected one such as eu-central-1`);
  }
  const filter = take('filter');
  if (filter !== undefined && argument !== '') {
    throw misconfigured(`filter = "${filter}" and the argument "${argument}" are both filters; keep one`);
  }
  const port = take('port');
  const settings = {
    region,
    filters: filters(filter ?? argument),
    endpoint: origin('endpoint', take('endpoint', `https://ec2.${region}.amazonaws.com`)),
    keys: keys(take('access-key'), take('secret-key'), take('session-token')),
    metadata: origin('metadata', take('metadata', METADATA)),
    port: port === undefined ? undefined : number('port', port, 1, 65_535),
    lookAgainMs: number('look-again-ms', take('look-again-ms', '30000'), 1_000, 300_000),
    timeoutMs: number('timeout-ms', take('timeout-ms', '3000'), 100, 8_000),
  };
  return { settings, unknown: [...given.keys()] };
}

/** Names and their values, in order; a repeated name has several values. */
export function filters(text) {
  if (text.trim() === '') {
    throw misconfigured(`"" is not a filter, and would match every machine of the account; ${FILTER_FORM}`);
  }
  const found = new Map();
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*([^=]*[^=\s])\s*=\s*(.*\S)\s*$/.exec(part) ?? [];
    if (name === undefined) {
      throw misconfigured(`"${part}" is not a filter (in "${text}"); ${FILTER_FORM}`);
    }
    found.set(name, [...(found.get(name) ?? []), value]);
  }
  if (found.size > FILTERS_MAX) {
    throw misconfigured(`"${text}" has ${found.size} filters; the limit is ${FILTERS_MAX}`);
  }
  return found;
}

function keys(access, secret, session) {
  if (access === undefined && secret === undefined && session === undefined) {
    return undefined;
  }
  if (!access || !secret) {
    throw misconfigured(`${access ? 'secret-key' : 'access-key'} is not set; set both, or neither to use the machine's role`);
  }
  return { access, secret, session };
}

function origin(key, text) {
  const wrong = (why) =>
    misconfigured(`${key} = "${text}" ${why}; expected one such as https://ec2.eu-central-1.amazonaws.com`);
  let url;
  try {
    url = new URL(text);
  } catch {
    throw wrong('is not a URL');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw wrong('is not an http:// or https:// URL');
  }
  if (url.username !== '' || url.password !== '') {
    // The text is not shown: it may contain a password.
    throw misconfigured(`${key} holds a user; use the settings access-key and secret-key`);
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw wrong('has a path');
  }
  return url.origin;
}

function number(key, text, least, most) {
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
  if (!(least <= value && value <= most)) {
    throw misconfigured(`${key} = "${text}" is not a whole number from ${least} to ${most}`);
  }
  return value;
}
