// What is shipped of the browser client: how large it is, and that its types are those of the code.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import test from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { minify } from "terser";

const WEB = path.join(import.meta.dirname, "..");
const SDK = path.join(WEB, "sdk");

/** The texts of a folder's files whose names end so. */
async function files(folder, end) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(end)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, name), "utf8")])));
}

test("the whole client, minified, is below 10 KB gzipped", async () => {
  let code = "";
  for (const text of Object.values(await files(SDK, ".js"))) code += (await minify(text, { module: true })).code;
  const size = gzipSync(code, { level: 9 }).length;
  assert.ok(size < 10 * 1024, `${size} bytes`);
});

test("the types that are shipped are those of the code", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "parlor-types-"));
  try {
    await promisify(execFile)(process.execPath, [path.join(WEB, "types.mjs"), folder]);
    assert.deepEqual(await files(path.join(SDK, "types"), ".d.ts"), await files(folder, ".d.ts"), "run `npm run types` and commit what it writes");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("the client imports nothing but its own files", async () => {
  for (const [name, text] of Object.entries(await files(SDK, ".js"))) {
    for (const [, from] of text.matchAll(/^import .* from "(.*)";$/gm)) assert.match(from, /^\.\/\w+\.js$/, name);
  }
});
