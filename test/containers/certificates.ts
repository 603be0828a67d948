/** An authority of the tests' own and what it signs, made with openssl where the tests run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc'];
const DAYS = '2';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export class Authority {
  readonly #directory: string;
  readonly caFile: string;

  constructor(name = 'an authority of the tests') {
    this.#directory = mkdtempSync(join(tmpdir(), 'wmb-ca-'));
    this.caFile = this.#at('ca.pem');
    this.#run('req', '-x509', ...KEY, '-keyout', this.#at('ca.key'), '-out', this.caFile, '-days', DAYS, '-subj', `/CN=${name}`);
  }

  get ca(): Buffer {
    return readFileSync(this.caFile);
  }

  /** `names`: as openssl writes them, `IP:127.0.0.1`, `DNS:redis.example`. `days` below 0: it has expired. */
  sign(name: string, names: readonly string[], days = DAYS): Certificate {
    const [keyFile, request, certFile, extensions] = ['key', 'csr', 'pem', 'ext'].map((end) => this.#at(`${name}.${end}`)) as [
      string,
      string,
      string,
      string,
    ];
    writeFileSync(extensions, `subjectAltName=${names.join()}\n`);
    this.#run('req', ...KEY, '-keyout', keyFile, '-out', request, '-subj', `/CN=${name}`);
    const authority = ['-CA', this.caFile, '-CAkey', this.#at('ca.key'), '-CAcreateserial'];
    this.#run('x509', '-req', '-in', request, ...authority, '-out', certFile, '-days', days, '-extfile', extensions);
    return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }

  #at(file: string): string {
    return join(this.#directory, file);
  }

  #run(...args: string[]): void {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }
}
