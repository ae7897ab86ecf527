// The clients over TLS, against Node's HTTPS and a certificate that the machine trusts or does not.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server } from 'socket.io';
import { WebSocketServer } from 'ws';
import { Client, once } from './client.mjs';

// A key and a certificate for 127.0.0.1; null without the program that makes them.
function certificate(t) {
  const folder = mkdtempSync(join(tmpdir(), 'parlor-tls-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  // The certificate of a server, not of an authority: the client does not take the one for the other.
  const what = ['-subj', '/CN=127.0.0.1', '-days', '1', '-nodes',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE'];
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-keyout', key, '-out', cert, ...what], { stdio: 'pipe' });
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
  return { path: cert, key: readFileSync(key), cert: readFileSync(cert) };
}

async function serve(t) {
  const made = certificate(t);
  if (made === null) {
    t.skip('the program openssl is not installed');
    return null;
  }
  const server = createServer({ key: made.key, cert: made.cert });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { server, host: `127.0.0.1:${server.address().port}`, trusted: { SSL_CERT_FILE: made.path } };
}

test('a WebSocket over TLS to a server that the machine trusts', async (t) => {
  const made = await serve(t);
  if (made === null) return;
  const server = new WebSocketServer({ server: made.server });
  server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  const client = new Client('websocket', `wss://${made.host}`, made.trusted);
  t.after(() => { client.end(); server.close(); });
  assert.deepEqual(await client.next(), { saw: 'connected' });
  const text = 'secret '.repeat(50_000);
  client.do('text', { text });
  assert.deepEqual(await client.next(), { saw: 'text', text });
});

test('Socket.IO over TLS, and a refusal where nobody vouches for the server', async (t) => {
  const made = await serve(t);
  if (made === null) return;
  const io = new Server(made.server);
  io.on('connection', (socket) => socket.on('sum', (a, b, reply) => reply(a + b)));
  const client = new Client('socketio', `https://${made.host}`, made.trusted);
  const other = new Client('socketio', `https://${made.host}`);
  t.after(() => { client.end(); other.end(); io.close(); });
  assert.equal((await client.next()).saw, 'connected');
  client.ask('sum', 2, 3);
  assert.deepEqual(await client.next(), { saw: 'answer', args: [5] });
  const refused = await other.next();
  assert.match(refused.error, /no secure connection to|this machine trusts nobody/);
});
