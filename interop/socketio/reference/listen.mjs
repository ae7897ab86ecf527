// What the three reference programs share: their flags and the line that says where they listen.
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:3000" },
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
    "max-payload": { type: "string", default: "1000000" },
    "no-recovery": { type: "boolean", default: false },
    eio3: { type: "boolean", default: false },
  },
});

/** Every flag that was given, as written. */
export const flags = values;

/** The Engine.IO options that `socketio_echo` and `engineio` take from the command line. */
export const engineOptions = {
  pingInterval: Number(values["ping-interval"]),
  pingTimeout: Number(values["ping-timeout"]),
  maxHttpBufferSize: Number(values["max-payload"]),
  cors: { origin: "*" },
};

/** Listens as `--listen` says and tells standard output where that is. */
export function listen(http) {
  const [host, port] = values.listen.split(":");
  http.listen(Number(port), host, () => console.log(`listening on http://${host}:${http.address().port}`));
}
