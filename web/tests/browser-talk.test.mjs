// People talking in real browsers: in a room, one to one, in three tabs, after a reload, back to the first message.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { Server, comeIn, hears, openBrowser, person, problems, say, texts, until, visit, watch } from "./helper.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.remove();
  assert.deepEqual(problems, []);
});

test("two people see each other and talk in a room, in one order", async () => {
  const [ann, bob] = await Promise.all([person(browser, server, "ann"), person(browser, server, "bob")]);
  await ann.waitForSelector('.member:has-text("bob")');
  await bob.waitForSelector('.member:has-text("ann")');
  for (const [who, text] of [[ann, "hello bob"], [bob, "hello ann"], [ann, "第三句"]]) {
    await say(who, text);
    await Promise.all([hears(ann, text), hears(bob, text)]);
  }
  assert.deepEqual((await texts(ann)).slice(-3), ["hello bob", "hello ann", "第三句"]);
  assert.deepEqual(await texts(bob), await texts(ann));
  await ann.waitForSelector('.message.own:has-text("第三句") .mark.check[aria-label="Stored on the server\'s disk"]');
  assert.equal(await bob.locator(".message.own").count(), 1, "only one's own words are tinted");
  await Promise.all([ann.context().close(), bob.context().close()]);
});

test("the lobby's first message says what to try", async () => {
  const page = await person(browser, server, "newcomer");
  await page.waitForSelector(".message .house");
  assert.match((await texts(page))[0], /Three things to try/);
  await page.context().close();
});

test("one to one: a click on a name, a badge there, and nobody else hears it", async () => {
  const [dan, eve, fay] = await Promise.all(["dan", "eve", "fay"].map((name) => person(browser, server, name)));
  await dan.click('.member button:has-text("eve")');
  await say(dan, "psst, eve");
  await eve.waitForSelector('.entry:has-text("dan") .badge:text-is("1")');
  await until(() => eve.title(), (title) => title === "(1) lobby · Parlor", "the title's badge");
  await eve.click('.entry a:has-text("dan")');
  await hears(eve, "psst, eve");
  await say(eve, "what is it?");
  await hears(dan, "what is it?");
  await until(() => eve.title(), (title) => title === "dan · Parlor", "the badge going away");
  await say(fay, "anybody?");
  await hears(fay, "anybody?");
  assert.ok(!(await fay.content()).includes("psst"));
  await Promise.all([dan, eve, fay].map((page) => page.context().close()));
});

test("a direct message waits for somebody who is away", async () => {
  const [gil, hal] = await Promise.all([person(browser, server, "gil"), person(browser, server, "hal")]);
  await hal.waitForSelector('.member:has-text("gil")');
  await gil.close();
  await hal.keyboard.press("Alt+d");
  await hal.fill(".picker input", "gil");
  await hal.keyboard.press("Enter");
  await say(hal, "for when you are back");
  await hal.waitForSelector(".message.own .mark.check");
  const back = watch(await gil.context().newPage());
  await back.goto(server.url);
  await back.waitForSelector('.entry:has-text("hal") .badge:text-is("1")');
  await back.click('.entry a:has-text("hal")');
  await hears(back, "for when you are back");
  await Promise.all([back, hal].map((page) => page.context().close()));
});

test("three tabs of one browser are three people with /?new, and two tabs without are one", async () => {
  const first = await person(browser, server, "ida");
  const tabs = [first];
  for (const name of ["jon", "kim"]) {
    const tab = watch(await first.context().newPage());
    await tab.goto(`${server.url}/?new`);
    tabs.push(await comeIn(tab, name));
  }
  const twin = watch(await first.context().newPage());
  await twin.goto(server.url);
  await twin.waitForSelector('.me-name:text-is("ida")');
  for (const tab of [...tabs, twin]) {
    for (const name of ["ida", "jon", "kim"]) await tab.waitForSelector(`.member:has-text("${name}")`);
  }
  await say(tabs[2], "I am kim");
  for (const tab of [...tabs, twin]) await tab.waitForSelector('.message:has(.name:text-is("kim")):has-text("I am kim")');
  await tabs[1].reload();
  await tabs[1].waitForSelector('.me-name:text-is("jon")');
  assert.equal(await first.locator('.member:has-text("ida")').count(), 1, "two tabs, one user");
  await first.context().close();
});

test("a reload keeps who one is, the history, the rooms, the talk that was open and what was half written", async () => {
  const page = await person(browser, server, "lea");
  await say(page, "before the reload");
  await page.waitForSelector('.message.own:has-text("before the reload") .mark.check');
  await page.keyboard.press("Control+k");
  await page.fill(".picker input", "quiet corner");
  await page.waitForSelector('.choice:has-text("Create “quiet-corner”")');
  await page.keyboard.press("Enter");
  await page.waitForSelector('.where:text-is("quiet-corner")');
  await say(page, "in the corner");
  await page.waitForSelector(".message.own .mark.check");
  await page.fill(".composer textarea", "half a sent");
  await page.reload();
  await page.waitForSelector('.where:text-is("quiet-corner")');
  await hears(page, "in the corner");
  assert.equal(await page.inputValue(".composer textarea"), "half a sent");
  assert.equal(new URL(page.url()).hash, "#/r/quiet-corner");
  await page.click('.entry a:has-text("lobby")');
  await hears(page, "before the reload");
  assert.equal(await page.inputValue(".composer textarea"), "");
  await page.goBack();
  await page.waitForSelector('.where:text-is("quiet-corner")');
  await page.context().close();
});

test("history scrolls back to the first message and does not move under the reader", async () => {
  for (let n = 1; n <= 130; n++) await server.publish({ room: "long", data: `line ${n}` });
  const page = await person(browser, server, "mia", { at: "#/r/long" });
  await hears(page, "line 130");
  await page.waitForSelector(".jump", { state: "hidden" });
  const scroller = page.locator(".scroller");
  const held = () => page.evaluate(() => {
    const box = document.querySelector(".scroller").getBoundingClientRect();
    const first = [...document.querySelectorAll(".message")].find((element) => element.getBoundingClientRect().bottom > box.top);
    return { text: first.querySelector(".text").textContent, top: Math.round(first.getBoundingClientRect().top) };
  });
  // A jump to somewhere in the middle fetches what is above; the line that is read stays where it is.
  await scroller.evaluate((element) => (element.scrollTop = 300));
  const before = await held();
  await page.waitForSelector('.message:has-text("line 40")', { state: "attached" });
  const after = await held();
  assert.equal(after.text, before.text);
  assert.ok(Math.abs(after.top - before.top) <= 2, `${before.top} and ${after.top}`);
  await until(
    async () => {
      await scroller.evaluate((element) => (element.scrollTop = 0));
      return page.locator(".beginning").count();
    },
    (count) => count === 1,
    "the beginning",
  );
  const all = await texts(page);
  assert.deepEqual(all, Array.from({ length: 130 }, (_, n) => `line ${n + 1}`));
  assert.match(await page.locator(".beginning").innerText(), /This is where long begins/);
  await server.publish({ room: "long", data: "meanwhile" });
  await page.waitForSelector('.jump:has-text("1 new message below")');
  await page.click(".jump");
  await hears(page, "meanwhile");
  await page.waitForSelector(".jump", { state: "hidden" });
  await page.context().close();
});

test("what is new elsewhere has a badge, and a line stands before it", async () => {
  const page = await person(browser, server, "nia");
  await page.keyboard.press("Control+k");
  await page.fill(".picker input", "news");
  await page.waitForSelector('.choice:has-text("Create")');
  await page.keyboard.press("Enter");
  await say(page, "old");
  await page.waitForSelector(".message.own .mark.check");
  await page.click('.entry a:has-text("lobby")');
  await server.publish({ room: "news", data: "fresh 1" });
  await server.publish({ room: "news", data: "fresh 2" });
  await page.waitForSelector('.entry:has-text("news") .badge:text-is("2")');
  await page.keyboard.press("Alt+u");
  await hears(page, "fresh 2");
  const order = await page.locator(".rows > li:not(.day)").evaluateAll((rows) => rows.map((row) => (row.classList.contains("new-line") ? "new" : row.querySelector(".text").textContent)));
  assert.deepEqual(order, ["old", "new", "fresh 1", "fresh 2"]);
  await page.waitForSelector('.entry:has-text("news") .badge', { state: "hidden" });
  await page.context().close();
});

test("who writes is named while they write, and no longer once they have said it", async () => {
  const [ola, pam] = await Promise.all([person(browser, server, "ola"), person(browser, server, "pam")]);
  await ola.waitForSelector('.member:has-text("pam")');
  await pam.locator(".composer textarea").pressSequentially("wait");
  await ola.waitForSelector('.typing:text-is("pam is writing …")');
  assert.equal(await pam.locator(".typing").innerText(), "", "nobody is told of themselves");
  await pam.press(".composer textarea", "Enter");
  await hears(ola, "wait");
  await ola.waitForSelector('.typing:text-is("")', { state: "attached" });
  await Promise.all([ola.context().close(), pam.context().close()]);
});

test("a name that is taken is refused with others to take, a bad one with the reason", async () => {
  const first = await person(browser, server, "quin");
  const second = await visit(browser, server.url);
  await second.fill("#name", "Quin");
  await second.keyboard.press("Enter");
  await second.waitForSelector(".suggestions button");
  assert.match(await second.locator(".problem").innerText(), /Somebody is called Quin already/);
  await second.click(".suggestions button >> nth=0");
  await second.waitForSelector(".composer");
  const third = await visit(browser, server.url);
  await third.fill("#name", "$boss");
  await third.keyboard.press("Enter");
  await third.waitForSelector('.problem:has-text("This name will not do.")');
  await third.fill("#name", "boss");
  await third.keyboard.press("Enter");
  await third.waitForSelector(".composer");
  await Promise.all([first, second, third].map((page) => page.context().close()));
});

test("a room that is refused is said and not kept", async () => {
  const page = await person(browser, server, "rob");
  await page.keyboard.press("Control+k");
  await page.fill(".picker input", "$secret");
  await page.waitForSelector('.choice:has-text("Create")');
  await page.keyboard.press("Enter");
  await page.waitForSelector(".toast");
  await page.waitForSelector('.where:text-is("lobby")');
  assert.equal(await page.locator('.entry:has-text("$secret")').count(), 0);
  await page.context().close();
});

test("a room that keeps nothing shows one's words once, and says so", async () => {
  const [sam, tom] = await Promise.all([person(browser, server, "sam", { at: "#/r/live:tick" }), person(browser, server, "tom", { at: "#/r/live:tick" })]);
  await sam.waitForSelector('.empty:has-text("Nothing is kept in this room")');
  await say(sam, "now");
  await hears(tom, "now");
  await say(tom, "and gone");
  await hears(sam, "and gone");
  await sam.waitForSelector('.message.own .mark[aria-label="Received"]');
  assert.deepEqual(await texts(sam), ["now", "and gone"]);
  assert.deepEqual(await texts(tom), ["now", "and gone"]);
  await Promise.all([sam.context().close(), tom.context().close()]);
});
