/** A room whose Redis is in trouble says what, where people and probes look, and goes on by itself when somebody has put it right. */
import { after, test } from 'node:test';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startRedis } from '../containers/redis.ts';
import { cacheWrite, QUICK_LINK, Scene, until } from './scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const FLAGS = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--requirepass', 'secret'];
const PASSWORD = 'WMB_TEST_REDIS_PASSWORD';
process.env[PASSWORD] = 'secret';

test('what is wrong with a room’s Redis is told by /readyz and wmb status, and everything acked is applied afterwards', {
  skip,
}, async () => {
  const redis = await startRedis({ smallDisk: { path: '/data', megabytes: 8 }, flags: FLAGS });
  after(() => redis.remove());
  const cli = (...command: string[]) => redis.container.exec('redis-cli', '--no-auth-warning', '-a', 'secret', ...command);
  const scene = await Scene.open({
    count: 1,
    mode: 'independent',
    partitions: 2,
    roomSettings: {
      link: QUICK_LINK,
      cache: { adapter: 'redis', nodes: [{ address: redis.address }], password: { env: PASSWORD } },
    },
  });
  let submitted = 0;
  const submit = async () => {
    submitted += 1;
    await scene.submit(0, [cacheWrite('n', [['INCR', 'n']])]);
  };
  const readyz = async () => {
    const answer = await fetch(`http://${scene.room(0).collector.http}/readyz`);
    return `${answer.status} ${await answer.text()}`;
  };
  const told = async (what: RegExp) => {
    await until(`/readyz says ${what}`, async () => {
      await submit();
      return what.test(await readyz());
    });
    await until(`wmb status says ${what}`, async () => what.test((await scene.wmb(0, 'status')).stdout.replace(/\s+/g, ' ')));
  };
  const goesOn = async () => {
    await scene.submit(0, [cacheWrite('other', [['SET', 'other', String(submitted)]])], Wait.WAIT_APPLIED);
    await until('everything is applied', async () => (await scene.value(0, 'n')) === String(submitted));
    await until('/readyz says nothing any more', async () => (await readyz()).startsWith('200 '));
  };

  await redis.container.exec('sh', '-c', 'dd if=/dev/zero of=/data/filler bs=64k 2> /dev/null || true');
  await told(/cannot save its data to disk: free space/);
  await redis.container.exec('rm', '/data/filler');
  await goesOn();

  await cli('CONFIG', 'SET', 'requirepass', 'another');
  await redis.container.exec('redis-cli', '--no-auth-warning', '-a', 'another', 'CLIENT', 'KILL', 'TYPE', 'normal');
  await told(/STORE_DENIED: .* refuses the user or its password/);
  await redis.container.exec('redis-cli', '--no-auth-warning', '-a', 'another', 'CONFIG', 'SET', 'requirepass', 'secret');
  await goesOn();

  await redis.container.stop();
  await told(/cannot be reached/);
});
