import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Unreachable } from '../src/http.js';
import { Cloud } from '../src/mode.js';
import { send } from './node-send.js';
import { FakeCloud, KEYS, machine } from './fake-cloud.js';

const OWN_KEYS = [['access-key', KEYS.access], ['secret-key', KEYS.secret]];

let fake;
let lines;

beforeEach(async () => {
  fake = await new FakeCloud().start();
  lines = [];
});
afterEach(() => fake.stop());

function cloud(settings = OWN_KEYS, argument = 'tag:cluster=shop', now = Date.now) {
  const config = {
    argument,
    settings: [['region', 'eu-central-1'], ['endpoint', fake.url], ['metadata', fake.url], ...settings],
  };
  return new Cloud(config, { send, now, log: (...line) => lines.push(line) });
}

const addresses = async (mode) => (await mode.look()).candidates.map(({ address }) => address);

async function problem(mode) {
  try {
    await mode.look();
  } catch (error) {
    assert.ok(error.tag, error.stack);
    return [error.tag, error.message];
  }
  throw new Error('the call succeeded');
}

test('machines by their private address, with zone and id', async () => {
  fake.machines = [machine('i-1', '10.0.0.5'), machine('i-2'), machine('i-3', '10.0.0.6')];
  assert.deepEqual(await cloud([...OWN_KEYS, ['port', '6900'], ['look-again-ms', '5000']]).look(), {
    candidates: [
      { address: '10.0.0.5', port: 6900, attributes: [['instance-id', 'i-1'], ['zone', 'eu-central-1a']] },
      // No address: the host drops it and counts it.
      { address: 'i-2', port: 6900, attributes: [['instance-id', 'i-2'], ['zone', 'eu-central-1a']] },
      { address: '10.0.0.6', port: 6900, attributes: [['instance-id', 'i-3'], ['zone', 'eu-central-1a']] },
    ],
    complete: true,
    lookAgainMs: 5000,
  });
});

test('no machines are an empty snapshot', async () => {
  assert.deepEqual(await addresses(cloud()), []);
});

test('the filters are sent, and running machines are selected', async () => {
  await cloud(OWN_KEYS, 'tag:cluster=a & b,tag:cluster=é,vpc-id=vpc-1').look();
  const [form] = fake.forms;
  assert.deepEqual([...form].filter(([name]) => name.startsWith('Filter')), [
    ['Filter.1.Name', 'tag:cluster'], ['Filter.1.Value.1', 'a & b'], ['Filter.1.Value.2', 'é'],
    ['Filter.2.Name', 'vpc-id'], ['Filter.2.Value.1', 'vpc-1'],
    ['Filter.3.Name', 'instance-state-name'], ['Filter.3.Value.1', 'running'],
  ]);
  await cloud(OWN_KEYS, 'instance-state-name=stopped').look();
  assert.equal(fake.forms[1].get('Filter.2.Name'), null);
});

test('all pages are read', async () => {
  fake.machines = Array.from({ length: 250 }, (_, at) => machine(`i-${at}`, `10.0.${at >> 8}.${at & 255}`));
  const found = await cloud().look();
  assert.equal(found.candidates.length, 250);
  assert.equal(found.complete, true);
  assert.deepEqual(fake.forms.map((form) => form.get('NextToken')), [null, '100', '200']);
});

test('the number of pages is limited, with a warning', async () => {
  fake.machines = Array.from({ length: 10_001 }, () => machine('i', '10.0.0.5'));
  const found = await cloud().look();
  assert.deepEqual([found.candidates.length, found.complete], [10_000, false]);
  assert.equal(lines[0][0], 'warn');
});

test("the role's keys are fetched once, and again before they expire", async () => {
  let time = Date.now();
  const mode = cloud([], undefined, () => time);
  await mode.look();
  await mode.look();
  const fetched = () => fake.requests.filter((line) => line.startsWith('PUT')).length;
  assert.equal(fetched(), 1);
  time += fake.keysLastMs - 60_000;
  await mode.look();
  assert.equal(fetched(), 2);
});

test('expired keys of the role are fetched again', async () => {
  const mode = cloud([]);
  fake.failures = [[400, 'RequestExpired', 'Request has expired.']];
  const [tag, text] = await problem(mode);
  assert.equal(tag, 'temporary');
  assert.match(text, /^the role's key has expired for http:\/\/127\.0\.0\.1/);
  await mode.look();
  assert.equal(fake.requests.filter((line) => line.startsWith('PUT')).length, 2);
});

test('a machine without a role is reported', async () => {
  fake.role = undefined;
  const [tag, text] = await problem(cloud([]));
  assert.equal(tag, 'temporary');
  assert.match(text, /returned no role for this machine; attach one/);
});

test('failures are classified by how the host reacts', async () => {
  const cases = [
    [401, 'AuthFailure', 'misconfigured', /^access-key "AKIDEXAMPLE" is rejected by http/],
    [403, 'SignatureDoesNotMatch', 'misconfigured', /check access-key, secret-key/],
    [400, 'ExpiredToken', 'misconfigured', /^access-key "AKIDEXAMPLE" has expired/],
    [403, 'UnauthorizedOperation', 'temporary', /allow it ec2:DescribeInstances$/],
    [400, 'InvalidParameterValue', 'misconfigured', /^"tag:cluster": http.* does not support this filter/],
    [503, 'RequestLimitExceeded', 'temporary', /returned HTTP 503 RequestLimitExceeded why$/],
    [400, 'Throttling', 'temporary', /returned HTTP 400 Throttling why$/],
    [500, 'InternalError', 'temporary', /HTTP 500/],
    [404, 'Nothing', 'failed', /check that it is an EC2 endpoint$/],
    [200, 'Nothing', 'failed', /check that it is an EC2 endpoint$/],
  ];
  for (const [status, code, tag, words] of cases) {
    fake.failures = [[status, code, 'why']];
    const [found, text] = await problem(cloud());
    assert.equal(found, tag, text);
    assert.match(text, words);
    assert.ok(!text.includes(KEYS.secret));
  }
});

test('the error formats of compatible services are supported', async () => {
  const error = '<Error><Code>AuthFailure</Code><Message>why</Message></Error>';
  for (const shape of [`<ErrorResponse><Errors>${error}</Errors></ErrorResponse>`, `<ErrorResponse>${error}</ErrorResponse>`]) {
    fake.answer = () => [401, shape];
    const [tag, text] = await problem(cloud());
    assert.equal(tag, 'misconfigured');
    assert.match(text, /HTTP 401 AuthFailure why/);
  }
});

test('a wrong secret is rejected', async () => {
  const [tag] = await problem(cloud([['access-key', KEYS.access], ['secret-key', 'wrong']]));
  assert.equal(tag, 'misconfigured');
});

test('an endpoint that is down, and one that does not respond', async () => {
  const down = await new FakeCloud().start();
  await down.stop();
  const [tag, text] = await problem(cloud([...OWN_KEYS, ['endpoint', down.url]]));
  assert.equal(tag, 'temporary');
  assert.match(text, /cannot be reached: ECONNREFUSED$/);

  fake.answer = () => new Promise(() => {});
  const [slow, words] = await problem(cloud([...OWN_KEYS, ['timeout-ms', '100']]));
  assert.equal(slow, 'temporary');
  assert.match(words, /did not respond within 100 ms$/);
});

test('a request that the host denies is reported as denied', async () => {
  const refuse = () => {
    throw new Unreachable('is not granted', true);
  };
  const config = { argument: 'a=b', settings: [['region', 'eu-central-1'], ['metadata', 'http://a:80']] };
  const mode = new Cloud(config, { send: refuse, now: Date.now, log: () => {} });
  assert.deepEqual(await problem(mode), ['denied', 'http://a is not granted']);
});

test('an unknown setting is logged', () => {
  cloud([...OWN_KEYS, ['colour', 'red']]);
  assert.deepEqual(lines, [['warn', 'unknown setting ignored', [['setting', 'colour']]]]);
});
