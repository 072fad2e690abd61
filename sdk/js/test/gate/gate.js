/**
 * A gate for tests: speaks docs/protocol.md, keeps everything in memory, can be told to misbehave. Not a product: no
 * limits, no rules, no bans.
 */

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { Refused } from './refusal.js';
import { Sessions } from './sessions.js';
import { PROFILE, checkCoverage, checkDigest, checkSignature, checkTime, presentedSignature } from './signature.js';
import { presentedTicket } from './ticket.js';

const OWN = '/.well-known/portcullis/';
const DIST = new URL('../../dist/', import.meta.url);
const CLIENTS = { 'client.js': 'portcullis.js', 'client.mjs': 'portcullis.mjs', 'work.js': 'portcullis.work.js' };

/**
 * @param {{ upstream: string | Function, isProtected?: (path: string) => boolean }} options `upstream` is a base URL, or a
 *   function from the request to `{ status, headers, body }`
 */
export async function startGate({ upstream, isProtected = () => true }) {
  const gate = new Gate(upstream, isProtected);
  const server = createServer((req, res) => gate.serve(req, res));
  server.on('upgrade', (req, socket, head) => gate.upgrade(req, socket, head));
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
  /** Paths that pass although their session is suspended, and restore it. */
  loginPath = undefined;
  /** Seconds for Retry-After. */
  retryAfter = 7;
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
    const request = { ...headOf(req), body: await bytesOf(req) };
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
    return this.forward(this.isProtected(path) ? this.judge(request) : request, res);
  }

  /** Judges the opening of a WebSocket and becomes a pipe. */
  upgrade(req, socket, head) {
    try {
      const request = this.judge({ ...headOf(req), body: Buffer.alloc(0) });
      const { hostname, port } = new URL(this.upstream);
      const onward = connect(port, hostname, () => onward.write(Buffer.concat([asText(request), head])));
      onward.pipe(socket).pipe(onward);
      for (const end of [onward, socket]) end.on('error', () => socket.destroy());
    } catch (error) {
      this.refused.push(error.code);
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n');
    }
  }

  /** The request as it goes on: without its ticket. */
  judge(presented) {
    const ticket = presentedTicket(presented);
    const isNavigation = presented.fields['sec-fetch-mode'] === 'navigate';
    if (isNavigation && !ticket) throw new Refused('navigation-refused');
    const { request, signature } = ticket ?? {
      request: presented,
      signature: presentedSignature(presented.headers),
    };
    checkCoverage(request, signature);
    const session = this.sessions.find(signature.parameters.get('keyid'), this.now());
    checkSignature(request, signature, session);
    const forced = this.refuseIf({ ...request, nonce: signature.nonce, session });
    if (forced) throw new Refused(forced, { session });
    checkTime(signature, this.now());
    checkDigest(request);
    this.checkSuspension(session, request);
    this.takeNonce(session, signature);
    return request;
  }

  checkSuspension(session, { target }) {
    if (target === this.loginPath) session.suspended = false;
    if (!session.suspended) return;
    const reauthenticate = this.loginPath ? 'login' : 'session';
    throw new Refused('reauthentication-required', { members: { reauthenticate } });
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
      const { status = 200, headers = {}, body = '', stream } = (await this.upstream(request)) ?? {};
      return stream ? stream(res.writeHead(status, headers)) : send(res, status, headers, body);
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
      ...extra.members,
    };
    const headers = { 'content-type': 'application/problem+json' };
    if (status === 429 || status === 503) headers['retry-after'] = `${this.retryAfter}`;
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

function headOf({ method, url, rawHeaders, headers }) {
  return { method, target: url, headers: pairs(rawHeaders), fields: headers };
}

function asText({ method, target, headers }) {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
}

function pairs(raw) {
  return Array.from({ length: raw.length / 2 }, (_, index) => [raw[2 * index], raw[2 * index + 1]]);
}

async function bytesOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
