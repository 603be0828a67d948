/** Listeners that want to hear of appends. */
export class Listeners {
  readonly #listeners = new Set<(partition: number) => void>();

  add(listener: (partition: number) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  call(partition: number): void {
    for (const listener of this.#listeners) listener(partition);
  }
}
