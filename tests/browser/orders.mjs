import express from 'express';

/** An API of orders, kept in memory. */
export function orders() {
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
