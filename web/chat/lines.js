// The lines that talk to the open conversation from elsewhere; each works on a Parlor started without arguments.

/** @typedef {{id: "console" | "curl" | "python" | "terminal" | "connect", text: string}} Line */

/**
 * @param {{kind: "r" | "d", name: string}} conversation
 * @param {string} here  the address of the page, with a slash at its end
 * @returns {Line[]}
 */
export function linesFor({ kind, name }, here) {
  const base = here.slice(0, -1);
  return kind === "r" ? roomLines(name, base) : personLines(name, base);
}

/** An http address as one for WebSockets. @param {string} url */
const ws = (url) => url.replace(/^http/, "ws");

/** For `parlor connect`, which knows where the chat is unless a proxy has put it into a folder. @param {string} base */
const chat = (base) => ws(base) + (new URL(base).pathname === "/" ? "" : "/ws");

/** Names hold no quotes, backslashes or dollars, so they stand in shell and JSON as they are. @param {string} room @param {string} base @returns {Line[]} */
function roomLines(room, base) {
  const query = encodeURIComponent(room);
  const publish = (/** @type {string} */ data) => `{"type":"publish","room":"${room}","data":"${data}"}`;
  return [
    inConsole(base, `&room=${query}`, publish("hi from the console")),
    { id: "curl", text: `curl ${base}/api/publish -H "Authorization: Bearer $(cat parlor-data/api.key)" -d '{"room":"${room}","data":"hi from curl"}'` },
    inPython(`${ws(base)}/ws?name=py&room=${query}`, publish("hi from Python")),
    { id: "terminal", text: `parlor publish ${word(room)} 'hi from the terminal' --server ${base}\nparlor tail ${word(room)} --server ${base}` },
    { id: "connect", text: `parlor connect ${chat(base)} --name terminal --room ${word(room)}` },
  ];
}

/** @param {string} name @param {string} base @returns {Line[]} */
function personLines(name, base) {
  const direct = (/** @type {string} */ data) => `{"type":"direct","to":"${name}","data":"${data}"}`;
  return [
    inConsole(base, "", direct("psst, from the console")),
    inPython(`${ws(base)}/ws?name=py`, direct("psst, from Python")),
    { id: "connect", text: `echo '/msg "${name}" psst, from the terminal' | parlor connect ${chat(base)} --name terminal` },
  ];
}

/** What is copied is pasted at once, so the line waits for the connection itself. @param {string} base @param {string} room  "&room=…" or nothing @param {string} command @returns {Line} */
function inConsole(base, room, command) {
  const { protocol, pathname } = new URL(base);
  const address = `${ws(protocol)}//\${location.host}${pathname === "/" ? "" : pathname}`;
  return {
    id: "console",
    text: `ws = new WebSocket(\`${address}/ws?name=console${room}\`); ws.onmessage = e => console.log(e.data)
ws.onopen = () => ws.send('${command}')`,
  };
}

/** @param {string} url @param {string} command @returns {Line} */
function inPython(url, command) {
  return {
    id: "python",
    text: `import asyncio, websockets

async def main():
    async with websockets.connect("${url}") as ws:
        await ws.send('${command}')
        async for line in ws:
            print(line)

asyncio.run(main())`,
  };
}

/** A name as one word of a shell: a few signs that names may hold mean something there. @param {string} name */
function word(name) {
  return /[;~! ]/.test(name) ? `'${name}'` : name;
}
