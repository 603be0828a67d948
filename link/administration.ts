/** What `wmb link init` asks of the transport that keeps something on servers. */
export interface InboxAdministration {
  /** Makes what is missing for all links into this room and checks what is there; each line says what is done, or in a dry run would be. Rejects as InboxDialer.check. */
  init(options: { readonly dryRun: boolean }): AsyncIterable<string>;
}
