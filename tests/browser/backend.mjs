/**
 * The application behind the gate: a page with Backbone and an API, kept in memory. It knows nothing of signatures. First
 * line on stdout: `{"port": N, "url": "http://127.0.0.1:N"}`.
 */

import { fileURLToPath } from 'node:url';
import express from 'express';
import { WebSocketServer } from 'ws';
import { examples, isForWorkers } from './examples.mjs';
import { orders } from './orders.mjs';

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'";
const pathOf = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const seen = [];

const app = express();
app.disable('x-powered-by');
app.use((request, response, next) => {
  const workers = request.path.startsWith('/no-worker/') ? "; worker-src 'none'" : '';
  response.set('content-security-policy', POLICY + workers);
  next();
});
app.use('/', express.static(pathOf('page')));
app.use('/no-worker/', express.static(pathOf('page')));
app.use('/vendor/underscore.js', express.static(pathOf('node_modules/underscore/underscore-umd.js')));
app.use('/vendor/backbone.js', express.static(pathOf('node_modules/backbone/backbone.js')));
app.use('/vendor/jquery.js', express.static(pathOf('node_modules/jquery/dist/jquery.js')));
app.get('/worker.js', (_, response) => response.type('js').send(examples().find(isForWorkers)));
app.get(['/ping', '/api/ping'], (_, response) => response.json({ ok: true }));
app.use('/api/orders', orders());
app.all('/api/echo{/*rest}', express.raw({ type: () => true, limit: '2mb' }), echo);
app.get('/api/slow', (_, response) => setTimeout(() => response.json({}), 500));
app.get('/api/image', image);
app.get('/api/report', (_, response) => response.type('text/plain').send('the report'));
app.get('/api/events', events);
app.get('/api/seen', (_, response) => response.json(seen));
app.post('/api/seen', express.json(), (request, response) => {
  seen.push(request.body);
  response.sendStatus(204);
});

const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(JSON.stringify({ port, url: `http://127.0.0.1:${port}` }));
});
const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!request.url.startsWith('/api/socket')) return socket.end('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n');
  return sockets.handleUpgrade(request, socket, head, (opened) => {
    opened.on('message', (text) => opened.send(`${request.url} ${text}`));
  });
});

function echo({ method, originalUrl, body }, response) {
  response.json({ method, url: originalUrl, bytes: Buffer.isBuffer(body) ? body.length : 0 });
}

function image({ query }, response) {
  const size = Number(query.size);
  response.type('svg').send(`<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"/>`);
}

/** Two events, then the stream ends and the client has to come back. */
function events(request, response) {
  const last = request.get('last-event-id');
  const first = Number(last ?? 0) + 1;
  response.type('text/event-stream').write('retry: 10\n\n');
  for (const id of [first, first + 1]) response.write(`event: tick\nid: ${id}\ndata: after ${last ?? 'nothing'}\n\n`);
  response.end();
}
