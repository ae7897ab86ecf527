// Hostile words and names stay words: no markup, no scripts, no links that harm, and a policy that would stop them.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { Server, hears, openBrowser, person, problems, say } from "./helper.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.remove();
  // A breach of the content security policy is told on the console, so this also says that there was none.
  assert.deepEqual(problems, []);
});

const HOSTILE = [
  "<script>window.harmed = 1</script>",
  '<img src=x onerror="window.harmed = 1">',
  "<svg/onload=window.harmed=1>",
  '"><iframe srcdoc="<script>parent.harmed=1</script>">',
  "&lt;b&gt;&amp;&#60;",
  "${window.harmed = 1} {{harmed}} <%= 1 %>",
  "`<b>code</b>` and ```\n<i>block</i>\n```",
  "javascript:window.harmed=1 https://a.example/\"onmouseover=\"window.harmed=1",
  "@<b>ann</b> @\"onclick=\"x",
  "\u202Egnp.exe\u202C and \u200Bzero\u200Bwidth and \u0000nul",
];

test("hostile text is shown as it was written and nothing of it runs", async () => {
  const [ann, bob] = await Promise.all([person(browser, server, "ann"), person(browser, server, "bob")]);
  for (const text of HOSTILE) await server.publish({ room: "lobby", data: text });
  for (const text of HOSTILE.slice(0, 6)) await say(ann, text);
  await say(ann, "that was all");
  for (const page of [ann, bob]) {
    await hears(page, "that was all");
    for (const text of HOSTILE.slice(0, 6)) await hears(page, text);
    const made = await page.locator(".text script, .text img, .text iframe, .text b, .text i, .text svg:not(.icon)").count();
    assert.equal(made, 0, "no element came out of a text");
    assert.equal(await page.evaluate(() => window.harmed), undefined);
  }
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test("links open apart from the page, and only http and https are links", async () => {
  const page = await person(browser, server, "cal");
  await say(page, 'https://a.example/x"onclick="y javascript:alert(1) http://b.example data:text/html,z');
  await page.waitForSelector('.text a[href^="http://b.example"]');
  const links = await page.locator(".own .text a").evaluateAll((all) => all.map((link) => [link.getAttribute("href"), link.target, link.rel, link.getAttributeNames().sort().join()]));
  assert.deepEqual(links.map(([href]) => href), ["https://a.example/x%22onclick=%22y", "http://b.example/"]);
  for (const [, target, rel, names] of links) assert.deepEqual([target, rel, names], ["_blank", "noopener noreferrer nofollow", "href,rel,target"]);
  await page.context().close();
});

test("data that is not text, and events of other names, are shown as data", async () => {
  const page = await person(browser, server, "dot", { at: "#/r/data" });
  await page.waitForSelector(".empty");
  await server.publish({ room: "data", event: "sold", data: { item: "<b>chair</b>", price: 12.5 } });
  await page.waitForSelector('.message .event:text-is("event sold")');
  assert.match(await page.locator(".message pre").innerText(), /"item": "<b>chair<\/b>"/);
  await page.context().close();
});

test("names cannot be markup, and the longest one breaks nothing", async () => {
  const long = "长名字".repeat(7);
  const page = await person(browser, server, long);
  await say(page, "my name is long");
  await hears(page, "my name is long");
  assert.equal(await page.locator(".message.own .name").innerText(), long);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
  await page.context().close();
});

test("the page's policy forbids everything that it does not need", async () => {
  const answer = await fetch(server.url);
  const policy = answer.headers.get("content-security-policy");
  for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]) assert.ok(policy.includes(rule), rule);
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.ok(!/style=|<script>|onload=/.test(await answer.text()));
  const page = await person(browser, server, "eli");
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.harmed = 2";
    document.body.append(script);
    return window.harmed;
  });
  assert.equal(ran, undefined, "an inline script is stopped by the policy");
  assert.match(problems.pop() ?? "", /Content Security Policy|content security policy/i);
  await page.context().close();
});
