/**
 * A slave room's database that follows the master's by the servers' own replication. WMB replicates no rows there: it sets replication up on request, and watches
 * it. What has arrived is told by the marks among the replicated rows (`DatabaseStore.marks`); what this port adds is whether more will come.
 */

/**
 * - `following`: both of the server's threads run.
 * - `stopped`: one of them does not, or cannot reach the master; what is missing comes when it runs again.
 * - `diverged`: this database has, or lacks, what no replication will put right; it has to be made anew from the master's.
 * - `not-set-up`: the server follows nobody.
 */
export type ReplicaState = 'following' | 'stopped' | 'diverged' | 'not-set-up';

export interface ReplicaStatus {
  readonly state: ReplicaState;
  /** Why it does not follow, with what to do; empty while it does. */
  readonly reason: string;
  /** Transactions that the master has committed and this server has not; undefined where the master cannot be asked. */
  readonly missing: number | undefined;
  /** When the master wrote the newest heartbeat that has arrived here, by the master's clock; undefined: none has. */
  readonly heartbeatMs: number | undefined;
}

export interface Replication {
  /** In the master room, about once a second. */
  beat(nowMs: number): Promise<void>;
  /** In a slave room. Rejects as the store's other calls do. */
  status(): Promise<ReplicaStatus>;
}
