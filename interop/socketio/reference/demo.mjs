// The demo application on Node's socket.io, the counterpart of the example `socketio_demo`.
import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
import { flags, listen } from "./listen.mjs";

const http = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://demo");
  if (pathname === "/healthz") return response.end("ok");
  if (pathname === "/blank") return response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>blank</title>");
  response.writeHead(404).end();
});

const options = {
  pingInterval: 2000,
  pingTimeout: 2000,
  connectTimeout: 5000,
  maxHttpBufferSize: 1_000_000,
  allowEIO3: flags.eio3,
  cors: { origin: "*" },
  ...(!flags["no-recovery"] && { connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: true } }),
};

/** How long the server waits for a client's acknowledgement. */
const ACK_TIMEOUT = 1000;

serve(new Server(http, options));
serve(new Server(http, { ...options, path: "/msgpack/", parser: msgpack }));
listen(http);

/** Builds the namespaces of one instance. */
function serve(io) {
  const reasons = new Map();
  for (const name of ["/", "/chat", "/admin", /^\/dyn-\d+$/]) {
    const namespace = io.of(name);
    if (name === "/") {
      namespace.use((socket, next) => (socket.handshake.query.reject === "1" ? next(refusal("rejected", { code: "E_REJECT" })) : next()));
    }
    if (name === "/admin") {
      namespace.use((socket, next) => (socket.handshake.auth.token === "secret" ? next() : next(refusal("not authorized", { code: 401 }))));
    }
    namespace.on("connection", (socket) => welcome(socket, reasons));
  }
}

function refusal(message, data) {
  return Object.assign(new Error(message), { data });
}

function welcome(socket, reasons) {
  socket.on("disconnect", (reason) => reasons.set(socket.id, reason));
  talk(socket);
  rooms(socket);
  state(socket, reasons);
  endings(socket);
  socket.emit("welcome", { sid: socket.id, ns: socket.nsp.name, recovered: socket.recovered });
}

/** Events between one client and the server. */
function talk(socket) {
  socket.on("echo", (...args) => {
    if (typeof args.at(-1) === "function") args.pop()(...args);
    else socket.emit("echo", ...args);
  });
  socket.on("add", (a, b, ack) => ack(a + b));
  socket.on("never-ack", () => {});
  socket.on("slow-ack", (ms, ack) => setTimeout(ack, ms, "late"));
  socket.on("ask-me", (payload) => {
    socket.timeout(ACK_TIMEOUT).emit("question", payload, (error, ...args) => (error ? socket.emit("answer-timeout") : socket.emit("answer", args)));
  });
  socket.on("bin-info", (buf, ack) => {
    ack(Buffer.isBuffer(buf) ? { len: buf.length, first: buf[0], last: buf.at(-1) } : { error: "not binary" });
  });
  socket.on("make-bin", (n, ack) => ack(Buffer.from(Array.from({ length: n }, (_, i) => i % 256))));
  socket.on("volatile", (payload) => socket.volatile.emit("volatile", payload));
  socket.on("burst", (n, size) => {
    for (let i = 0; i < n; i++) socket.emit("burst", i, "x".repeat(size));
  });
}

/** Events between clients. */
function rooms(socket) {
  const { nsp } = socket;
  const own = () => [...socket.rooms].filter((room) => room !== socket.id).sort();
  const message = (room, payload) => ({ room, from: socket.id, payload });
  socket.on("join", (room, ack) => (socket.join(room), ack(own())));
  socket.on("leave", (room, ack) => (socket.leave(room), ack(own())));
  socket.on("to-room", (room, payload) => socket.to(room).emit("room-msg", message(room, payload)));
  socket.on("in-room", (room, payload) => nsp.to(room).emit("room-msg", message(room, payload)));
  socket.on("to-except", (room, except, payload) => nsp.to(room).except(except).emit("room-msg", message(room, payload)));
  socket.on("broadcast", (payload) => socket.broadcast.emit("broadcast", payload));
  socket.on("all", (payload) => nsp.emit("all", payload));
  socket.on("private", (sid, payload) => nsp.to(sid).emit("private", { from: socket.id, payload }));
  socket.on("room-ack", (room, payload, ack) => nsp.to(room).timeout(ACK_TIMEOUT).emit("poll", payload, (_error, replies) => ack(replies)));
  socket.on("room-size", (room, ack) => ack(nsp.adapter.rooms.get(room)?.size ?? 0));
}

/** What the server knows of a socket. */
function state(socket, reasons) {
  socket.data.session ??= {};
  socket.on("session-set", (key, value, ack) => ((socket.data.session[key] = value), ack(true)));
  socket.on("session-get", (key, ack) => ack(socket.data.session[key] ?? null));
  socket.on("reasons", (sid, ack) => ack(reasons.get(sid) ?? null));
  socket.on("whoami", (ack) =>
    ack({
      sid: socket.id,
      ns: socket.nsp.name,
      transport: socket.conn.transport.name,
      rooms: [...socket.rooms],
      auth: socket.handshake.auth,
      query: socket.handshake.query,
      xtest: socket.handshake.headers["x-test"] ?? null,
    }),
  );
}

function endings(socket) {
  socket.on("kick", () => socket.disconnect());
  socket.on("kick-hard", () => socket.disconnect(true));
  socket.on("drop", () => socket.conn.close());
}
