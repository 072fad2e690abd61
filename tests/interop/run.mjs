// RFC 9421 by the npm package http-message-signatures, against the gate. Which way is the first argument; what to do
// comes as JSON on stdin, what came of it goes as JSON to stdout.
import { createHmac, createHash, timingSafeEqual } from "node:crypto";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { httpbis } from "http-message-signatures";

const bare = ["@method", "@authority", "@path", "@query"];

const mac = (key) => async (base) => createHmac("sha256", key).update(base).digest();

async function openSession(gate) {
  const answer = await fetch(`${gate}/.well-known/portcullis/session`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ key_agreement: "server-key" }),
  });
  return answer.json();
}

// Signs each call with the library and sends it; the statuses, and what a second copy of the last one got.
async function sign({ gate, calls }) {
  const session = await openSession(gate);
  const key = Buffer.from(session.key, "base64url");
  const answers = [];
  let last;
  for (const [counter, { method, target, body, order }] of calls.entries()) {
    const url = `${gate}${target}`;
    const headers = { host: new URL(gate).host };
    if (body !== "") {
      headers["content-type"] = "application/json";
      headers["content-digest"] = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    const signed = await httpbis.signMessage(
      {
        key: { id: session.session_id, alg: "hmac-sha256", sign: mac(key) },
        name: "interop",
        fields: body === "" ? bare : ["content-type", "content-digest", ...bare],
        params: order,
        paramValues: { nonce: `interop-stream.${counter}`, tag: "portcullis-1", created: new Date() },
      },
      { method, url, headers },
    );
    last = () => send(url, { method, headers: signed.headers, body });
    answers.push(await last());
  }
  return { answers, copy: await last() };
}

// The head of Node's own client: it sends the fields as they are.
function send(url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const path = url.slice(new URL(url).origin.length);
    const call = request({ hostname, port, path, method, headers }, async (answer) => {
      const said = await text(answer);
      const problem = answer.statusCode >= 400 ? JSON.parse(said).type.split("/").pop() : "";
      resolve({ status: answer.statusCode, problem });
    });
    call.on("error", reject);
    call.end(body);
  });
}

// Whether the library accepts what the gate's own signer made, and what it makes of one changed bit.
async function verify({ key, messages }) {
  const secret = Buffer.from(key, "base64url");
  const check = (message) =>
    httpbis.verifyMessage(
      {
        keyLookup: async () => ({
          algs: ["hmac-sha256"],
          verify: async (base, signature) => {
            const right = createHmac("sha256", secret).update(base).digest();
            return right.length === signature.length && timingSafeEqual(right, signature);
          },
        }),
        requiredFields: bare,
        requiredParams: ["created", "nonce", "keyid", "alg", "tag"],
        maxAge: 60,
        tolerance: 5,
      },
      message,
    );
  const good = await Promise.all(messages.map(check));
  const changed = await Promise.all(messages.map((message) => check({ ...message, method: "DELETE" })));
  return { good, changed };
}

const wanted = JSON.parse(await text(process.stdin));
const ways = { sign, verify };
process.stdout.write(JSON.stringify(await ways[process.argv[2]](wanted)));
