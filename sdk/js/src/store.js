/**
 * Where a session outlives its page: IndexedDB keeps the key without letting anybody read it, and all tabs of the origin
 * share it. Whatever the browser denies here (private windows, blocked storage) costs a new session and nothing else.
 *
 * @typedef {import('./session.js').Session} Session
 * @typedef {Omit<Session, 'nonces'> & { offset: number }} Stored
 */

const DATABASE = 'portcullis-1';
const TABLE = 'sessions';
/** Milliseconds; some browsers never answer. */
const PATIENCE = 2000;
/** Milliseconds to wait for another tab that is opening a session. */
const TURN = 10_000;

export class Store {
  #name;

  /** @param {string} name of the session: one for each gate and way to sign */
  constructor(name) {
    this.#name = name;
  }

  /** @returns {Promise<Stored | undefined>} */
  load() {
    return transact('readonly', (table) => table.get(this.#name));
  }

  /** @param {Stored} session */
  save(session) {
    return transact('readwrite', (table) => table.put(session, this.#name));
  }

  remove() {
    return transact('readwrite', (table) => table.delete(this.#name));
  }

  /**
   * Does the work while no other tab does it. A tab that hangs, or a browser without locks, is no reason to wait: then two
   * tabs may open a session each, and the later one stays.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async exclusively(work) {
    let started = false;
    const inTurn = () => {
      started = true;
      return work();
    };
    try {
      const signal = AbortSignal.timeout(TURN);
      return await navigator.locks.request(`${DATABASE} ${this.#name}`, { signal }, inTurn);
    } catch (error) {
      if (started) throw error;
      return work();
    }
  }
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(table: IDBObjectStore) => IDBRequest} act
 * @returns {Promise<any>} nothing if it failed
 */
async function transact(mode, act) {
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  return Promise.race([late, attempt(mode, act).catch(() => undefined)]);
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(table: IDBObjectStore) => IDBRequest} act
 */
async function attempt(mode, act) {
  const opening = indexedDB.open(DATABASE);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE);
  const database = await settled(opening);
  try {
    return await settled(act(database.transaction(TABLE, mode).objectStore(TABLE)));
  } finally {
    database.close();
  }
}

/**
 * @param {IDBRequest} request
 * @returns {Promise<any>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
