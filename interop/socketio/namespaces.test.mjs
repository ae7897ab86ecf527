// Namespaces, refusals, several of them on one connection, and how each end is told to both sides.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Manager } from "socket.io-client";
import { Peer, Program, TRANSPORTS, deferred, keep, needs, release, settle, until, within } from "./helper.mjs";

const skip = needs("DEMO_BIN");
let demo;
before(async () => {
  if (!skip) demo = await Program.start("DEMO");
});
afterEach(release);
after(() => demo?.close());

/** Clients of several namespaces on one connection. */
class Shared {
  constructor(options) {
    this.manager = new Manager(demo.url, { reconnection: false, autoConnect: false, ...options });
    this.connections = 0;
    this.manager.on("open", () => this.connections++);
    keep(this);
  }

  /** A client that may still be refused. */
  peer(namespace, options) {
    return new Peer(namespace, { connect: (name) => this.manager.socket(name, options).connect() });
  }

  async join(namespace, options) {
    const peer = this.peer(namespace, options);
    await peer.joined();
    return peer;
  }

  /** The reason with which the whole connection ended. */
  ended() {
    const { promise, resolve } = deferred();
    this.manager.on("close", resolve);
    return within(promise, () => "an end of the connection");
  }

  close() {
    this.manager._close();
  }
}

/** The error with which a connection to `namespace` is refused. */
async function refused(url, options) {
  const peer = new Peer(url, options);
  const [error] = await peer.hears("connect_error");
  assert.equal(peer.socket.connected, false);
  assert.equal(peer.unread("connect"), 0);
  return { message: error.message, ...(error.data !== undefined && { data: error.data }) };
}

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  const check = (title, run) => test(`${name}: ${title}`, { skip }, run);
  const at = (namespace, query = "") => `${demo.url}${namespace}${query}`;

  for (const namespace of ["/", "/chat", "/dyn-1", "/dyn-00123456789"]) {
    check(`${namespace} welcomes anybody and knows the events`, async () => {
      const peer = await Peer.join(at(namespace), { transports });
      assert.deepEqual(peer.welcome, { sid: peer.sid, ns: namespace, recovered: false });
      assert.equal((await peer.ask("whoami")).ns, namespace);
      assert.equal(await peer.ask("add", 1, 2), 3);
      assert.deepEqual(await peer.asks("echo", Buffer.from([1, 2]), "two"), [Buffer.from([1, 2]), "two"]);
    });
  }

  check("/admin accepts the token and knows the events", async () => {
    const peer = await Peer.join(at("/admin"), { transports, auth: { token: "secret" } });
    assert.equal(peer.welcome.ns, "/admin");
    assert.deepEqual((await peer.ask("whoami")).auth, { token: "secret" });
  });

  for (const auth of [undefined, {}, { token: "Secret" }, { token: ["secret"] }, { token: null }]) {
    check(`/admin refuses the auth ${JSON.stringify(auth) ?? "nothing"} with message and data`, async () => {
      assert.deepEqual(await refused(at("/admin"), { transports, auth }), { message: "not authorized", data: { code: 401 } });
    });
  }

  check("?reject=1 is refused with message and data, another value is not", async () => {
    assert.deepEqual(await refused(at("/"), { transports, query: { reject: "1" } }), { message: "rejected", data: { code: "E_REJECT" } });
    await Peer.join(at("/"), { transports, query: { reject: "0" } });
    await Peer.join(at("/chat"), { transports, query: { reject: "1" } });
  });

  for (const namespace of ["/nowhere", "/dyn-", "/dyn-1a", "/dyn-x", "/Chat", "/chat/", "/__proto__", "/dyn-1/2", "/房间"]) {
    check(`${namespace} is an invalid namespace`, async () => {
      assert.deepEqual(await refused(at(namespace), { transports }), { message: "Invalid namespace" });
    });
  }

  check("several namespaces share one connection and hear only their own", async () => {
    const shared = new Shared({ transports });
    const other = new Shared({ transports });
    const names = ["/", "/chat", "/dyn-7", "/dyn-8"];
    const [here, there] = await Promise.all([shared, other].map((end) => Promise.all(names.map((name) => end.join(name)))));
    assert.equal(shared.connections, 1);
    assert.equal(new Set([...here, ...there].map((peer) => peer.sid)).size, 8);
    for (const [i, name] of names.entries()) {
      await there[i].ask("join", "one name");
      here[i].emit("to-room", "one name", name);
      here[i].emit("all", name);
    }
    for (const [i, name] of names.entries()) {
      assert.deepEqual(await there[i].hears("room-msg"), [{ room: "one name", from: here[i].sid, payload: name }]);
      assert.deepEqual(await there[i].hears("all"), [name]);
      assert.deepEqual(await here[i].hears("all"), [name]);
      await settle(here[i], there[i]);
      assert.equal(there[i].unread("all") + there[i].unread("room-msg") + here[i].unread("all"), 0);
      assert.equal(await here[i].ask("room-size", "one name"), 1);
    }
  });

  check("a refused namespace leaves its neighbours alone", async () => {
    const shared = new Shared({ transports });
    const chat = await shared.join("/chat");
    for (const [namespace, message] of [["/admin", "not authorized"], ["/nowhere", "Invalid namespace"]]) {
      const [error] = await shared.peer(namespace).hears("connect_error");
      assert.equal(error.message, message);
    }
    assert.equal(await chat.ask("add", 2, 2), 4);
    assert.equal(shared.connections, 1);
  });

  check("a refused client may try again on the same connection with another auth", async () => {
    const shared = new Shared({ transports });
    await shared.join("/chat");
    const admin = shared.peer("/admin");
    assert.equal((await admin.hears("connect_error"))[0].message, "not authorized");
    admin.socket.auth = (give) => give({ token: "secret" });
    admin.socket.connect();
    assert.equal((await admin.joined()).ns, "/admin");
    assert.equal(shared.connections, 1);
  });

  check("a client that leaves a namespace stays in the others and may come back under a new id", async () => {
    const shared = new Shared({ transports });
    const [root, chat] = [await shared.join("/"), await shared.join("/chat")];
    const watcher = await Peer.join(at("/chat"), { transports });
    const left = chat.sid;
    chat.socket.disconnect();
    assert.equal(await chat.ends(), "io client disconnect");
    assert.equal(await until(() => watcher.ask("reasons", left), "the reason"), "client namespace disconnect");
    assert.equal(await root.ask("add", 1, 1), 2);
    chat.socket.connect();
    const again = await chat.joined();
    assert.notEqual(again.sid, left);
    assert.equal(again.recovered, false);
    assert.equal(shared.connections, 1);
  });

  check("kick ends the namespace only", async () => {
    const shared = new Shared({ transports });
    const [root, chat] = [await shared.join("/"), await shared.join("/chat")];
    const watcher = await Peer.join(at("/chat"), { transports });
    const { sid } = chat;
    chat.emit("kick");
    assert.equal(await chat.ends(), "io server disconnect");
    assert.equal(await until(() => watcher.ask("reasons", sid), "the reason"), "server namespace disconnect");
    assert.equal(await root.ask("add", 1, 1), 2);
    assert.equal(root.unread("disconnect"), 0);
  });

  check("kick-hard ends every namespace and the connection", async () => {
    const shared = new Shared({ transports });
    const [root, chat] = [await shared.join("/"), await shared.join("/chat")];
    const [roots, chats] = await Promise.all(["/", "/chat"].map((name) => Peer.join(at(name), { transports })));
    const [{ sid: rootSid }, { sid: chatSid }] = [root, chat];
    const ended = shared.ended();
    chat.emit("kick-hard");
    for (const peer of [chat, root]) assert.equal(await peer.ends(), "io server disconnect");
    assert.equal(await until(() => chats.ask("reasons", chatSid), "the reason"), "server namespace disconnect");
    assert.equal(await until(() => roots.ask("reasons", rootSid), "the reason"), "server namespace disconnect");
    await ended;
  });

  check("drop ends the connection without a word to any namespace", async () => {
    const shared = new Shared({ transports });
    const [root, chat] = [await shared.join("/"), await shared.join("/chat")];
    const watcher = await Peer.join(at("/"), { transports });
    const { sid } = root;
    root.emit("drop");
    for (const peer of [root, chat]) assert.equal(await peer.ends(), "transport close");
    assert.match(await until(() => watcher.ask("reasons", sid), "the reason"), /^(forced close|transport close)$/);
  });

  check("closing the connection is a transport close of every namespace", async () => {
    const shared = new Shared({ transports });
    const [root, chat] = [await shared.join("/"), await shared.join("/chat")];
    const [roots, chats] = await Promise.all(["/", "/chat"].map((name) => Peer.join(at(name), { transports })));
    const [{ sid: rootSid }, { sid: chatSid }] = [root, chat];
    shared.manager.engine.close();
    assert.equal(await until(() => roots.ask("reasons", rootSid), "the reason"), "transport close");
    assert.equal(await until(() => chats.ask("reasons", chatSid), "the reason"), "transport close");
  });

  check("a client that answers no ping is gone with a ping timeout", async () => {
    const watcher = await Peer.join(at("/"), { transports });
    const deaf = await Peer.join(at("/"), { transports });
    const { sid } = deaf;
    const { engine } = deaf.socket.io;
    await until(async () => Boolean(transports) || (await deaf.ask("whoami")).transport === "websocket", "the upgrade");
    // The client's own heartbeat is silenced where it answers, so that only the server can notice.
    const send = engine.transport.send.bind(engine.transport);
    engine.transport.send = (packets) => send(packets.filter((packet) => packet.type !== "pong"));
    assert.equal(await until(() => watcher.ask("reasons", sid), "the reason"), "ping timeout");
  });
}

test("no name of a room reaches into another namespace", { skip }, async () => {
  const [root, chat] = [await Peer.join(demo.url), await Peer.join(`${demo.url}/chat`)];
  const [speaker, chatter] = [await Peer.join(demo.url), await Peer.join(`${demo.url}/chat`)];
  const names = ["/chat#secret", "chat#secret", "/chat,secret", "/chat/secret", "/#secret", "#secret", "secret"];
  for (const name of names) {
    for (const peer of [root, chat]) await peer.ask("join", name);
  }
  for (const name of names) {
    for (const [sender, hears] of [[speaker, root], [chatter, chat]]) {
      assert.equal(await sender.ask("room-size", name), 1);
      sender.emit("to-room", name, "here");
      assert.deepEqual(await hears.hears("room-msg"), [{ room: name, from: sender.sid, payload: "here" }]);
    }
  }
  await settle(speaker, root);
  await settle(chatter, chat);
  assert.equal(root.unread("room-msg") + chat.unread("room-msg"), 0);
});

test("a socket that is still there has no reason, and an unheard-of one neither", { skip }, async () => {
  const peer = await Peer.join(demo.url);
  assert.equal(await peer.ask("reasons", peer.sid), null);
  assert.equal(await peer.ask("reasons", "nobody"), null);
  assert.equal(await peer.ask("reasons", "__proto__"), null);
});
