// The echo of the Socket.IO protocol's own test-suite on Node, the counterpart of the example `socketio_echo`.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { engineOptions, listen } from "./listen.mjs";

const http = createServer((_request, response) => response.writeHead(404).end());
const io = new Server(http, engineOptions);
for (const namespace of [io.of("/"), io.of("/custom")]) {
  namespace.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
  });
}
listen(http);
