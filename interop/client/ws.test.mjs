// The WebSocket of the Rust client against Node's `ws`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocketServer } from 'ws';
import { Client, once } from './client.mjs';

async function open(t, options = {}) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options });
  await once(server, 'listening');
  const client = new Client('websocket', `ws://127.0.0.1:${server.address().port}`);
  t.after(() => { client.end(); server.close(); });
  const [socket] = await once(server, 'connection');
  assert.deepEqual(await client.next(), { saw: 'connected' });
  return { client, socket };
}

test('text and bytes are echoed, short and long', async (t) => {
  const { client, socket } = await open(t);
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  const long = '大'.repeat(100_000);
  for (const text of ['hi', '', long]) {
    client.do('text', { text });
    assert.deepEqual(await client.next(), { saw: 'text', text });
  }
  const bytes = Array.from({ length: 70_000 }, (_, at) => at % 256);
  client.do('binary', { bytes });
  assert.deepEqual(await client.next(), { saw: 'binary', bytes });
});

test('compressed messages go both ways', async (t) => {
  const { client, socket } = await open(t, { perMessageDeflate: { threshold: 0 } });
  assert.match(socket.extensions, /permessage-deflate/);
  socket.on('message', (data, binary) => socket.send(data, { binary }));
  for (const text of ['hi', '大厅 '.repeat(50_000), '大厅 '.repeat(1000), '']) {
    client.do('text', { text });
    assert.deepEqual(await client.next(), { saw: 'text', text });
  }
});

test('fragments are put together and pings are answered', async (t) => {
  const { client, socket } = await open(t);
  const answered = once(socket, 'pong');
  socket.send('one ', { fin: false });
  socket.ping('are you there');
  socket.send('two', { fin: true });
  assert.deepEqual(await client.next(), { saw: 'text', text: 'one two' });
  const [pong] = await answered;
  assert.equal(pong.toString(), 'are you there');
});

test('the close of either side arrives with its code', async (t) => {
  const first = await open(t);
  first.socket.close(4001, 'enough');
  assert.deepEqual(await first.client.next(), { saw: 'closed', code: 4001, reason: 'enough' });
  const second = await open(t);
  second.client.do('close');
  const [code] = await once(second.socket, 'close');
  assert.equal(code, 1000);
});

test('a message beyond the limit of the server ends the connection with its code', async (t) => {
  const { client, socket } = await open(t, { maxPayload: 1000 });
  socket.on('error', () => {});
  client.do('text', { text: 'x'.repeat(1001) });
  const closed = await client.next();
  assert.deepEqual([closed.saw, closed.code], ['closed', 1009]);
});
