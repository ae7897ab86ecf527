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

/** What is copied is pasted at once, so the console's line waits for the connection itself. Names hold no quotes, backslashes or dollars, so they stand in shell and JSON as they are. @param {string} room @param {string} ws @param {string} host @param {string} origin @returns {Line[]} */
function roomLines(room, ws, host, origin) {
  const query = encodeURIComponent(room);
  const publish = (/** @type {string} */ data) => `{"type":"publish","room":"${room}","data":"${data}"}`;
  return [
    {
      id: "console",
      text: `ws = new WebSocket(\`${ws}://\${location.host}/ws?name=console&room=${query}\`); ws.onmessage = e => console.log(e.data)
ws.onopen = () => ws.send('${publish("hi from the console")}')`,
    },
    { id: "curl", text: `curl ${origin}/api/publish -H "Authorization: Bearer $(cat parlor-data/api.key)" -d '{"room":"${room}","data":"hi from curl"}'` },
    {
      id: "python",
      text: `import asyncio, websockets

async def main():
    async with websockets.connect("${ws}://${host}/ws?name=py&room=${query}") as ws:
        await ws.send('${publish("hi from Python")}')
        async for line in ws:
            print(line)

asyncio.run(main())`,
    },
    { id: "terminal", text: `parlor publish ${word(room)} 'hi from the terminal' --server ${origin}\nparlor tail ${word(room)} --server ${origin}` },
    { id: "connect", text: `parlor connect ${ws}://${host} --name terminal --room ${word(room)}` },
  ];
}

/** @param {string} name @param {string} ws @param {string} host @returns {Line[]} */
function personLines(name, ws, host) {
  const direct = (/** @type {string} */ data) => `{"type":"direct","to":"${name}","data":"${data}"}`;
  return [
    {
      id: "console",
      text: `ws = new WebSocket(\`${ws}://\${location.host}/ws?name=console\`); ws.onmessage = e => console.log(e.data)
ws.onopen = () => ws.send('${direct("psst, from the console")}')`,
    },
    {
      id: "python",
      text: `import asyncio, websockets

async def main():
    async with websockets.connect("${ws}://${host}/ws?name=py") as ws:
        await ws.send('${direct("psst, from Python")}')
        async for line in ws:
            print(line)

asyncio.run(main())`,
    },
    { id: "connect", text: `echo '/msg "${name}" psst, from the terminal' | parlor connect ${ws}://${host} --name terminal` },
  ];
}

/** A name as one word of a shell: a few signs that names may hold mean something there. @param {string} name */
function word(name) {
  return /[;~! ]/.test(name) ? `'${name}'` : name;
}
