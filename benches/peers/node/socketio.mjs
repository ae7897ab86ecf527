// Node with socket.io: everyone is in the room "bench"; "publish" goes to it as "message", "echo" comes back.
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { perMessageDeflate: false, httpCompression: false });

io.on("connection", (socket) => {
  socket.join("bench");
  socket.on("publish", (data, ack) => {
    io.to("bench").emit("message", data);
    ack?.();
  });
  socket.on("echo", (text) => socket.emit("echo", text));
});
server.listen(0, "127.0.0.1", 4096, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
