/**
 * Verifies signatures of profile `portcullis-1`. Written from RFC 9421 and docs/protocol.md for the tests, and shares no
 * code with the SDK: fields are parsed by `structured-headers`, MACs come from node:crypto.
 */

import { createHash, createHmac, timingSafeEqual, verify } from 'node:crypto';
import { isInnerList, parseDictionary, serializeInnerList } from 'structured-headers';
import { Refused } from './refusal.js';

export const PROFILE = {
  tag: 'portcullis-1',
  components: ['@method', '@authority', '@path', '@query'],
  body_components: ['content-digest', 'content-type'],
  digest: 'sha-256',
  max_age: 30,
};

export const TICKET_TAG = 'portcullis-ticket-1';

const MAX_AHEAD = 5;
const isText = (value) => typeof value === 'string';
const PARAMETERS = {
  created: Number.isInteger,
  nonce: isText,
  keyid: isText,
  alg: isText,
  expires: (value) => value === undefined || Number.isInteger(value),
};
const NONCE = /^(~?[A-Za-z0-9_-]{8,32})\.(0|[1-9]\d{0,14})$/;

/**
 * The one signature with our tag, its form checked.
 * @param {Array<[string, string]>} headers in the order and with the repetitions of the wire
 */
export function presentedSignature(headers, tag = PROFILE.tag) {
  const inputs = dictionary(headers, 'signature-input');
  const signatures = dictionary(headers, 'signature');
  const ours = [...inputs].filter(([, member]) => member[1]?.get('tag') === tag);
  if (ours.length === 0) throw new Refused('signature-required');
  if (ours.length > 1) throw new Refused('signature-ambiguous');
  const [label, member] = ours[0];
  const mac = signatures.get(label)?.[0];
  if (!isInnerList(member) || !(mac instanceof ArrayBuffer)) throw new Refused('signature-malformed');
  const [items, parameters] = member;
  for (const [name, isWellFormed] of Object.entries(PARAMETERS)) {
    if (!isWellFormed(parameters.get(name))) throw new Refused('signature-malformed', { why: name });
  }
  const nonce = NONCE.exec(parameters.get('nonce'));
  if (!nonce || Number(nonce[2]) >= 2 ** 48) throw new Refused('signature-malformed', { why: 'nonce' });
  return {
    label,
    components: items.map(componentName),
    parameters,
    nonce: { stream: nonce[1], counter: Number(nonce[2]) },
    mac: Buffer.from(mac),
    input: serializeInnerList(member),
  };
}

/** The base of RFC 9421 section 2.5. */
export function signatureBase(request, { components, input }) {
  const lines = components.map((name) => `"${name}": ${valueOf(request, name)}`);
  return [...lines, `"@signature-params": ${input}`].join('\n');
}

export function macOf(key, base) {
  return createHmac('sha256', key).update(base, 'latin1').digest();
}

export function checkCoverage(request, { components }) {
  const wanted = [...PROFILE.components];
  if (request.body.length > 0 && !request.isTicket) {
    wanted.push('content-digest');
    if (fieldLines(request.headers, 'content-type').length > 0) wanted.push('content-type');
    if (fieldLines(request.headers, 'content-digest').length === 0) throw new Refused('digest-required');
  }
  const missing = wanted.find((name) => !components.includes(name));
  if (missing) throw new Refused('signature-incomplete', { why: missing });
}

/** @param {{ alg: string, key: Buffer | import('node:crypto').KeyObject }} session */
export function checkSignature(request, signature, { alg, key }) {
  const base = signatureBase(request, signature);
  const matches = alg === 'hmac-sha256' ? equals(macOf(key, base), signature.mac) : verifies(key, base, signature.mac);
  if (signature.parameters.get('alg') !== alg || !matches) throw new Refused('signature-invalid');
}

function equals(expected, given) {
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function verifies(key, base, signature) {
  const hash = key.asymmetricKeyType === 'ec' ? 'sha256' : null;
  return verify(hash, Buffer.from(base, 'latin1'), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

/** @param {number} now seconds */
export function checkTime({ parameters }, now) {
  const created = parameters.get('created');
  const expires = Math.min(parameters.get('expires') ?? Infinity, created + PROFILE.max_age);
  if (created > now + MAX_AHEAD) throw new Refused('signature-from-future');
  if (now > expires) throw new Refused('signature-expired');
}

export function checkDigest({ headers, body, isTicket }) {
  if (body.length === 0 || isTicket) return;
  const digest = dictionary(headers, 'content-digest').get('sha-256')?.[0];
  if (!(digest instanceof ArrayBuffer)) throw new Refused('digest-required');
  const actual = createHash('sha256').update(body).digest();
  if (!actual.equals(Buffer.from(digest))) throw new Refused('digest-mismatch');
}

function componentName([name, parameters]) {
  if (typeof name !== 'string' || parameters.size > 0) throw new Refused('signature-malformed', { why: 'component' });
  return name;
}

function valueOf({ method, target, headers, scheme = 'http' }, name) {
  const queryStart = target.indexOf('?');
  const [path, query] = queryStart < 0 ? [target, ''] : [target.slice(0, queryStart), target.slice(queryStart + 1)];
  switch (name) {
    case '@method':
      return method;
    case '@authority':
      return authority(headers, scheme);
    case '@path':
      return path || '/';
    case '@query':
      return `?${query}`;
    default: {
      const lines = fieldLines(headers, name);
      if (name.startsWith('@') || lines.length === 0) throw new Refused('signature-malformed', { why: name });
      return lines.map((line) => line.trim()).join(', ');
    }
  }
}

function authority(headers, scheme) {
  const host = fieldLines(headers, 'host')[0].trim().toLowerCase();
  const defaultPort = scheme === 'https' ? ':443' : ':80';
  return host.endsWith(defaultPort) ? host.slice(0, -defaultPort.length) : host;
}

function fieldLines(headers, name) {
  return headers.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
}

function dictionary(headers, name) {
  const text = fieldLines(headers, name).join(', ');
  refuseDuplicateLabels(text);
  try {
    return parseDictionary(text);
  } catch {
    throw new Refused('signature-malformed', { why: name });
  }
}

/** Structured fields let the last of equal keys win; a signature must not have any. */
function refuseDuplicateLabels(text) {
  const bare = text
    .replace(/"(?:[^"\\]|\\.)*"/g, '')
    .replace(/\([^)]*\)/g, '')
    .replace(/:[^:]*:/g, '');
  const labels = bare.split(',').map((member) => member.split(/[=;]/)[0].trim());
  if (new Set(labels).size < labels.length) throw new Refused('signature-ambiguous');
}
