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
   * The gate saw another browser in this session, and a new session was opened. Log the user in again here if your
   * application needs that (`client.fetch` works already); the call goes on when the promise resolves. Resolve to
   * `false` to give the refusal to the caller instead. Called once however many calls were refused together.
   */
  onReauthenticate?: (problem: PortcullisError) => void | boolean | Promise<void | boolean>;
}

export interface SessionInfo {
  id: string;
  alg: string;
  expiresAt: Date;
}

export interface Client {
  /** A drop-in for `fetch`. Calls to other origins pass through untouched. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** What is known of the session, opening one if there is none. */
  session(): Promise<SessionInfo>;
  /** Forgets the session and its key; later calls to the gate reject. */
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
  | 'upstream-timeout'
  | 'insecure-context'
  | 'session-unavailable'
  | 'closed'
  | (string & {});

export class PortcullisError extends Error {
  constructor(
    code: ProblemCode,
    message: string,
    facts?: { status?: number; detail?: string; ref?: string; serverTime?: number; retryAfter?: number },
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

declare global {
  /** There after `<script src="/.well-known/portcullis/client.js">`. */
  var Portcullis: {
    createClient: typeof createClient;
    problemOf: typeof problemOf;
    PortcullisError: typeof PortcullisError;
    installBackbone: typeof installBackbone;
  };
}
