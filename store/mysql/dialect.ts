/** Where MySQL and MariaDB differ. Everything else in this folder is the same for both. */
export type Flavour = 'mysql' | 'mariadb';

export interface Dialect {
  readonly flavour: Flavour;
  /** As people say it, with the version. */
  readonly product: string;
  /** Major and minor. */
  readonly version: readonly [number, number];
  readonly versionMin: readonly [number, number];
  /** The name by which an upsert's new row is known behind its VALUES; empty where there is none. */
  readonly newRowAlias: string;
  /** What the upsert would have put into a column. */
  readonly incoming: (column: string) => string;
  /** A cryptographic hash as hex digits, at least 16 of them. MySQL 9.6 has no MD5 of its own any more, and for MariaDB it is the fastest. */
  readonly hash: (value: string) => string;
}

/** From what `SELECT VERSION()` says: `9.7.4-2`, `11.8.3-MariaDB-0+deb13u1`. */
export function dialectOf(versionText: string): Dialect {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(versionText) ?? [];
  const version = [Number(major), Number(minor)] as const;
  if (/mariadb/i.test(versionText)) {
    const incoming = (column: string) => `VALUES(${column})`;
    return {
      flavour: 'mariadb',
      product: `MariaDB ${major}.${minor}`,
      version,
      versionMin: [10, 11],
      newRowAlias: '',
      incoming,
      hash: (value) => `MD5(${value})`,
    };
  }
  // VALUES() has been deprecated there since 8.0.20, and MariaDB does not know the alias.
  const incoming = (column: string) => `wmb_new.${column}`;
  return {
    flavour: 'mysql',
    product: `MySQL ${major}.${minor}`,
    version,
    versionMin: [8, 4],
    newRowAlias: ' AS wmb_new',
    incoming,
    hash: (value) => `SHA2(${value}, 256)`,
  };
}

export function isOlder(version: readonly [number, number], than: readonly [number, number]): boolean {
  return version[0] < than[0] || (version[0] === than[0] && version[1] < than[1]);
}
