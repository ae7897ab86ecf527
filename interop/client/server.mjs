// A Socket.IO server as a child process, to be killed and started again: `node server.mjs PORT`. It prints what it hears.
import { Server } from 'socket.io';

const io = new Server(Number(process.argv[2]), {
  connectionStateRecovery: {}, pingInterval: 500, pingTimeout: 500,
});
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
io.on('connection', (socket) => {
  print({ saw: 'connection', recovered: socket.recovered });
  socket.onAny((name, ...args) => print({ saw: name, args: args.filter((arg) => typeof arg !== 'function') }));
  socket.on('ask', (number, reply) => reply(number));
});
io.httpServer.on('listening', () => print({ saw: 'listening', port: io.httpServer.address().port }));
