import { AT_END, runCases } from './rules.fixture.ts';

runCases([
  { name: 'One share, on whatever stores', room: [[AT_END, 'collector: { shares: 1 }']], lines: [] },
  {
    name: 'Several collectors on stores that one process has',
    room: [[AT_END, 'collector: { shares: 2 }']],
    lines: [
      'beijing.yaml:8:22 collector.shares: is 2, but cache.adapter is embedded, and one process has an embedded cache; allowed: 1, or a cache on servers',
      'beijing.yaml:8:22 collector.shares: is 2, but database.adapter is embedded, and one process has an embedded database; allowed: 1, or a database on servers',
    ],
  },
  {
    name: 'Receipts in Kafka of one collector, and without a log there',
    room: [[AT_END, 'collector: { receipts: kafka }']],
    lines: [
      'beijing.yaml:8:24 collector.receipts: is kafka, but collector.shares is 1, and one collector keeps them in a file; allowed: files, or 2 shares and more',
      'beijing.yaml:8:24 collector.receipts: is kafka, but log.adapter is embedded, and receipts are kept beside a log in Kafka; allowed: files, or a log in Kafka',
    ],
  },
  {
    name: 'More shares than partitions',
    room: [[AT_END, 'collector: { shares: 64 }\ncache: { adapter: redis, nodes: [{ address: 127.0.0.1:6379 }] }']],
    lines: [
      "beijing.yaml:8:22 collector.shares: is 64, above the topology's 8 partitions; allowed: at most that",
      'beijing.yaml:8:22 collector.shares: is 64, but database.adapter is embedded, and one process has an embedded database; allowed: 1, or a database on servers',
    ],
  },
]);
