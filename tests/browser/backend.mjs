/**
 * The application behind the gate: a page with Backbone and an API of orders, kept in memory. It knows nothing of
 * signatures. First line on stdout: `{"port": N, "url": "http://127.0.0.1:N"}`.
 */

import { fileURLToPath } from 'node:url';
import express from 'express';

const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'";
const pathOf = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const app = express();
app.disable('x-powered-by');
app.use((_, response, next) => {
  response.set('content-security-policy', POLICY);
  next();
});
app.use('/', express.static(pathOf('page')));
app.use('/vendor/underscore.js', express.static(pathOf('node_modules/underscore/underscore-umd.js')));
app.use('/vendor/backbone.js', express.static(pathOf('node_modules/backbone/backbone.js')));
app.get(['/ping', '/api/ping'], (_, response) => response.json({ ok: true }));
app.use('/api/orders', orders());
app.all('/api/echo{/*rest}', express.raw({ type: () => true, limit: '2mb' }), echo);

const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(JSON.stringify({ port, url: `http://127.0.0.1:${port}` }));
});

function orders() {
  const byId = new Map([
    [1, { id: 1, item: 'Rope, 20 m', count: 1 }],
    [2, { id: 2, item: 'Winch', count: 2 }],
  ]);
  const router = express.Router();
  router.use(express.json());
  router.param('id', (request, response, next, id) => {
    request.order = byId.get(Number(id));
    return request.order ? next() : response.sendStatus(404);
  });
  router.get('/', (_, response) => response.json([...byId.values()]));
  router.get('/:id', (request, response) => response.json(request.order));
  router.post('/', (request, response) => {
    const order = { ...request.body, id: byId.size + 1 };
    byId.set(order.id, order);
    response.status(201).json(order);
  });
  router.put('/:id', (request, response) => {
    Object.assign(request.order, request.body, { id: request.order.id });
    response.json(request.order);
  });
  return router;
}

function echo({ method, originalUrl, body }, response) {
  response.json({ method, url: originalUrl, bytes: Buffer.isBuffer(body) ? body.length : 0 });
}
