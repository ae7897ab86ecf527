// The page behind a proxy that has put it into a folder.
import assert from "node:assert/strict";
import http from "node:http";
import test, { after, before } from "node:test";
import { Server, hears, openBrowser, person, problems, say } from "./helper.mjs";

const FOLDER = "/talk";

/** Takes the folder away, and nothing else is different; what is outside of it is not there. */
function proxy(server) {
  const inside = (path) => (path.startsWith(`${FOLDER}/`) ? path.slice(FOLDER.length) : null);
  const ask = (request) => {
    const { method, headers, url } = request;
    return http.request({ host: "127.0.0.1", port: server.port, method, headers, path: inside(url) });
  };
  const front = http.createServer((request, response) => {
    if (inside(request.url) === null) return void response.writeHead(404).end();
    const onward = ask(request).on("response", (answer) => answer.pipe(response.writeHead(answer.statusCode, answer.headers)));
    request.pipe(onward);
  });
  front.on("upgrade", (request, socket) => {
    if (inside(request.url) === null) return void socket.destroy();
    const onward = ask(request).on("upgrade", (answer, behind, early) => {
      const head = answer.rawHeaders.flatMap((name, i, all) => (i % 2 === 0 ? [`${name}: ${all[i + 1]}`] : []));
      socket.write(["HTTP/1.1 101 Switching Protocols", ...head, "", ""].join("\r\n"));
      socket.write(early);
      behind.pipe(socket).pipe(behind);
      // A page that is closed or loaded anew ends its line as it likes.
      for (const [end, other] of [[socket, behind], [behind, socket]]) end.on("error", () => other.destroy());
    });
    onward.end();
  });
  return new Promise((resolve) => front.listen(0, "127.0.0.1", () => resolve(front)));
}

let server, browser, front;

before(async () => {
  server = await Server.start();
  browser = await openBrowser();
  front = await proxy(server);
});

after(async () => {
  await browser.close();
  front.closeAllConnections();
  front.close();
  await server.remove();
  assert.deepEqual(problems, []);
});

test("two people talk, come back after a reload, and what they copy stays in the folder", async () => {
  const url = `http://127.0.0.1:${front.address().port}${FOLDER}`;
  const ann = await person(browser, { url }, "ann");
  const bob = await person(browser, { url }, "bob");
  await say(ann, "from a folder");
  await hears(bob, "from a folder");
  await bob.reload();
  await hears(bob, "from a folder");
  assert.equal(new URL(bob.url()).pathname, `${FOLDER}/`);
  // Every address on the page leads into the folder: pictures, further tabs.
  const addresses = await ann.evaluate(() => [...document.querySelectorAll("[src], link[href], a[href]")].map((e) => e.src ?? e.href));
  assert.ok(addresses.length > 5);
  for (const address of addresses) assert.ok(address.startsWith(`${url}/`), address);
});
