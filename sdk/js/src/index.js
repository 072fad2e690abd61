export { createClient } from './client.js';
export { PortcullisError, problemOf } from './problem.js';
export { installBackbone } from './adapters/backbone.js';
