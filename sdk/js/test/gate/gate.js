/**
 * A gate for tests: speaks docs/protocol.md, keeps everything in memory, can be told to misbehave. Not a product: no
 * limits, no rules, no bans.
 */

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { Refused } from './refusal.js';
import { Sessions } from './sessions.js';
import { PROFILE, checkCoverage, checkDigest, checkMac, checkTime, presentedSignature } from './signature.js';

const OWN = '/.well-known/portcullis/';
const DIST = new URL('../../dist/', import.meta.url);
const CLIENTS = { 'client.js': 'portcullis.js', 'client.mjs': 'portcullis.mjs' };

/**
 * @param {{ upstream: string | Function, isProtected?: (path: string) => boolean }} options `upstream` is a base URL, or a
 *   function from the request to `{ status, headers, body }`
 */
export async function startGate({ upstream, isProtected = () => true }) {
  const gate = new Gate(upstream, isProtected);
  const server = createServer((req, res) => gate.serve(req, res));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  gate.origin = `http://localhost:${server.address().port}`;
  gate.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return gate;
}

class Gate {
  sessions = new Sessions();
  /** Seconds that this gate's clock is ahead of the machine's. */
  clockOffset = 0;
  /** Offers the same nonce to all calls that it challenges. */
  repeatsOffers = false;
  /** Nonces of the calls that passed, in order. */
  accepted = [];
  /** Problem names of the calls that did not. */
  refused = [];
  /** Calls to refuse as if: takes (request) and returns a problem name or nothing. */
  refuseIf = () => undefined;
  /** Called before a session is opened; may throw Refused or wait. */
  beforeOpening = async () => {};

  constructor(upstream, isProtected) {
    this.upstream = upstream;
    this.isProtected = isProtected;
  }

  now() {
    return Date.now() / 1000 + this.clockOffset;
  }

  restart() {
    this.sessions.forgetStreams();
  }

  async serve(req, res) {
    const request = {
      method: req.method,
      target: req.url,
      headers: pairs(req.rawHeaders),
      fields: req.headers,
      body: await bytesOf(req),
    };
    try {
      await this.answer(request, res);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error, res);
    }
  }

  async answer(request, res) {
    const path = request.target.split('?')[0];
    if (path.startsWith(OWN)) return this.serveOwn(path.slice(OWN.length), request, res);
    if (this.isProtected(path)) this.judge(request);
    return this.forward(request, res);
  }

  judge(request) {
    if (request.fields['sec-fetch-mode'] === 'navigate') throw new Refused('navigation-refused');
    const signature = presentedSignature(request.headers);
    checkCoverage(request, signature);
    const session = this.sessions.find(signature.parameters.get('keyid'), this.now());
    checkMac(request, signature, session.key);
    const forced = this.refuseIf({ ...request, nonce: signature.nonce, session });
    if (forced) throw new Refused(forced, { session });
    checkTime(signature, this.now());
    checkDigest(request);
    if (session.suspended) throw new Refused('reauthentication-required');
    this.takeNonce(session, signature);
  }

  takeNonce(session, { nonce }) {
    try {
      session.streams.accept(nonce);
    } catch (error) {
      error.extra = { session };
      throw error;
    }
    this.accepted.push(`${session.id} ${nonce.stream}.${nonce.counter}`);
  }

  async serveOwn(name, request, res) {
    if (name === 'session' && request.method === 'POST') {
      await this.beforeOpening();
      const answer = this.sessions.open(request.body.toString(), this.now());
      return send(
        res,
        201,
        { 'content-type': 'application/json', 'cache-control': 'no-store' },
        JSON.stringify(answer),
      );
    }
    if (!Object.hasOwn(CLIENTS, name)) throw new Refused('not-found');
    return send(res, 200, { 'content-type': 'text/javascript' }, await readFile(new URL(CLIENTS[name], DIST)));
  }

  async forward(request, res) {
    if (typeof this.upstream === 'function') {
      const { status = 200, headers = {}, body = '' } = (await this.upstream(request)) ?? {};
      return send(res, status, headers, body);
    }
    return proxy(this.upstream, request, res);
  }

  refuse({ code, status, extra }, res) {
    this.refused.push(code);
    const serverTime = Math.round(this.now() * 1000) / 1000;
    const document = {
      type: `${OWN}problems/${code}`,
      title: code.replaceAll('-', ' '),
      status,
      detail: `refused: ${extra.why ?? code}`,
      ref: randomBytes(6).toString('hex'),
      ...(status === 401 && { server_time: serverTime }),
    };
    const headers = { 'content-type': 'application/problem+json' };
    if (code === 'quota-exceeded') headers['retry-after'] = '7';
    if (status === 401) Object.assign(headers, this.challenge(code, extra.session));
    send(res, status, headers, JSON.stringify(document));
  }

  challenge(code, session) {
    const names = PROFILE.components.map((name) => `"${name}"`).join(' ');
    const offer = code === 'fresh-nonce-required' ? `;nonce="${session.streams.offer(this.repeatsOffers)}"` : '';
    const keyid = session ? `;keyid="${session.id}"` : '';
    return {
      'www-authenticate': `Signature realm="portcullis", profile="${PROFILE.tag}"`,
      'accept-signature': `portcullis=(${names});created${keyid};alg="hmac-sha256"${offer};tag="${PROFILE.tag}"`,
    };
  }
}

function proxy(upstream, { method, target, headers, body }, res) {
  const { hostname, port } = new URL(upstream);
  return new Promise((resolve) => {
    const onward = httpRequest({ hostname, port, method, path: target, headers: headers.flat() }, (answer) => {
      res.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(res).on('finish', resolve);
    });
    onward.end(body);
  });
}

function send(res, status, headers, body) {
  res.writeHead(status, headers);
  res.end(body);
}

function pairs(raw) {
  return Array.from({ length: raw.length / 2 }, (_, index) => [raw[2 * index], raw[2 * index + 1]]);
}

async function bytesOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
