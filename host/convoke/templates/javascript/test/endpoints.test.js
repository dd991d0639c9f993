import assert from 'node:assert/strict';
import test from 'node:test';

import { ENDPOINTS_MAX, parse } from '../src/endpoints.js';

test('addresses with and without a port', () => {
  assert.deepEqual(parse('10.0.0.5, 10.0.0.5:6900,[fd00::5]:6901,[fd00::5],FD00:0::6,10.0.0.5'), [
    { address: '10.0.0.5' },
    { address: '10.0.0.5', port: 6900 },
    { address: 'fd00::5', port: 6901 },
    { address: 'fd00::5' },
    { address: 'FD00:0::6' },
  ]);
});

test('an invalid address is rejected, with the value first', () => {
  const cases = [
    ['', 'has no IP address'],
    ['db.example:6900', 'has no IP address'],
    ['10.0.0.300', 'has no IP address'],
    ['10.0.0', 'has no IP address'],
    ['10.0.0.05', 'has no IP address'],
    ['fe80::1%2', 'has no IP address'],
    ['fd00::5::6', 'has no IP address'],
    ['[10.0.0.5]', 'has no IP address'],
    ['[fd00::5', 'has no IP address'],
    ['[fd00::5]6900', 'has no IP address'],
    ['10.0.0.5:', 'has no port'],
    ['10.0.0.5:0', 'has no port'],
    ['10.0.0.5:70000', 'has no port'],
    ['[fd00::5]:x', 'has no port'],
  ];
  for (const [wrong, why] of cases) {
    assert.throws(() => parse(`10.0.0.1,${wrong}`), ({ message }) => {
      assert.ok(message.startsWith(`"${wrong}" ${why}`), message);
      return true;
    });
  }
});

test('the length of the list is limited', () => {
  assert.throws(() => parse(Array(ENDPOINTS_MAX + 1).fill('10.0.0.5').join()), /at most 1024/);
});
