// Makes the types that are shipped beside the browser client from its code: `npm run types`.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const folder = process.argv[2] ?? path.join(import.meta.dirname, "sdk/types");
const tsc = path.join(import.meta.dirname, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", path.join(import.meta.dirname, "tsconfig.types.json"), "--outDir", folder], { stdio: "inherit" });
for (const name of readdirSync(folder)) {
  const file = path.join(folder, name);
  writeFileSync(file, `// The types of ${name.replace(".d.ts", ".js")}, made from its code.\n${readFileSync(file, "utf8")}`);
}
