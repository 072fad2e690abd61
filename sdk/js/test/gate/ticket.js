import { createHash } from 'node:crypto';
import { Refused } from './refusal.js';
import { TICKET_TAG, presentedSignature } from './signature.js';

const VALUE = /^([\w-]+)\.([\w-]+)$/;

/**
 * The signature in the query, and the request as it is without it; nothing if there is no ticket.
 * @param {{ method: string, target: string, headers: Array<[string, string]>, body: Buffer }} request
 */
export function presentedTicket(request) {
  const [, before, value] = /^(.*)[?&]portcullis-ticket=([^&]*)$/.exec(request.target) ?? [];
  if (value === undefined) return undefined;
  const [, input, mac] = VALUE.exec(value) ?? [];
  if (!input || !['GET', 'POST'].includes(request.method)) throw new Refused('ticket-refused');
  const fields = [
    ['signature-input', `t=${Buffer.from(input, 'base64url').toString('latin1')}`],
    ['signature', `t=:${Buffer.from(mac, 'base64url').toString('base64')}:`],
  ];
  const signature = presentedSignature(fields, TICKET_TAG);
  const { parameters } = signature;
  const lifetime = parameters.get('expires') - parameters.get('created');
  if (!(lifetime <= 30)) throw new Refused('signature-malformed', { why: 'expires' });
  const digest = `sha-256=:${createHash('sha256').update(request.body).digest('base64')}:`;
  if (request.body.length > 0 && parameters.get('digest') !== digest) throw new Refused('digest-mismatch');
  return { signature, request: { ...request, target: before, isTicket: true } };
}
