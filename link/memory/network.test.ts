import { systemRuntime } from '../../core/runtime.ts';
import { linkContract } from '../link.contract.ts';
import { MemoryNetwork } from './network.ts';

linkContract('memory link', async (host) => {
  const network = new MemoryNetwork(systemRuntime);
  const close = network.listen('beijing:1', host);
  return { dialer: network, address: 'beijing:1', nowhere: 'nowhere:1', close: async () => close() };
});

linkContract('memory link on a slow and uneven line', async (host) => {
  let turn = 0;
  const network = new MemoryNetwork(systemRuntime, {
    fate: () => {
      turn += 1;
      return (turn * 7) % 5;
    },
  });
  const close = network.listen('beijing:1', host);
  return { dialer: network, address: 'beijing:1', nowhere: 'nowhere:1', close: async () => close() };
});
