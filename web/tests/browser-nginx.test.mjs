// The page behind Debian's nginx: with the documented lines, and with one that knows nothing of WebSockets.
import assert from "node:assert/strict";
import test, { after, afterEach, before } from "node:test";
import { Server, hears, openBrowser, person, problems, say } from "./helper.mjs";
import { freePort, startNginx } from "./nginx.mjs";

let browser, server, nginx;
before(async () => {
  browser = await openBrowser();
});
afterEach(async () => {
  await nginx?.stop();
  await server?.remove();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(problems, []);
});

for (const bare of [false, true]) {
  test(bare ? "behind a bare proxy_pass the page falls back by itself" : "behind the documented lines the page has its WebSocket", async () => {
    const port = await freePort();
    server = await Server.start({ args: bare ? ["--public-url", `http://127.0.0.1:${port}/`] : [] });
    nginx = await startNginx(port, server, { bare });
    const [ann, bob] = [await person(browser, nginx, "ann"), await person(browser, nginx, "bob")];
    const asked = new Set();
    ann.on("request", (request) => asked.add(new URL(request.url()).pathname));
    await say(ann, "through nginx");
    await hears(bob, "through nginx");
    await ann.reload();
    await hears(ann, "through nginx");
    await say(bob, "after a reload");
    await hears(ann, "after a reload");
    assert.equal(await ann.locator(".notice.down").count(), 0);
    // What is not a WebSocket is a request.
    assert.deepEqual(["/sse", "/poll"].filter((path) => asked.has(path)), bare ? ["/sse"] : []);
    await Promise.all([ann.context().close(), bob.context().close()]);
  });
}
