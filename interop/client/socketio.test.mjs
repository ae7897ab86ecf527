// The Socket.IO client against the stock Node server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Server } from 'socket.io';
import { Client, once } from './client.mjs';

// A server in this process, and the address of it.
async function serve(t, options = {}) {
  const io = new Server(0, options);
  if (!io.httpServer.listening) await once(io.httpServer, 'listening');
  t.after(() => io.close());
  return { io, address: `http://127.0.0.1:${io.httpServer.address().port}` };
}

function start(t, ...args) {
  const client = new Client('socketio', ...args);
  t.after(() => client.end());
  return client;
}

// A client and the server's end of it.
async function connect(t, options) {
  const { io, address } = await serve(t, options);
  const connection = once(io, 'connection');
  const client = start(t, address);
  const [socket] = await connection;
  const connected = await client.next();
  assert.deepEqual(connected, { saw: 'connected', sid: socket.id, recovered: false });
  return { io, client, socket, address };
}

test('events go both ways with all their arguments', async (t) => {
  const { client, socket } = await connect(t);
  const args = ['text "quoted" 大厅', 1.5, -7, true, null, [1, [2]], { b: { a: [] } }];
  client.emit('hello', ...args);
  assert.deepEqual(await once(socket, 'hello'), args);
  client.emit('nothing');
  assert.deepEqual(await once(socket, 'nothing'), []);
  socket.emit('hello', ...args);
  assert.deepEqual(await client.next(), { saw: 'event', name: 'hello', args, offset: false });
  socket.emit('my event');
  assert.deepEqual(await client.next(), { saw: 'event', name: 'my event', args: [], offset: false });
});

test('acks go both ways', async (t) => {
  const { client, socket } = await connect(t);
  socket.on('sum', (a, b, reply) => reply(a + b, 'done'));
  client.ask('sum', 2, 3);
  assert.deepEqual(await client.next(), { saw: 'answer', args: [5, 'done'] });
  const answer = await socket.timeout(20_000).emitWithAck('question', { a: 1 });
  assert.deepEqual(answer, { a: 1 });
  // A hundred under way at once find their callers.
  socket.on('same', (number, reply) => setImmediate(reply, number));
  for (let number = 0; number < 100; number++) client.ask('same', number);
  const seen = new Set();
  for (let number = 0; number < 100; number++) {
    let line = await client.next();
    if (line.saw === 'event') line = await client.next();
    seen.add(line.args[0]);
  }
  assert.equal(seen.size, 100);
});

test('bytes go both ways, in events and acks', async (t) => {
  const { client, socket } = await connect(t);
  const inside = [{ name: 'a', data: { bytes: [0, 255] } }, { bytes: [] }];
  client.emit('file', ...inside);
  const [file, empty] = await once(socket, 'file');
  assert.deepEqual([file.name, [...file.data], [...empty]], ['a', [0, 255], []]);
  socket.emit('file', { data: Buffer.from([1, 2]) }, [Buffer.from([3])]);
  const args = [{ data: { bytes: [1, 2] } }, [{ bytes: [3] }]];
  assert.deepEqual(await client.next(), { saw: 'event', name: 'file', args, offset: false });
  socket.on('flip', (bytes, reply) => reply(Buffer.from([...bytes].reverse())));
  client.ask('flip', { bytes: [1, 2, 3] });
  assert.deepEqual(await client.next(), { saw: 'answer', args: [{ bytes: [3, 2, 1] }] });
  const echoed = await socket.timeout(20_000).emitWithAck('back', Buffer.from([9]));
  assert.deepEqual([...echoed], [9]);
});

test('a namespace is entered with auth, or refuses with message and data', async (t) => {
  const { io, address } = await serve(t);
  io.of('/chat').use((socket, next) => {
    const refusal = Object.assign(new Error('authentication failed'), { data: { code: 7 } });
    next(socket.handshake.auth.token === 'right' ? undefined : refusal);
  });
  const connection = once(io.of('/chat'), 'connection');
  const client = start(t, address, '/chat', '{"token":"right"}');
  const [socket] = await connection;
  assert.equal((await client.next()).sid, socket.id);
  client.emit('hi', 1);
  assert.deepEqual(await once(socket, 'hi'), [1]);
  socket.emit('hi', 2);
  assert.deepEqual((await client.next()).args, [2]);

  const error = 'the namespace refuses: authentication failed';
  assert.deepEqual(await start(t, address, '/chat', '{}').next(), { saw: 'refused', error, data: { code: 7 } });
  const unknown = await start(t, address, '/none', '{}').next();
  assert.equal(unknown.error, 'the namespace refuses: Invalid namespace');
});

test('each side may end it, with its reason', async (t) => {
  const { client, socket } = await connect(t);
  socket.disconnect();
  assert.deepEqual(await client.next(), { saw: 'disconnected', reason: 'io server disconnect' });
  assert.deepEqual(await client.next(), { saw: 'closed', error: 'the server ended the connection' });
  const other = await connect(t);
  other.client.do('close');
  const [reason] = await once(other.socket, 'disconnect');
  assert.equal(reason, 'client namespace disconnect');
  assert.deepEqual(await other.client.next(), { saw: 'disconnected', reason: 'io client disconnect' });
});

test('what the server would not take is refused here and the connection stays', async (t) => {
  const { client, socket } = await connect(t, { maxHttpBufferSize: 1000 });
  client.emit('long', 'x'.repeat(1000));
  assert.match((await client.next()).error, /more than the 1000 that the server takes/);
  client.emit('short');
  await once(socket, 'short');
});

test('recovery gives everything that was missed', async (t) => {
  const { io, client, socket } = await connect(t, { connectionStateRecovery: {} });
  socket.join('room');
  io.to('room').emit('n', 1);
  assert.deepEqual(await client.next(), { saw: 'event', name: 'n', args: [1], offset: true });
  for (let round = 0; round < 3; round++) {
    const connection = once(io, 'connection');
    const gone = once(round === 0 ? socket : [...io.of('/').sockets.values()][0], 'disconnect');
    [...io.of('/').sockets.values()][0].conn.close();
    await gone;
    io.to('room').emit('n', round * 2 + 2);
    io.to('room').emit('n', 'text', round * 2 + 3, 'more');
    const [again] = await connection;
    assert.deepEqual([again.recovered, again.id, again.rooms.has('room')], [true, socket.id, true]);
    assert.deepEqual(await client.next(), { saw: 'disconnected', reason: 'transport close' });
    assert.deepEqual(await client.next(), { saw: 'connected', sid: socket.id, recovered: true });
    assert.deepEqual((await client.next()).args, [round * 2 + 2]);
    assert.deepEqual((await client.next()).args, ['text', round * 2 + 3, 'more']);
  }
});

// A server that can be killed, and the lines that it prints.
async function child(t, port) {
  const server = spawn(process.execPath, [new URL('server.mjs', import.meta.url).pathname, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => server.kill('SIGKILL'));
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value);
  const { port: bound } = await next();
  return { server, next, port: bound };
}

test('a server that was killed and comes back gets the emits of the meantime in order', async (t) => {
  const first = await child(t, 0);
  const client = start(t, `http://127.0.0.1:${first.port}`);
  assert.equal((await client.next()).saw, 'connected');
  assert.deepEqual(await first.next(), { saw: 'connection', recovered: false });
  first.server.kill('SIGKILL');
  assert.equal((await client.next()).saw, 'disconnected');
  for (let number = 0; number < 500; number++) client.emit('n', number);
  client.ask('ask', 500);
  const second = await child(t, first.port);
  assert.deepEqual(await second.next(), { saw: 'connection', recovered: false });
  for (let number = 0; number < 500; number++) {
    assert.deepEqual(await second.next(), { saw: 'n', args: [number] });
  }
  assert.deepEqual(await second.next(), { saw: 'ask', args: [500] });
  const { saw, recovered } = await client.next();
  assert.deepEqual({ saw, recovered }, { saw: 'connected', recovered: false });
  assert.deepEqual(await client.next(), { saw: 'answer', args: [500] });
});

test('emits beyond the limit are refused and the rest keeps its order', async (t) => {
  const first = await child(t, 0);
  const client = start(t, `http://127.0.0.1:${first.port}`);
  await client.next();
  first.server.kill('SIGKILL');
  await client.next();
  for (let number = 0; number < 1003; number++) client.emit('n', number);
  for (let refused = 0; refused < 3; refused++) {
    assert.match((await client.next()).error, /too many requests wait/);
  }
  const second = await child(t, first.port);
  await second.next();
  for (let number = 0; number < 1000; number++) assert.deepEqual((await second.next()).args, [number]);
});

test('a server that stops pinging is left, and found again', async (t) => {
  const { server, port } = await child(t, 0);
  const client = start(t, `http://127.0.0.1:${port}`);
  assert.equal((await client.next()).saw, 'connected');
  server.kill('SIGSTOP');
  assert.deepEqual(await client.next(), { saw: 'disconnected', reason: 'ping timeout' });
  server.kill('SIGCONT');
  assert.equal((await client.next()).saw, 'connected');
});
