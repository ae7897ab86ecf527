// Node with ws: what comes on /ws goes to everyone on /ws, what comes on /echo goes back.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer();
const relay = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const echo = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });

relay.on("connection", (socket) => {
  socket.on("message", (data, binary) => {
    for (const other of relay.clients) other.send(data, { binary });
  });
});
echo.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
server.on("upgrade", (request, socket, head) => {
  const wanted = request.url === "/echo" ? echo : relay;
  wanted.handleUpgrade(request, socket, head, (ws) => wanted.emit("connection", ws));
});
server.listen(0, "127.0.0.1", 4096, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
