// A real nginx of the test's own in front of a server, with the lines that docs/proxy.md gives or with as few as possible.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { until } from "./helper.mjs";

const BARE = "location / { proxy_pass http://127.0.0.1:9527; }";

/** The first block of the docs for nginx. */
async function documented() {
  const docs = await readFile(path.join(import.meta.dirname, "../../docs/proxy.md"), "utf8");
  return /```nginx\n(.*?)```/s.exec(docs)[1];
}

/** A port that is free now; nginx cannot choose one by itself. */
export async function freePort() {
  const taken = net.createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address();
  taken.close();
  await once(taken, "close");
  return port;
}

/** @param {number} port @param {{port: number}} server @param {{bare: boolean}} how */
export async function startNginx(port, server, { bare }) {
  const folder = await mkdtemp(path.join(tmpdir(), "parlor-nginx-"));
  const location = (bare ? BARE : await documented()).replace("127.0.0.1:9527", `127.0.0.1:${server.port}`);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`);
  const config = `pid ${folder}/pid; daemon off; events {} http { access_log off; ${paths.join(" ")}
    server { listen 127.0.0.1:${port}; ${location} } }`;
  await writeFile(path.join(folder, "nginx.conf"), config);
  const nginx = spawn("nginx", ["-c", path.join(folder, "nginx.conf"), "-p", folder, "-e", path.join(folder, "error.log")], { stdio: "ignore" });
  const url = `http://127.0.0.1:${port}`;
  await until(() => fetch(url).then(({ ok }) => ok, () => false), (ok) => ok, "nginx answering");
  return {
    url,
    async stop() {
      nginx.kill();
      if (nginx.exitCode === null) await once(nginx, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
