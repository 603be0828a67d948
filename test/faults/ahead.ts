/** `wmb` in a room whose clock is ahead: the environment says by how much. */
const aheadMs = Number(process.env['WMB_TEST_AHEAD_MS']);
const now = Date.now;
Date.now = () => now() + aheadMs;
await import('../../cli/main.ts');
