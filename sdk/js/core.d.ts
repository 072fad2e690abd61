import type { ClientOptions, CoreClient } from './index.js';

export function createClient(options?: ClientOptions): CoreClient;
export { PortcullisError, problemOf } from './index.js';
export type { ClientOptions, CoreClient, ProblemCode, SessionInfo } from './index.js';
