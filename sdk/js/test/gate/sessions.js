import { createECDH, createPublicKey, hkdfSync, randomBytes } from 'node:crypto';
import { PROFILE } from './signature.js';
import { Refused } from './refusal.js';
import { Streams } from './streams.js';
import { Work } from './work.js';

const AGREEMENTS = { 'ecdh-p256': agree, 'server-key': serverKey, 'public-key': publicKey };
const INFO = Buffer.from('portcullis-1/ecdh-p256/hmac-sha256\0');

/** Opens sessions and keeps them in a map; the daemon seals them into their id instead. */
export class Sessions {
  #byId = new Map();
  lifetime = 3600;
  work = new Work();

  /** @param {number} now seconds */
  open(text, now) {
    const request = parsed(text);
    const id = randomBytes(24).toString('base64url');
    const expiresAt = Math.floor(now) + this.lifetime;
    const agreed = (AGREEMENTS[request.key_agreement] ?? refuse)(request);
    this.work.check(request.work);
    const { alg = 'hmac-sha256', key } = agreed;
    this.#byId.set(id, { id, alg, key, expiresAt, streams: new Streams(true), suspended: false });
    return {
      session_id: id,
      alg,
      key_agreement: request.key_agreement,
      ...agreed.answer,
      expires_at: expiresAt,
      server_time: now,
      profile: PROFILE,
    };
  }

  /** @param {number} now seconds */
  find(id, now) {
    const session = this.#byId.get(id);
    if (!session || now > session.expiresAt) throw new Refused('session-invalid');
    return session;
  }

  get count() {
    return this.#byId.size;
  }

  forget() {
    this.#byId.clear();
  }

  /** What was seen of each session is lost, as after a restart of the daemon. */
  forgetStreams() {
    for (const session of this.#byId.values()) session.streams = new Streams(false);
  }

  suspend() {
    for (const session of this.#byId.values()) session.suspended = true;
  }

  /** As the application's login does. */
  restore() {
    for (const session of this.#byId.values()) session.suspended = false;
  }
}

/** Section 1 of docs/protocol.md, on the gate's side. */
export function deriveKey(serverPrivate, clientPoint, salt) {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(serverPrivate);
  const info = Buffer.concat([INFO, clientPoint, ecdh.getPublicKey()]);
  return Buffer.from(hkdfSync('sha256', ecdh.computeSecret(clientPoint), salt, info, 32));
}

function agree({ public_key: given }) {
  const clientPoint = Buffer.from(given ?? '', 'base64url');
  const ecdh = createECDH('prime256v1');
  ecdh.generateKeys();
  const salt = randomBytes(32);
  try {
    const key = deriveKey(ecdh.getPrivateKey(), clientPoint, salt);
    return { key, answer: { public_key: ecdh.getPublicKey('base64url'), salt: salt.toString('base64url') } };
  } catch {
    throw new Refused('session-request-malformed');
  }
}

function serverKey() {
  const key = randomBytes(32);
  return { key, answer: { key: key.toString('base64url') } };
}

function publicKey({ alg, public_key: given }) {
  const bytes = Buffer.from(given ?? '', 'base64url');
  const half = (start) => bytes.subarray(start, start + 32).toString('base64url');
  const jwk =
    alg === 'ed25519'
      ? { kty: 'OKP', crv: 'Ed25519', x: half(0) }
      : { kty: 'EC', crv: 'P-256', x: half(1), y: half(33) };
  try {
    return { alg, key: createPublicKey({ key: jwk, format: 'jwk' }), answer: {} };
  } catch {
    return refuse();
  }
}

function refuse() {
  throw new Refused('session-request-malformed');
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new Refused('session-request-malformed');
  }
}
