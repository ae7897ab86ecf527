// What the page looks like, measured: contrast in both schemes, a phone's width, both languages, names for everything.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { en } from "../chat/strings/en.js";
import { zh } from "../chat/strings/zh.js";
import { Server, comeIn, hears, openBrowser, person, problems, say, visit } from "./helper.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start(), openBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.remove();
  assert.deepEqual(problems, []);
});

/** Contrast of every visible text with what is really behind it (WCAG 2.2, 1.4.3), as measured in the page. */
function contrasts() {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const color = rgba(getComputedStyle(element).backgroundColor);
    return color[3] === 1 ? color : over(color, behind(element.parentElement));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (text === "" || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest(".unseen, :disabled, option, noscript")) continue;
    const back = behind(element);
    const front = over(rgba(getComputedStyle(element).color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    found.push({ text: text.slice(0, 30), class: element.className, ratio: (high + 0.05) / (low + 0.05) });
  }
  return found;
}

/** Everything that can be pressed and has no name, or is smaller than 40 pixels both ways. */
function pressables() {
  const wrong = [];
  for (const element of document.querySelectorAll("button, a[href], input, textarea, [role=option]")) {
    if (!element.checkVisibility() || element.closest(".text, .unseen")) continue;
    const name = (element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent ?? "").trim();
    const { width, height } = (element.closest("label") ?? element).getBoundingClientRect();
    if (name === "") wrong.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    if (height < 39.5 || width < 39.5) wrong.push(`${Math.round(width)}x${Math.round(height)}: ${element.outerHTML.slice(0, 120)}`);
  }
  return wrong;
}

/** A page with one of everything on it. */
async function full(page, name) {
  await say(page, `hello @${name}, see https://a.example and \`code\`\n\`\`\`\nblock\n\`\`\``);
  await server.publish({ room: "lobby", data: `@${name} somebody calls` });
  for (let user = 0; user < 3; user++) await server.publish({ room: "lobby", data: `from a program ${user}` });
  await hears(page, "from a program 2");
}

for (const scheme of ["light", "dark"]) {
  test(`every text has a contrast of at least 4.5 in ${scheme}`, async () => {
    const name = `eye-${scheme}`;
    const page = await person(browser, server, name, { colorScheme: scheme });
    await full(page, name);
    const seen = [];
    const look = async (where) => seen.push(...(await page.evaluate(contrasts)).map((row) => ({ where, ...row })));
    await look("talk");
    for (const [key, where] of [["Alt+m", "menu"], ["Control+k", "rooms"], ["Control+/", "keys"], ["Alt+i", "invite"]]) {
      await page.keyboard.press(key);
      await page.waitForSelector("dialog[open]");
      await look(where);
      await page.keyboard.press("Escape");
      await page.waitForSelector("dialog", { state: "detached" });
    }
    await page.keyboard.press("Alt+t");
    await page.waitForSelector(".drawer");
    await look("drawer");
    const bad = seen.filter(({ ratio }) => ratio < 4.5);
    assert.deepEqual(bad, []);
    assert.ok(seen.length > 100, `${seen.length} texts were measured`);
    await page.context().close();
  });

  test(`twelve hues are legible on every ground in ${scheme}`, async () => {
    const page = await visit(browser, server.url, { colorScheme: scheme });
    await page.evaluate(() => {
      const list = document.body.appendChild(document.createElement("ol"));
      for (let hue = 0; hue < 12; hue++) {
        for (const ground of ["message", "message own", "message called"]) {
          const item = list.appendChild(document.createElement("li"));
          item.className = ground;
          const name = item.appendChild(document.createElement("span"));
          name.className = `name hue-${hue}`;
          name.textContent = "on paper";
          const bubble = item.appendChild(document.createElement("div"));
          bubble.className = "bubble";
          for (const kind of ["name", "avatar"]) bubble.appendChild(document.createElement("span")).className = `${kind} hue-${hue}`;
          for (const span of bubble.children) span.textContent = "H";
        }
      }
    });
    const measured = (await page.evaluate(contrasts)).filter((row) => /hue-/.test(row.class));
    assert.equal(measured.length, 12 * 3 * 3);
    assert.deepEqual(measured.filter(({ ratio }) => ratio < 4.5), []);
    await page.context().close();
  });
}

test("the door, in both schemes and languages, asks one thing and is legible", async () => {
  for (const [locale, table] of [["en-US", en], ["zh-CN", zh]]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(browser, server.url, { locale, colorScheme });
      await page.waitForSelector(`label:text-is("${table.nameQuestion}")`);
      assert.equal(await page.locator("input").count(), 1);
      assert.deepEqual((await page.evaluate(contrasts)).filter(({ ratio }) => ratio < 4.5), []);
      assert.deepEqual(await page.evaluate(pressables), []);
      await page.context().close();
    }
  }
});

test("on a phone there is one column: the list behind an arrow, people behind the count, nothing wider than the screen", async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
  const page = await person(browser, server, "fon", phone);
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth > innerWidth || document.body.scrollWidth > innerWidth);
  await full(page, "fon");
  await say(page, "x".repeat(400));
  assert.equal(await wide(), false);
  assert.equal(await page.locator(".side").isVisible(), false);
  assert.equal(await page.locator(".aside").isVisible(), false);
  assert.deepEqual(await page.evaluate(pressables), []);
  const composer = await page.locator(".composer").boundingBox();
  assert.ok(composer.y + composer.height <= 844, "the field stands on the screen");
  await page.tap(".count");
  await page.waitForSelector('.sheet .member:has-text("fon")');
  assert.equal(await wide(), false);
  await page.tap(".sheet header button");
  await page.tap(".to-list");
  await page.waitForSelector(".side");
  assert.equal(await page.locator(".talk").isVisible(), false);
  assert.deepEqual(await page.evaluate(pressables), []);
  await page.tap(".join-room");
  await page.fill(".picker input", "pocket");
  await page.tap('.choice:has-text("Create")');
  await page.waitForSelector('.where:text-is("pocket")');
  await page.tap(".talk-from");
  await page.waitForSelector(".drawer");
  assert.equal(await wide(), false);
  await page.tap(".drawer header button");
  await page.waitForSelector(".drawer", { state: "hidden" });
  await page.context().close();
});

test("the smallest phone and a tablet show everything without sideways scrolling", async () => {
  for (const width of [320, 719, 720, 900, 1024]) {
    const page = await person(browser, server, `w${width}`, { viewport: { width, height: 640 } });
    await hears(page, "from a program 2");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `${width}`);
    assert.ok(await page.locator(".composer").isVisible());
    await page.context().close();
  }
});

test("the browser's language is spoken, and the menu changes it at once and for good", async () => {
  const page = await person(browser, server, "mei", { locale: "zh-CN" });
  await page.waitForSelector('.side-head:has-text("房间")');
  await page.waitForSelector('textarea[placeholder="在「lobby」说点什么"]');
  assert.equal(await page.getAttribute("html", "lang"), "zh");
  await page.fill(".composer textarea", "写到一半");
  await page.keyboard.press("Alt+m");
  await page.click('.radio:has-text("English")');
  await page.waitForSelector('.side-head:has-text("Rooms")');
  assert.equal(await page.inputValue(".composer textarea"), "写到一半");
  await hears(page, "from a program 2");
  await page.reload();
  await page.waitForSelector('.side-head:has-text("Rooms")');
  assert.equal(await page.getAttribute("html", "lang"), "en");
  await page.context().close();
});

test("light and dark follow the device until the reader chooses", async () => {
  const page = await person(browser, server, "lux", { colorScheme: "dark" });
  // The page hears of the device's change with the next frame, so the colour is waited for.
  const paper = (colour) => page.waitForFunction((wanted) => getComputedStyle(document.body).backgroundColor === wanted, colour);
  const [dark, light] = ["rgb(23, 22, 19)", "rgb(251, 248, 243)"];
  await paper(dark);
  await page.emulateMedia({ colorScheme: "light" });
  await paper(light);
  await page.keyboard.press("Alt+m");
  await page.click('.radio:has-text("Dark")');
  await paper(dark);
  await page.reload();
  await paper(dark);
  await page.context().close();
});

test("new messages are announced politely, and history is not", async () => {
  const page = await person(browser, server, "ear");
  await hears(page, "from a program 2");
  const voice = page.locator('[role="log"][aria-live="polite"]');
  assert.equal(await voice.innerText(), "");
  await server.publish({ room: "lobby", data: "something new" });
  await voice.getByText("Parlor: something new").waitFor({ state: "attached" });
  await page.context().close();
});

test("everything that can be pressed has a name and is large enough, and focus is visible", async () => {
  const page = await person(browser, server, "tab");
  await hears(page, "from a program 2");
  assert.deepEqual(await page.evaluate(pressables), []);
  const stops = new Set();
  for (let n = 0; n < 40; n++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (element === document.body) return null;
      const shown = element.closest(".composer") ?? element;
      const { outlineStyle, outlineWidth } = getComputedStyle(shown);
      return { what: `${element.tagName} ${element.className} ${element.getAttribute("aria-label") ?? element.textContent}`.slice(0, 60), visible: outlineStyle !== "none" && outlineWidth !== "0px" };
    });
    if (!stop) continue;
    assert.ok(stop.visible, stop.what);
    stops.add(stop.what);
  }
  for (const part of ["entry", "join-room", "me", "scroller", "talk-from", "TEXTAREA", "person"]) assert.ok([...stops].some((what) => what.includes(part)), `${part} is reached by Tab: ${[...stops].join(" | ")}`);
  await page.context().close();
});

test("a door in another tab of the same browser opens by itself once there is a name", async () => {
  const context = await browser.newContext({ locale: "en-US" });
  const [left, right] = [await context.newPage(), await context.newPage()];
  await Promise.all([left.goto(server.url), right.goto(server.url)]);
  await comeIn(left, "twin");
  await right.waitForSelector('.me-name:text-is("twin")');
  await context.close();
});
