/** What Node's TLS says of a server, told in WMB's words. The only place that looks at its texts: client libraries overwrite its codes. */

const CA_FILE = 'put the authority that signed it into tls.caFile';

const TELLINGS: readonly (readonly [said: RegExp, telling: string])[] = [
  [
    /self.signed certificate|unable to (?:verify|get)|certificate signature failure/i,
    `shows a certificate that is not signed by an authority of tls.caFile; ${CA_FILE}`,
  ],
  [
    /does not match certificate's altnames|altnames/i,
    'shows a certificate that is for other names than the address that is configured; connect by a name that is in it, or give the server one with this name',
  ],
  [/certificate has expired/i, 'shows a certificate that has expired; renew it'],
  [/certificate is not yet valid/i, 'shows a certificate that is not valid yet; set the clocks right, or renew it'],
  [/alert certificate required|alert handshake failure/i, 'wants a certificate of its clients: set tls.certFile and tls.keyFile'],
  [
    /alert unknown ca|alert bad certificate/i,
    'does not trust the certificate of tls.certFile; have it signed by an authority that the server trusts',
  ],
  [
    /wrong version number|packet length too long|does not support secure connection/i,
    'does not speak TLS here; leave out `tls`, or turn TLS on in the server',
  ],
];

/** What follows the server's name in a sentence; undefined where it is not TLS that failed. */
export function tlsTrouble(said: string): string | undefined {
  return TELLINGS.find(([text]) => text.test(said))?.[1];
}
