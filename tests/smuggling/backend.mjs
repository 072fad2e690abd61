// A real backend: Node's HTTP parser. It keeps what it understood, and tells it at /seen.
import { createServer } from "node:http";

const seen = [];
const server = createServer((request, response) => {
  let length = 0;
  request.on("data", (piece) => (length += piece.length));
  request.on("end", () => {
    if (request.url === "/seen") {
      response.end(seen.splice(0).join("\n"));
      return;
    }
    seen.push(`${request.method} ${request.url} ${length}`);
    response.end("ok");
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
