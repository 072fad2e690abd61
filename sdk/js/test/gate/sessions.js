import { createECDH, hkdfSync, randomBytes } from 'node:crypto';
import { PROFILE } from './signature.js';
import { Refused } from './refusal.js';
import { Streams } from './streams.js';

const INFO = Buffer.from('portcullis-1/ecdh-p256/hmac-sha256\0');

/** Opens sessions and keeps them in a map; the daemon seals them into their id instead. */
export class Sessions {
  #byId = new Map();
  lifetime = 3600;

  /** @param {number} now seconds */
  open(text, now) {
    const request = parsed(text);
    const id = randomBytes(24).toString('base64url');
    const expiresAt = Math.floor(now) + this.lifetime;
    const agreed = request.key_agreement === 'ecdh-p256' ? agree(request.public_key) : serverKey(request);
    this.#byId.set(id, { id, key: agreed.key, expiresAt, streams: new Streams(true), suspended: false });
    return {
      session_id: id,
      alg: 'hmac-sha256',
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
}

/** Section 1 of docs/protocol.md, on the gate's side. */
export function deriveKey(serverPrivate, clientPoint, salt) {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(serverPrivate);
  const info = Buffer.concat([INFO, clientPoint, ecdh.getPublicKey()]);
  return Buffer.from(hkdfSync('sha256', ecdh.computeSecret(clientPoint), salt, info, 32));
}

function agree(publicKey) {
  const clientPoint = Buffer.from(publicKey ?? '', 'base64url');
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

function serverKey(request) {
  if (request.key_agreement !== 'server-key') throw new Refused('session-request-malformed');
  const key = randomBytes(32);
  return { key, answer: { key: key.toString('base64url') } };
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new Refused('session-request-malformed');
  }
}
