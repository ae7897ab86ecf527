// The page of examples at /sdk/: every one of them runs against the server that serves it.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { Server, openBrowser, problems, watch } from "./helper.mjs";

let server, browser, page;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), openBrowser()]);
  page = watch(await browser.newPage());
  await page.goto(`${server.url}/sdk`);
});
after(async () => {
  await browser?.close();
  await server?.remove();
  assert.deepEqual(problems, []);
});

const EXAMPLES = {
  talk: /^connected as .+\n.+: Hello from the examples\nstored at \d+ safe: local\ndone\n$|^connected as .+\nstored at \d+ safe: local\n(.+\n)?done\n$/,
  ways: /^websocket heard websocket, sse, poll\nsse heard websocket, sse, poll\npoll heard websocket, sse, poll\ndone\n$/,
  resume: /reader got 1 before the break\n(.*\n)*reader got 2 during the break\nreader got 3 still during it\n(.*\n)*caught up .*"count":2.*\n(.*\n)*done\n$/,
  waiting: /^3 messages wait\nstored at \d+\nstored at \d+\nstored at \d+\n0 messages wait\ndone\n$/,
  people: /^1 here: .+\n(.*\n)*.+ is writing\ndone\n$/,
  direct: /^.+, to .+ alone: just for you\ndone\n$/,
};

test("every example on the page is one that this test knows", async () => {
  assert.deepEqual(await page.locator("section").evaluateAll((all) => all.map(({ dataset }) => dataset.example)), Object.keys(EXAMPLES));
});

for (const [name, expected] of Object.entries(EXAMPLES)) {
  test(`the example "${name}" shows the code that it runs, and does what it says`, async () => {
    const section = page.locator(`section[data-example="${name}"]`);
    await section.locator('pre:has-text("export async function run")').waitFor();
    await section.locator("button").click();
    await section.locator("button:enabled").waitFor();
    assert.match(await section.locator(".said").textContent(), expected);
  });
}

test("what others have said is text in the examples, whatever it looks like", async () => {
  await server.publish({ room: "examples", data: "<img src=x onerror=alert(1)><script>alert(2)</script>" });
  const section = page.locator('section[data-example="talk"]');
  await section.locator("button").click();
  await section.locator("button:enabled").waitFor();
  assert.match(await section.locator(".said").textContent(), /<img src=x onerror/);
  assert.equal(await section.locator(".said *").count(), 0);
});
