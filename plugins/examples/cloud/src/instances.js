// Calls DescribeInstances, page by page.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html

import { ask } from './http.js';
import { failed, misconfigured, temporary } from './problems.js';
import { encode, sign } from './signature.js';
import { parse } from './xml.js';

const VERSION = '2016-11-15';
/** Machines per page: about 600 KiB. */
const PAGE = 100;
const PAGES_MAX = 100;

/** The elements that are read of a response, and of an error. */
const WANTED = new Set([
  'DescribeInstancesResponse', 'reservationSet', 'instancesSet', 'item', 'instanceId', 'privateIpAddress',
  'placement', 'availabilityZone', 'nextToken', 'Response', 'ErrorResponse', 'Errors', 'Error', 'Code', 'Message',
]);

const BAD_KEYS = new Set([
  'AuthFailure', 'InvalidClientTokenId', 'MissingAuthenticationToken', 'OptInRequired',
  'SignatureDoesNotMatch', 'UnrecognizedClientException',
]);
const OLD_KEYS = new Set(['ExpiredToken', 'ExpiredTokenException', 'RequestExpired']);
const BUSY = new Set(['RequestLimitExceeded', 'Throttling', 'ThrottlingException']);
const BAD_FILTERS = new Set(['FilterLimitExceeded', 'InvalidFilter', 'InvalidParameterValue']);

/**
 * The machines that match all filters; only running ones, unless a filter selects a state.
 *
 * @returns {Promise<{ machines: { id: string, address: string, zone?: string }[], more: boolean }>}
 */
export async function instances(settings, credentials, send, now) {
  const machines = [];
  let next;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const document = await describe(settings, credentials, send, now, next);
    machines.push(...read(document));
    next = document.first('nextToken');
    if (!next) {
      return { machines, more: false };
    }
  }
  return { machines, more: true };
}

/**
 * The machines of one page. A machine without an address is returned with its id as address: the
 * host drops invalid addresses, and treats a result without valid ones as a failure.
 */
export function read(document) {
  const found = [];
  for (const machine of document.all('reservationSet', 'item', 'instancesSet', 'item')) {
    const id = machine.first('instanceId') ?? '';
    const address = machine.first('privateIpAddress') || id;
    found.push({ id, address, zone: machine.first('placement', 'availabilityZone') });
  }
  return found;
}

/** The request body for one page. */
export function form(filters, next) {
  const pairs = [['Action', 'DescribeInstances'], ['Version', VERSION], ['MaxResults', String(PAGE)]];
  const selected = new Map(filters);
  if (!selected.has('instance-state-name')) {
    selected.set('instance-state-name', ['running']);
  }
  [...selected].forEach(([name, values], at) => {
    pairs.push([`Filter.${at + 1}.Name`, name]);
    values.forEach((value, of) => pairs.push([`Filter.${at + 1}.Value.${of + 1}`, value]));
  });
  if (next) {
    pairs.push(['NextToken', next]);
  }
  return pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
}

async function describe(settings, credentials, send, now, next) {
  const { endpoint, region, timeoutMs } = settings;
  const request = {
    method: 'POST',
    url: `${endpoint}/`,
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: form(settings.filters, next),
  };
  const keys = await credentials.get();
  const headers = await sign(request, keys, { region, service: 'ec2', date: new Date(now()) });
  const answer = await ask(send, { ...request, headers }, timeoutMs);
  let document;
  try {
    document = parse(answer.text, WANTED);
  } catch {
    document = undefined;
  }
  if (answer.status === 200 && document?.name === 'DescribeInstancesResponse') {
    return document;
  }
  throw problem(settings, credentials, keys, answer.status, document);
}

function problem(settings, credentials, keys, status, document) {
  const { endpoint } = settings;
  // Most compatible services omit the list around an error.
  const field = (name) => document?.first('Errors', 'Error', name) ?? document?.first('Error', name);
  const code = field('Code') ?? '';
  const words = [`HTTP ${status}`, code, field('Message')].filter(Boolean).join(' ');
  const whose = credentials.areFetched ? "the role's key" : `access-key "${keys.access}"`;
  if (OLD_KEYS.has(code)) {
    credentials.forget();
    return credentials.areFetched
      ? temporary(`${whose} has expired for ${endpoint} (${words}); fetching it again; check this machine's clock`)
      : misconfigured(`${whose} has expired for ${endpoint} (${words}); set a new one, and check this machine's clock`);
  }
  if (BAD_KEYS.has(code)) {
    credentials.forget();
    const problem = credentials.areFetched ? temporary : misconfigured;
    return problem(`${whose} is rejected by ${endpoint} (${words}); check access-key, secret-key, session-token and region`);
  }
  if (code === 'UnauthorizedOperation' || status === 403) {
    // Policies can be fixed in the cloud: the member waits, and needs no restart.
    return temporary(`${whose} may not list machines in ${endpoint} (${words}); allow it ec2:DescribeInstances`);
  }
  if (BAD_FILTERS.has(code)) {
    return misconfigured(`"${[...settings.filters.keys()].join(', ')}": ${endpoint} does not support this filter (${words})`);
  }
  if (status >= 500 || status === 429 || BUSY.has(code)) {
    return temporary(`${endpoint} returned ${words}`);
  }
  return failed(`${endpoint} returned ${words} for DescribeInstances; check that it is an EC2 endpoint`);
}
