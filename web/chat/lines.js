// The lines that talk to the open conversation from elsewhere; each works on a Parlor started without arguments.

/** @typedef {{id: "console" | "curl" | "python" | "terminal" | "connect", text: string}} Line */

/**
 * @param {{kind: "r" | "d", name: string}} conversation
 * @param {{protocol: string, host: string, origin: string}} place  where the page was opened
 * @returns {Line[]}
 */
export function linesFor({ kind, name }, { protocol, host, origin }) {
  const ws = protocol === "https:" ? "wss" : "ws";
  return kind === "r" ? roomLines(name, ws, host, origin) : personLines(name, ws, host);
}

/** Names hold no quotes, backslashes or dollars, so they stand in shell and JSON as they are. @param {string} room @param {string} ws @param {string} host @param {string} origin @returns {Line[]} */
function roomLines(room, ws, host, origin) {
  const query = encodeURIComponent(room);
  const publish = (/** @type {string} */ data) => `{"type":"publish","room":"${room}","data":"${data}"}`;
  return [
    inConsole(ws, `&room=${query}`, publish("hi from the console")),
    { id: "curl", text: `curl ${origin}/api/publish -H "Authorization: Bearer $(cat parlor-data/api.key)" -d '{"room":"${room}","data":"hi from curl"}'` },
    inPython(`${ws}://${host}/ws?name=py&room=${query}`, publish("hi from Python")),
    { id: "terminal", text: `parlor publish ${word(room)} 'hi from the terminal' --server ${origin}\nparlor tail ${word(room)} --server ${origin}` },
    { id: "connect", text: `parlor connect ${ws}://${host} --name terminal --room ${word(room)}` },
  ];
}

/** @param {string} name @param {string} ws @param {string} host @returns {Line[]} */
function personLines(name, ws, host) {
  const direct = (/** @type {string} */ data) => `{"type":"direct","to":"${name}","data":"${data}"}`;
  return [
    inConsole(ws, "", direct("psst, from the console")),
    inPython(`${ws}://${host}/ws?name=py`, direct("psst, from Python")),
    { id: "connect", text: `echo '/msg "${name}" psst, from the terminal' | parlor connect ${ws}://${host} --name terminal` },
  ];
}

/** What is copied is pasted at once, so the line waits for the connection itself. @param {string} ws @param {string} room  "&room=…" or nothing @param {string} command @returns {Line} */
function inConsole(ws, room, command) {
  return {
    id: "console",
    text: `ws = new WebSocket(\`${ws}://\${location.host}/ws?name=console${room}\`); ws.onmessage = e => console.log(e.data)
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
