/** How much one call to a peer's checker may ask for. Who asks keeps to it by splitting; who answers refuses more. */
export const PEER_LIMITS = {
  /** Nodes whose children are asked for. */
  parents: 256,
  buckets: 256,
  keys: 256,
  ranges: 256,
  /** Seqs in a range of receipts. */
  seqs: 1_024,
  /** Write requests to find, or to derive effects of. */
  writes: 64,
  /** Looking for a request id. Below the deadline of a call. */
  searchMs: 4_000,
} as const;
