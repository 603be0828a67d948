import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Runtime } from '../core/runtime.ts';
import { CLOCK_DIFFERENCE_MS_MAX, HelloVerifier, signHello } from './identity.ts';
import type { Hello } from './link.ts';

const claim = { from: 'guangzhou', to: 'beijing', topologyEpoch: 3, instance: 'guangzhou-1' };

function clock(): { runtime: Runtime; now: { ms: number } } {
  const now = { ms: 1_000_000_000 };
  let bytes = 0;
  const runtime: Runtime = {
    nowMs: () => now.ms,
    monotonicMs: () => now.ms,
    after: () => ({ cancel() {} }),
    turn: async () => {},
    random: () => 0,
    bytes: (count) => {
      bytes += 1;
      const value = Buffer.alloc(count);
      value.writeUInt32BE(bytes);
      return value;
    },
  };
  return { runtime, now };
}

const refused = { code: 'IDENTITY_REFUSED' };

test('a hello signed with the same secret is accepted, with another secret it is refused', () => {
  const { runtime } = clock();
  const verifier = new HelloVerifier('secret', runtime);
  verifier.verify(signHello(claim, 'secret', runtime));
  assert.throws(() => verifier.verify(signHello(claim, 'other', runtime)), refused);
});

test('changing anything that the proof covers makes the hello worthless', () => {
  const { runtime } = clock();
  const hello = signHello(claim, 'secret', runtime);
  const forged: Hello[] = [
    { ...hello, protocol: 2 },
    { ...hello, from: 'shanghai' },
    { ...hello, to: 'shanghai' },
    { ...hello, topologyEpoch: 4 },
    { ...hello, sentMs: hello.sentMs + 1 },
    { ...hello, nonce: '00' },
    { ...hello, proof: 'short' },
  ];
  for (const attempt of forged)
    assert.throws(() => new HelloVerifier('secret', runtime).verify(attempt), { ...refused, message: /proof does not match/ });
});

test('a hello proves something for its own purpose only', () => {
  const { runtime } = clock();
  const forChecker = signHello({ ...claim, purpose: { name: 'wmb-checker/getStates', protocol: 1 } }, 'secret', runtime);
  const other = { ...refused, message: /proof does not match/ };
  assert.throws(() => new HelloVerifier('secret', runtime).verify(forChecker), other);
  assert.throws(() => new HelloVerifier('secret', runtime).verify(forChecker, 'wmb-checker/derive'), other);
  assert.throws(() => new HelloVerifier('secret', runtime).verify(signHello(claim, 'secret', runtime), 'wmb-checker/derive'), other);
  new HelloVerifier('secret', runtime).verify(forChecker, 'wmb-checker/getStates');
});

test('a hello is accepted once, and when its nonce may be forgotten it is too old', () => {
  const { runtime, now } = clock();
  const verifier = new HelloVerifier('secret', runtime);
  const hello = signHello(claim, 'secret', runtime);
  verifier.verify(hello);
  assert.throws(() => verifier.verify(hello), { ...refused, message: /nonce/ });
  now.ms += CLOCK_DIFFERENCE_MS_MAX;
  assert.throws(() => verifier.verify(hello), { ...refused, message: /nonce/ });
  now.ms += 1;
  assert.throws(() => verifier.verify(hello), { ...refused, message: /clocks differ/ });
});

test('a hello from a clock more than a minute away is refused, either way', () => {
  const { runtime, now } = clock();
  const hello = signHello(claim, 'secret', runtime);
  const verifier = new HelloVerifier('secret', runtime);
  now.ms -= CLOCK_DIFFERENCE_MS_MAX + 1;
  assert.throws(() => verifier.verify(hello), { ...refused, message: /clocks differ by 60 s/ });
  now.ms += 2 * CLOCK_DIFFERENCE_MS_MAX + 2;
  assert.throws(() => verifier.verify(hello), { ...refused, message: /clocks differ by 60 s/ });
  now.ms -= 1;
  verifier.verify(hello);
});

test('without a secret on both sides there is no proof; with one on either side only there is no session', () => {
  const { runtime } = clock();
  const unsigned = signHello(claim, '', runtime);
  assert.equal(unsigned.proof, '');
  new HelloVerifier('', runtime).verify(unsigned);
  assert.throws(() => new HelloVerifier('secret', runtime).verify(unsigned), refused);
  assert.throws(() => new HelloVerifier('', runtime).verify(signHello(claim, 'secret', runtime)), refused);
});

test('the memory for nonces is bounded: beyond it new sessions are refused rather than old nonces forgotten', () => {
  const { runtime, now } = clock();
  const verifier = new HelloVerifier('secret', runtime);
  const first = signHello(claim, 'secret', runtime);
  verifier.verify(first);
  for (let i = 1; i < 65_536; i += 1) verifier.verify(signHello(claim, 'secret', runtime));
  assert.throws(() => verifier.verify(signHello(claim, 'secret', runtime)), { ...refused, message: /65536 hellos/ });
  assert.throws(() => verifier.verify(first), { ...refused, message: /nonce/ });
  now.ms += CLOCK_DIFFERENCE_MS_MAX + 1;
  verifier.verify(signHello(claim, 'secret', runtime));
});
