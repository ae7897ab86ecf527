// An Engine.IO echo on Node's engine.io, the counterpart of the example `engineio`.
import { attach } from "engine.io";
import { createServer } from "node:http";
import { engineOptions, listen } from "./listen.mjs";

const http = createServer((_request, response) => response.writeHead(404).end());
attach(http, engineOptions).on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
listen(http);
