/** MySQL servers that die, are gone for minutes, refuse writes, and answers of commits that are lost. */
import { until } from '../e2e/scene.ts';
import type { Story } from './stories.ts';

export const MYSQL_STORIES: readonly Story[] = [
  {
    name: 'the MySQL of the master room is killed in the middle of transactions',
    async happens(arena) {
      for (let times = 0; times < 2; times += 1) {
        await arena.messages.more(600);
        await arena.server(0).mysql.container.kill();
        await arena.pause(1_000);
        await arena.server(0).mysql.container.start();
      }
    },
  },
  {
    name: 'the MySQL of the slave room is killed, and its replication goes on when it is back',
    async happens(arena) {
      await arena.messages.reached(0.4);
      await arena.server(1).mysql.container.kill();
      await arena.messages.more(400);
      await arena.server(1).mysql.container.start();
    },
  },
  {
    name: 'the MySQL of the master room is gone for two minutes: the caches of the slave room go on',
    async happens(arena) {
      await arena.messages.reached(0.2);
      await arena.server(0).mysql.container.kill();
      await arena.pause(120_000);
      await arena.server(0).mysql.container.start();
    },
  },
  {
    name: 'answers of commits are lost, and the line to MySQL is silent, and then cut, while transactions are under way',
    async happens(arena) {
      const { mysqlProxy } = arena.server(0);
      for (let times = 1; times <= 8; times += 1) {
        await arena.messages.more(100);
        mysqlProxy.loseAnswerTo((packet) => packet.includes('COMMIT'));
        await until('the answer to a commit is lost', async () => mysqlProxy.broken === times);
        await arena.messages.more(100);
        mysqlProxy.hold();
        await arena.pause(300);
        mysqlProxy.cut();
        mysqlProxy.heal();
      }
    },
  },
  {
    name: 'the master’s MySQL is read-only for a while, as in a failover',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(0).sql('SET GLOBAL super_read_only = ON');
      await arena.messages.more(400);
      await arena.server(0).sql('SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF');
    },
  },
  {
    name: 'replication to the slave database stands still for ten seconds',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).sql('STOP REPLICA');
      await arena.pause(10_000);
      await arena.server(1).sql('START REPLICA');
    },
  },
];
