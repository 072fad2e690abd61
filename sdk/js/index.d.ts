export interface ClientOptions {
  /** Whose calls are signed. Default: the page's origin. Needed where there is no page. */
  origin?: string;
  /** Where sessions are opened. Default: `/.well-known/portcullis/session` of the origin. */
  endpoint?: string;
  /** Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Default: the global `crypto`. */
  crypto?: Crypto;
  /**
   * The session must be renewed, because the gate saw another browser in it for instance. Log the user in again here if
   * your application needs that (`client.fetch` works already); the refused calls go on when the promise resolves.
   * Resolve to `false` to give the refusal to the caller instead. Called once however many calls were refused together.
   */
  onReauthenticate?: (problem: PortcullisError) => void | boolean | Promise<void | boolean>;
  /**
   * Where the session and its non-extractable key are kept. Default: `indexeddb`, where there is one: a page that is
   * reloaded goes on with its session, and all tabs share it.
   */
  storage?: 'indexeddb' | 'memory';
  /** How often a call is tried again after a lost connection or when the gate was busy. Default: 2. 0: never. */
  retries?: number;
  /** How calls are signed. Default: `hmac-sha256`, the fastest. With the others the gate cannot sign, only verify. */
  algorithm?: 'hmac-sha256' | 'ecdsa-p256-sha256' | 'ed25519';
}

export interface SessionInfo {
  id: string;
  alg: string;
  expiresAt: Date;
}

/** What `createClient` of `@portcullis/client/core` makes. */
export interface CoreClient {
  /** A drop-in for `fetch`. Calls to other origins pass through untouched. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** What is known of the session, opening one if there is none. */
  session(): Promise<SessionInfo>;
  /** Forgets the session and its key, on disk too; later calls to the gate reject. For a logout. */
  close(): Promise<void>;
}

export interface TicketCall {
  /** Default: `GET`. The gate takes tickets for GET and POST. */
  method?: string;
  /** Exactly what will be sent. */
  body?: BodyInit | null;
}

export interface Client extends CoreClient {
  /**
   * The address with a signature in its query, good for one call within 30 seconds: for images, downloads, and whatever
   * else cannot carry header fields. Addresses of other origins come back as they are.
   */
  ticket(url: string | URL, call?: TicketCall): Promise<string>;
  /** An open WebSocket. Rejects with the gate's refusal, or with code `socket-failed`. */
  webSocket(url: string | URL, protocols?: string | string[]): Promise<WebSocket>;
  /** As `new EventSource(url, init)`; it signs again whenever it connects again. */
  eventSource(url: string | URL, init?: EventSourceInit): EventStream;
  /** As `navigator.sendBeacon(url, body)`. */
  beacon(url: string | URL, body?: BodyInit | null): Promise<boolean>;
}

/** An `EventSource` whose `error` event has an `error` when it ends for good. */
export interface EventStream extends EventTarget {
  readonly CONNECTING: number;
  readonly OPEN: number;
  readonly CLOSED: number;
  readonly readyState: number;
  readonly url: string;
  readonly withCredentials: boolean;
  onopen: ((event: Event) => any) | null;
  onmessage: ((event: MessageEvent) => any) | null;
  onerror: ((event: Event & { error?: unknown }) => any) | null;
  close(): void;
}

/** Names of the gate's problems, and of the client's own. */
export type ProblemCode =
  | 'signature-required'
  | 'signature-malformed'
  | 'signature-ambiguous'
  | 'signature-incomplete'
  | 'signature-invalid'
  | 'signature-expired'
  | 'signature-from-future'
  | 'nonce-reused'
  | 'fresh-nonce-required'
  | 'session-invalid'
  | 'reauthentication-required'
  | 'digest-required'
  | 'digest-mismatch'
  | 'body-too-large'
  | 'head-too-large'
  | 'request-timeout'
  | 'work-required'
  | 'ticket-refused'
  | 'navigation-refused'
  | 'path-ambiguous'
  | 'request-invalid'
  | 'method-refused'
  | 'sequence-violation'
  | 'quota-exceeded'
  | 'banned'
  | 'session-request-malformed'
  | 'not-found'
  | 'upstream-unavailable'
  | 'overloaded'
  | 'upstream-timeout'
  | 'insecure-context'
  | 'session-unavailable'
  | 'closed'
  | 'socket-failed'
  | 'no-event-stream'
  | (string & {});

export class PortcullisError extends Error {
  constructor(
    code: ProblemCode,
    message: string,
    facts?: {
      status?: number;
      detail?: string;
      ref?: string;
      serverTime?: number;
      retryAfter?: number;
      reauthenticate?: string;
    },
  );
  readonly code: ProblemCode;
  /** HTTP status of the refusal. */
  readonly status?: number;
  readonly detail?: string;
  /** What the operator needs to find out why. */
  readonly ref?: string;
  /** The gate's clock, seconds since the Unix epoch. */
  readonly serverTime?: number;
  /** Seconds to wait. */
  readonly retryAfter?: number;
  /** With `reauthentication-required`: `login` if the same session comes back by the login, `session` if a new one must. */
  readonly reauthenticate?: string;
}

export function createClient(options?: ClientOptions): Client;

/** The gate's refusal in this response; nothing for any other response. Call it before you read the body. */
export function problemOf(response: Response): Promise<PortcullisError | undefined>;

/** What `Backbone.sync` passes to `Backbone.ajax`: the part of jQuery's settings that is supported. */
export interface AjaxSettings {
  url: string;
  type?: string;
  method?: string;
  data?: any;
  dataType?: string;
  contentType?: string | false;
  processData?: boolean;
  headers?: HeadersInit;
  timeout?: number;
  context?: object;
  beforeSend?: (xhr: any, settings: AjaxSettings) => any;
  success?: (data: any, statusText: string, xhr: any) => any;
  error?: (xhr: any, outcome: string, error: any) => any;
  complete?: (xhr: any, outcome: string) => any;
}

/** Lets Backbone speak through the client. Returns a function that undoes it. */
export function installBackbone(Backbone: { ajax: Function }, client: Pick<Client, 'fetch'>): () => void;

/** Lets `jQuery.ajax` speak through the client. Returns a function that undoes it. */
export function installJQuery(jQuery: { ajaxTransport: Function }, client: Pick<Client, 'fetch'>): () => void;

declare global {
  /** There after `<script src="/.well-known/portcullis/client.js">`. */
  var Portcullis: {
    createClient: typeof createClient;
    problemOf: typeof problemOf;
    PortcullisError: typeof PortcullisError;
    installBackbone: typeof installBackbone;
    installJQuery: typeof installJQuery;
  };
}
