import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerCertificate } from 'node:tls';
import { ControlWriter, certificateNames } from './channel.ts';

test('control messages that nobody takes are bounded in bytes and in count, and room comes back when they are taken', () => {
  const pending: (() => void)[] = [];
  const writer = new ControlWriter<string>({ write: (_, done) => pending.push(done) > 0 });
  const mebibyte = 1024 * 1024;
  for (let i = 0; i < 4; i += 1) assert.equal(writer.write('x', mebibyte), undefined);
  assert.equal(writer.write('x', 1)?.code, 'PEER_UNREACHABLE');
  pending.shift()?.();
  assert.equal(writer.write('x', mebibyte), undefined);
  for (const done of pending.splice(0)) done();
  for (let i = 0; i < 16_384; i += 1) assert.equal(writer.write('x', 1), undefined);
  assert.match(writer.write('x', 1)?.message ?? '', /16384 control messages are waiting/);
});

test('a certificate names a room only by a whole DNS name', () => {
  const certificate = (subjectaltname?: string) => ({ subjectaltname }) as PeerCertificate;
  assert.equal(certificateNames(certificate('DNS:localhost, DNS:beijing'), 'beijing'), true);
  for (const names of ['DNS:beijing-2', 'DNS:*.beijing', 'URI:beijing', 'DNS:"x, DNS:beijing"', undefined]) {
    assert.equal(certificateNames(certificate(names), 'beijing'), false, String(names));
  }
  assert.equal(certificateNames(undefined, 'beijing'), false);
});
