import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, collide, isLoopback, isWildcard, parseAddress } from './address.ts';

const parsed = (text: string) => {
  const address = parseAddress(text);
  assert.ok(address, text);
  return address;
};

test('An address is a host and a port, the host in lower case and without brackets', () => {
  assert.deepEqual(parsed('Beijing.Example:7101'), { host: 'beijing.example', port: 7101 });
  assert.deepEqual(parsed('[FD00::1]:1'), { host: 'fd00::1', port: 1 });
});

test('Only 127.0.0.0/8, ::1 and localhost are loopback', () => {
  for (const host of ['127.0.0.1', '127.255.255.254', '::1', 'localhost']) assert.ok(isLoopback(host), host);
  for (const host of ['126.0.0.1', '128.0.0.1', '::2', '127.example.com', 'localhost.example.com', '0.0.0.0'])
    assert.ok(!isLoopback(host), host);
});

test('Only 0.0.0.0 and :: are wildcards', () => {
  assert.ok(isWildcard('0.0.0.0') && isWildcard('::'));
  assert.ok(!isWildcard('0.0.0.1') && !isWildcard('::1'));
});

test('localhost and 127.0.0.1 are one address, 127.0.0.2 another', () => {
  assert.equal(addressKey(parsed('localhost:1')), addressKey(parsed('127.0.0.1:1')));
  assert.notEqual(addressKey(parsed('127.0.0.2:1')), addressKey(parsed('127.0.0.1:1')));
});

test('Two sockets collide on one port where their hosts are equal or one covers the other', () => {
  assert.ok(collide(parsed('10.0.0.1:1'), parsed('10.0.0.1:1')));
  assert.ok(collide(parsed('10.0.0.1:1'), parsed('0.0.0.0:1')));
  assert.ok(!collide(parsed('10.0.0.1:1'), parsed('10.0.0.2:1')));
  assert.ok(!collide(parsed('0.0.0.0:1'), parsed('0.0.0.0:2')));
});
