import assert from 'node:assert/strict';
import test from 'node:test';

import { encode, sign } from '../src/signature.js';

// The keys and the date of AWS's published examples.
const KEYS = { access: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const DATE = new Date('2015-08-30T12:36:00Z');
const FORM = 'application/x-www-form-urlencoded';

const signature = async (request, service, keys = KEYS) => {
  const signed = await sign({ headers: {}, body: '', ...request }, keys, { region: 'us-east-1', service, date: DATE });
  return signed.authorization;
};

test('the published request of IAM ListUsers', async () => {
  const url = 'https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08';
  const headers = { 'content-type': `${FORM}; charset=utf-8` };
  assert.equal(
    await signature({ method: 'GET', url, headers }, 'iam'),
    'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, ' +
      'SignedHeaders=content-type;host;x-amz-date, ' +
      'Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
  );
});

test('the published suite: get-vanilla and its queries', async () => {
  const get = (path) => signature({ method: 'GET', url: `https://example.amazonaws.com${path}` }, 'service');
  assert.match(await get('/'), /Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31$/);
  assert.match(
    await get('/?Param2=value2&Param1=value1'),
    /Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500$/,
  );
});

test('the published suite: post-vanilla and post-x-www-form-urlencoded', async () => {
  const url = 'https://example.amazonaws.com/';
  assert.match(
    await signature({ method: 'POST', url }, 'service'),
    /Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b$/,
  );
  const form = { method: 'POST', url, headers: { 'content-type': FORM }, body: 'Param1=value1' };
  assert.match(
    await signature(form, 'service'),
    /Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a$/,
  );
});

test('a session token is sent and signed', async () => {
  const request = { method: 'GET', url: 'https://example.amazonaws.com/', headers: {}, body: '' };
  const signed = await sign(request, { ...KEYS, session: 'AQoD' }, { region: 'us-east-1', service: 'ec2', date: DATE });
  assert.equal(signed['x-amz-security-token'], 'AQoD');
  assert.match(signed.authorization, /SignedHeaders=host;x-amz-date;x-amz-security-token,/);
  assert.equal(signed['x-amz-date'], '20150830T123600Z');
});

test('the port of an endpoint is signed', async () => {
  const at = (url) => signature({ method: 'GET', url }, 'ec2');
  assert.notEqual(await at('http://127.0.0.1:1/'), await at('http://127.0.0.1:2/'));
});

test('encoding leaves only unreserved characters', () => {
  assert.equal(encode("a-._~b c!'()*/:é"), 'a-._~b%20c%21%27%28%29%2A%2F%3A%C3%A9');
});
