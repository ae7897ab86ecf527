// A proxy that stands in somebody's way: it refuses some paths and cuts lines, as networks do.
import http from "node:http";

export class Proxy {
  /** Paths of which nothing comes through. @type {Set<string>} */
  blocked = new Set();
  /** How often each path was asked for. @type {Map<string, number>} */
  asked = new Map();
  #sockets = new Set();
  #upgraded = new Set();

  /** @param {{port: number}} server */
  static start(server) {
    const proxy = new Proxy();
    proxy.server = server;
    proxy.front = http.createServer((request, response) => proxy.#pass(request, response));
    proxy.front.on("upgrade", (request, socket) => proxy.#upgrade(request, socket));
    proxy.front.on("connection", (socket) => {
      proxy.#sockets.add(socket);
      socket.on("close", () => proxy.#sockets.delete(socket));
    });
    return new Promise((resolve) => {
      proxy.front.listen(0, "127.0.0.1", () => {
        proxy.url = `http://127.0.0.1:${proxy.front.address().port}`;
        resolve(proxy);
      });
    });
  }

  /** Ends every line that is open now, in the middle of whatever it carries. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Carries nothing more from the server over the WebSockets that are open now. */
  hold() {
    for (const behind of this.#upgraded) behind.pause();
  }

  /** Goes on with what was held. */
  release() {
    for (const behind of this.#upgraded) behind.resume();
  }

  stop() {
    this.cut();
    this.front.close();
  }

  #ask({ method, headers, url }) {
    const path = url.split("?")[0];
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
    if (this.blocked.has(path)) return null;
    return http.request({ host: "127.0.0.1", port: this.server.port, method, headers, path: url, agent: false });
  }

  #pass(request, response) {
    const onward = this.#ask(request);
    if (!onward) return void response.writeHead(403).end("blocked");
    const gone = () => response.destroy();
    onward.on("response", (answer) => {
      answer.on("error", gone).on("aborted", gone);
      response.writeHead(answer.statusCode, answer.headers);
      // A stream that says nothing yet is a stream all the same.
      response.flushHeaders();
      answer.pipe(response);
    });
    onward.on("error", gone);
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  #upgrade(request, socket) {
    const onward = this.#ask(request);
    if (!onward) return void socket.destroy();
    const gone = () => socket.destroy();
    onward.on("upgrade", (answer, behind, early) => {
      const head = answer.rawHeaders.flatMap((name, i, all) => (i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : []));
      socket.write(["HTTP/1.1 101 Switching Protocols", ...head, "", ""].join("\r\n"));
      socket.write(early);
      behind.pipe(socket).pipe(behind);
      this.#upgraded.add(behind);
      behind.on("close", () => this.#upgraded.delete(behind));
      behind.on("error", gone).on("close", gone);
      socket.on("error", () => behind.destroy()).on("close", () => behind.destroy());
    });
    onward.on("response", gone).on("error", gone);
    socket.on("error", () => onward.destroy());
    onward.end();
  }
}
