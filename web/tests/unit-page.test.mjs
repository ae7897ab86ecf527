// The page's rules without a page: the order of messages, grouping, markup, outages, words, lines to copy.
import assert from "node:assert/strict";
import test from "node:test";
import { Conversation, parseAddress } from "../chat/conversation.js";
import { HUES, hueOf, initial } from "../chat/hue.js";
import { linesFor } from "../chat/lines.js";
import { KEPT, Log } from "../chat/log.js";
import { calls, parse, safeAddress } from "../chat/markup.js";
import { Outage } from "../chat/outage.js";
import { newLine, rowsOf } from "../chat/rows.js";
import { en } from "../chat/strings/en.js";
import { zh } from "../chat/strings/zh.js";
import { clock, dayName } from "../chat/time.js";

const NOON = new Date(2026, 8, 21, 12).getTime();

const said = (offset, data = `m${offset}`, more = {}) => ({
  type: "message", room: "lobby", offset, pos: `p${offset}`, from: "bob", user: "g2", event: "message", data, time: NOON + (offset ?? 0) * 1000, ...more,
});
const mine = (offset, data) => said(offset, data, { from: "ann", user: "g1" });
const texts = (log) => log.items.map(({ data }) => data);
const line = (key, data = key) => ({ key, data, time: NOON, user: "g1", from: "ann" });

test("messages stand by their offset, whichever way and order they come", () => {
  const log = new Log();
  log.receive(said(5), "g1");
  log.receive(said(7), "g1");
  log.receive(said(6), "g1");
  assert.equal(log.receive(said(6), "g1"), false, "the same message is not new");
  log.prepend([said(3), said(4), said(5)], true);
  assert.deepEqual(texts(log), ["m3", "m4", "m5", "m6", "m7"]);
  assert.deepEqual([log.firstOffset, log.lastOffset, log.more], [3, 7, true]);
});

const ME = { user: "g1", from: "ann" };

test("one's own message is seen once, whether the echo or the answer comes first", () => {
  for (const echoFirst of [true, false]) {
    const log = new Log();
    log.send(line("k1", "hi"));
    const id = log.items[0].id;
    const steps = [() => log.receive(mine(8, "hi"), "g1"), () => log.confirm("k1", { offset: 8, ack: "local" }, ME)];
    for (const step of echoFirst ? steps : steps.reverse()) step();
    assert.deepEqual(log.items.map(({ id, offset, status, ack }) => [id, offset, status, ack]), [[id, 8, "stored", "local"]], `echo first: ${echoFirst}`);
  }
});

test("a line that was written before one knew who one is belongs to the account that sent it", () => {
  const log = new Log();
  log.send({ key: "k1", data: "hi", time: NOON });
  log.confirm("k1", { offset: 8, ack: "local" }, ME);
  assert.equal(log.receive(mine(8, "hi"), "g1"), false, "the echo comes last and is nothing new");
  assert.deepEqual(log.items.map(({ user, from, status }) => [user, from, status]), [["g1", "ann", "stored"]]);
});

test("the same words from another tab do not swallow one's own", () => {
  const log = new Log();
  log.send(line("k1", "hi"));
  log.receive(mine(8, "hi"), "g1");
  assert.equal(log.items.length, 1, "taken for the echo at first");
  log.confirm("k1", { offset: 9, ack: "local" }, ME);
  log.receive(mine(9, "hi"), "g1");
  assert.deepEqual(log.items.map(({ offset }) => offset), [8, 9]);
});

test("equal messages sent in a row stay as many as they are", () => {
  const log = new Log();
  for (const key of ["k1", "k2", "k3"]) log.send(line(key, "ha"));
  log.receive(mine(1, "ha"), "g1");
  log.confirm("k1", { offset: 1, ack: "local" }, ME);
  log.confirm("k2", { offset: 2, ack: "local" }, ME);
  log.receive(mine(2, "ha"), "g1");
  log.receive(mine(3, "ha"), "g1");
  log.confirm("k3", { offset: 3, ack: "local" }, ME);
  assert.deepEqual(log.items.map(({ offset, status }) => [offset, status]), [[1, "stored"], [2, "stored"], [3, "stored"]]);
});

test("waiting and failed lines stand at the end; a refused one can be taken back", () => {
  const log = new Log();
  log.receive(said(1), "g1");
  log.send(line("k1"));
  log.send(line("k2"));
  log.fail("k1", { code: "rate_limited", message: "slower" });
  log.receive(said(2), "g1");
  assert.deepEqual(log.items.map(({ data, status }) => [data, status]), [["m1", "stored"], ["m2", "stored"], ["k1", "failed"], ["k2", "sending"]]);
  assert.equal(log.remove("k1").data, "k1");
  assert.deepEqual(texts(log), ["m1", "m2", "k2"]);
});

test("in a room that keeps nothing a line takes its place at the answer", () => {
  const log = new Log();
  log.receive({ ...said(undefined, "tick"), offset: undefined }, "g1");
  log.send(line("k1"));
  log.confirm("k1", { ack: "none" }, ME);
  assert.deepEqual(log.items.map(({ data, status, ack }) => [data, status, ack]), [["tick", "stored", undefined], ["k1", "stored", "none"]]);
});

test("a log that grows too long lets go of its oldest half and knows that there is more", () => {
  const log = new Log();
  for (let offset = 1; offset <= KEPT + 1; offset++) log.receive(said(offset), "g1");
  log.trim();
  assert.equal(log.stored.length, KEPT / 2);
  assert.deepEqual([log.lastOffset, log.more], [KEPT + 1, true]);
});

test("clearing forgets what is stored and keeps what is on its way", () => {
  const log = new Log();
  log.receive(said(1), "g1");
  log.send(line("k1"));
  log.clear();
  assert.deepEqual(texts(log), ["k1"]);
});

test("rows: a line per day, groups of one author within five minutes, one line for what is new", () => {
  const day = 24 * 3600_000;
  const items = [said(1), said(2), said(3, "m3", { user: "g3", from: "eve" }), said(4, "m4", { time: NOON + 10 * 60_000, user: "g3", from: "eve" }), said(5, "m5", { time: NOON + day })];
  const shape = (newAfter) => rowsOf(items, newAfter).map((row) => (row.kind === "message" ? `${row.item.data}${row.head ? "*" : ""}` : row.kind));
  assert.deepEqual(shape(undefined), ["day", "m1*", "m2", "m3*", "m4*", "day", "m5*"]);
  assert.deepEqual(shape(1), ["day", "m1*", "new", "m2*", "m3*", "m4*", "day", "m5*"]);
  assert.deepEqual(shape(9), ["day", "m1*", "m2", "m3*", "m4*", "day", "m5*"]);
});

test("the new line stands before the first unread message of somebody else", () => {
  const items = [said(1), said(2), mine(3, "x"), said(4)];
  for (const [unread, expected] of [[0, undefined], [1, 3], [2, 1], [3, 0], [99, 0]]) assert.equal(newLine(items, unread, "g1"), expected, `${unread} unread`);
});

const shape = (text, names) => parse(text, names).map((token) => (token.type === "text" ? token.text : { [token.type]: token.href ?? token.text }));

test("markup finds code, links and names, and leaves everything else alone", () => {
  const rows = [
    ["hello", ["hello"]],
    ["<b>&amp;</b>", ["<b>&amp;</b>"]],
    ["say `x < y` now", ["say ", { code: "x < y" }, " now"]],
    ["``a ` b``", [{ code: "a ` b" }]],
    ["a ` b", ["a ` b"]],
    ["```\ncode\n```", [{ block: "code" }]],
    ["look:\n```rust\nlet a = `b`;\n\n@ann\n```\nwell", ["look:\n", { block: "let a = `b`;\n\n@ann" }, "well"]],
    ["see https://a.example/x?y=1#z.", ["see ", { link: "https://a.example/x?y=1#z" }, "."]],
    ["(https://a.example/b_(c))", ["(", { link: "https://a.example/b_(c)" }, ")"]],
    ["看https://a.example/x吧", ["看", { link: "https://a.example/x" }, "吧"]],
    ["看 http://a.example，好", ["看 ", { link: "http://a.example/" }, "，好"]],
    ["javascript:alert(1) data:text/html,x ftp://a.example", ["javascript:alert(1) data:text/html,x ftp://a.example"]],
    ["https://", ["https://"]],
    ["`https://a.example`", [{ code: "https://a.example" }]],
    ["hi @ann, you", ["hi ", { mention: "@ann" }, ", you"]],
    ["mail ann@b.example", ["mail ann@b.example"]],
    ["@小明：你好", [{ mention: "@小明" }, "：你好"]],
    ["https://a.example/@ann", [{ link: "https://a.example/@ann" }]],
  ];
  for (const [text, expected] of rows) assert.deepEqual(shape(text), expected, text);
});

test("a known name is called whole, with its spaces and without a separator in Chinese", () => {
  assert.deepEqual(shape("@Eve O. hi", ["Eve", "Eve O."]), [{ mention: "@Eve O." }, " hi"]);
  assert.deepEqual(shape("@eve o. hi", ["Eve O."]), [{ mention: "@eve o." }, " hi"]);
  assert.deepEqual(shape("@小明你好", ["小明"]), [{ mention: "@小明" }, "你好"]);
  assert.deepEqual(shape("@annabel", ["ann"]), [{ mention: "@annabel" }]);
  assert.ok(calls(parse("@ANN!"), "ann"));
  assert.ok(!calls(parse("@annabel"), "ann"));
});

test("markup of 64 KB that wants to be slow is read to its end", { timeout: 20_000 }, () => {
  const names = Array.from({ length: 200 }, (_, n) => `name${n}`);
  // Each of these takes minutes with a pattern that backtracks or rescans.
  const hostile = ["`".repeat(65_536), "`a".repeat(32_768), "```\n".repeat(16_384), "https://a" + ")".repeat(65_000), "@a" + "-".repeat(65_000), "@a ".repeat(21_000), "https://".repeat(8_000)];
  for (const text of hostile) {
    const read = parse(text, names);
    const kept = read.reduce((sum, token) => sum + token.text.length, 0);
    assert.ok(kept + text.split("`").length + text.split("\n").length >= text.length, `nothing of ${text.slice(0, 10)}… is lost but its marks`);
  }
});

test("only http and https addresses with a host may be opened", () => {
  for (const [text, expected] of [["https://a.example", "https://a.example/"], ["HTTP://A.example/x", "http://a.example/x"], ["javascript://x%0aalert(1)", null], ["http://", null], ["file:///etc", null]]) {
    assert.equal(safeAddress(text), expected, text);
  }
});

test("an outage tells what waits, then what was caught up, then nothing", () => {
  const outage = new Outage();
  assert.deepEqual(outage.notice(0, false), { kind: "connecting" });
  outage.state({ phase: "connecting" }, 0);
  outage.state({ phase: "open" }, 0);
  assert.deepEqual(outage.notice(0, false), { kind: "none" });
  outage.state({ phase: "waiting", retryAt: 5 }, 0);
  assert.deepEqual(outage.notice(2, false), { kind: "down", retryAt: 5, waiting: 2 });
  outage.state({ phase: "connecting" }, 2);
  assert.equal(outage.notice(2, false).kind, "down");
  outage.state({ phase: "open" }, 2);
  outage.caught();
  assert.deepEqual(outage.notice(0, true), { kind: "back", catching: true, caught: 1, resent: 2, notRecovered: [] });
  assert.equal(outage.dismiss(), true);
  assert.equal(outage.dismiss(), false);
  outage.caught();
  assert.deepEqual(outage.notice(0, false), { kind: "none" });
  outage.state({ phase: "closed", code: 4503, reason: "kicked" }, 0);
  assert.deepEqual(outage.notice(0, false), { kind: "closed", code: 4503, reason: "kicked" });
});

test("addresses name rooms and people in any script, and nothing else", () => {
  assert.equal(new Conversation("r", "客厅/1").address, "#/r/%E5%AE%A2%E5%8E%85%2F1");
  for (const [hash, expected] of [
    ["#/r/lobby", { kind: "r", name: "lobby" }],
    [new Conversation("d", "Eve O.").address, { kind: "d", name: "Eve O." }],
    [new Conversation("r", "客厅/1").address, { kind: "r", name: "客厅/1" }],
    ["#/r/%", null], ["#/x/lobby", null], ["", null], ["#/r/", null],
  ]) assert.deepEqual(parseAddress(hash), expected, hash);
});

test("each language says everything, with the same blanks", () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const [key, english] of Object.entries(en)) {
    assert.equal(typeof zh[key], typeof english, key);
    if (typeof english === "string" && key !== "gap") assert.notEqual(zh[key].trim(), "", key);
  }
  const same = Object.keys(en).filter((key) => typeof en[key] === "string" && en[key] === zh[key]);
  assert.deepEqual(same.sort(), ["line_curl", "line_python", "server"], "the same in both languages only where it is a name");
});

test("counts are told in both languages", () => {
  assert.equal(en.caughtUp(1), "Caught up 1 message.");
  assert.equal(en.caughtUp(12), "Caught up 12 messages.");
  assert.equal(zh.caughtUp(12), "已补上 12 条消息。");
  assert.equal(en.titleUnread(120, "lobby"), "(99+) lobby · Parlor");
  assert.equal(en.typing(["ann", "bob"]), "ann and bob are writing …");
});

test("the lines to copy name the room in URL and JSON, and the server that the page came from", () => {
  const place = "http://192.168.1.5:9527/";
  const lines = Object.fromEntries(linesFor({ kind: "r", name: "客厅" }, place).map(({ id, text }) => [id, text]));
  assert.ok(lines.console.includes("room=%E5%AE%A2%E5%8E%85") && lines.console.includes('"room":"客厅"'));
  assert.equal(lines.curl, `curl http://192.168.1.5:9527/api/publish -H "Authorization: Bearer $(cat parlor-data/api.key)" -d '{"room":"客厅","data":"hi from curl"}'`);
  assert.equal(lines.connect, "parlor connect ws://192.168.1.5:9527 --name terminal --room 客厅");
  const odd = linesFor({ kind: "r", name: "a;b!" }, place).find(({ id }) => id === "terminal");
  assert.ok(odd?.text.startsWith("parlor publish 'a;b!' 'hi from the terminal'"), odd?.text);
  const behind = Object.fromEntries(linesFor({ kind: "d", name: "bob" }, "https://a.example/talk/").map(({ id, text }) => [id, text]));
  assert.ok(behind.console.startsWith("ws = new WebSocket(`wss://${location.host}/talk/ws?name=console`)"), behind.console);
  assert.ok(behind.python.includes('"wss://a.example/talk/ws?name=py"') && behind.connect.endsWith("parlor connect wss://a.example/talk/ws --name terminal"));
});

test("hues and initials are the same everywhere", () => {
  assert.equal(hueOf("g3k"), hueOf("g3k"));
  assert.equal(new Set(Array.from({ length: 500 }, (_, n) => hueOf(`g${n}`))).size, HUES);
  for (const [name, letter] of [["ann", "A"], ["小明", "小"], ["👩‍🚀 Zoe", "👩‍🚀"], ["", "·"]]) assert.equal(initial(name), letter);
});

test("times read as people say them", () => {
  const words = { today: "Today", yesterday: "Yesterday" };
  assert.equal(clock(new Date(2026, 0, 1, 9, 5).getTime()), "09:05");
  assert.equal(dayName(NOON, NOON, "en", words), "Today");
  assert.equal(dayName(NOON - 24 * 3600_000, NOON, "en", words), "Yesterday");
  assert.equal(dayName(new Date(2026, 0, 1).getTime(), NOON, "en", words), "Thursday, January 1");
  assert.equal(dayName(new Date(2025, 0, 1).getTime(), NOON, "zh", words), "2025年1月1日星期三");
});
