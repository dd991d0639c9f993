import assert from 'node:assert/strict';
import test from 'node:test';

import { filters, read } from '../src/settings.js';

const REGION = ['region', 'eu-central-1'];

const refused = (argument, ...pairs) => {
  try {
    read(argument, pairs);
  } catch (problem) {
    assert.equal(problem.tag, 'misconfigured', String(problem));
    return problem.message;
  }
  throw new Error(`${argument} ${pairs} was accepted`);
};

test('defaults', () => {
  const { settings, unknown } = read('tag:cluster=shop', [REGION, ['colour', 'red']]);
  assert.equal(settings.endpoint, 'https://ec2.eu-central-1.amazonaws.com');
  assert.equal(settings.metadata, 'http://169.254.169.254');
  assert.deepEqual([settings.port, settings.keys], [undefined, undefined]);
  assert.deepEqual([settings.lookAgainMs, settings.timeoutMs], [30_000, 3_000]);
  assert.deepEqual(unknown, ['colour']);
});

test('filters come from the argument or the setting', () => {
  const expected = new Map([['tag:cluster', ['shop', 'till']], ['vpc-id', ['vpc-1']]]);
  const text = 'tag:cluster=shop, vpc-id = vpc-1,tag:cluster=till';
  assert.deepEqual(read(text, [REGION]).settings.filters, expected);
  assert.deepEqual(read('', [REGION, ['filter', text]]).settings.filters, expected);
  assert.deepEqual(filters('tag:a=b=c'), new Map([['tag:a', ['b=c']]]));
});

test('invalid values are rejected, with the value first', () => {
  const cases = [
    [['tag:a=b'], 'region is not set'],
    [['tag:a=b', ['region', 'EU/1']], 'region = "EU/1" is not a region'],
    [['', REGION], '"" is not a filter'],
    [['tag:a', REGION], '"tag:a" is not a filter (in "tag:a")'],
    [['tag:a=b,', REGION], '"" is not a filter (in "tag:a=b,")'],
    [['=b', REGION], '"=b" is not a filter'],
    [['a= ', REGION], '"a= " is not a filter'],
    [['a=b', REGION, ['filter', 'c=d']], 'filter = "c=d" and the argument "a=b" are both filters'],
    [['a=b', REGION, ['port', '70000']], 'port = "70000" is not a whole number from 1 to 65535'],
    [['a=b', REGION, ['look-again-ms', '1e9']], 'look-again-ms = "1e9" is not'],
    [['a=b', REGION, ['endpoint', 'ec2.example']], 'endpoint = "ec2.example" is not a URL'],
    [['a=b', REGION, ['endpoint', 'ftp://ec2.example']], 'endpoint = "ftp://ec2.example" is not an http:// or https:// URL'],
    [['a=b', REGION, ['metadata', 'http://a/latest']], 'metadata = "http://a/latest" has a path'],
    [['a=b', REGION, ['access-key', 'AK']], 'secret-key is not set'],
    [['a=b', REGION, ['secret-key', 'hunter2']], 'access-key is not set'],
    [['a=b', REGION, ['session-token', 'x']], 'access-key is not set'],
  ];
  for (const [given, expected] of cases) {
    const text = refused(...given);
    assert.ok(text.startsWith(expected), `${text}\n${expected}`);
    assert.ok(!text.includes('hunter2'));
  }
  assert.ok(!refused('a=b', REGION, ['endpoint', 'http://me:hunter2@a']).includes('hunter2'));
  const many = Array.from({ length: 51 }, (_, at) => `tag:${at}=x`).join(',');
  assert.match(refused(many, REGION), /the limit is 50/);
});
