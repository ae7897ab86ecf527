"""The lines of the README, run as they stand there on a server started without arguments."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import websocket
from parlor import PATIENCE, Server

README = os.path.join(os.path.dirname(__file__), "..", "..", "README.md")


def blocks(language):
    """The code blocks of this language."""
    with open(README, encoding="utf-8") as file:
        return re.findall(rf"^```{language}\n(.*?)^```$", file.read(), re.M | re.S)


class Lines(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.bob = websocket.create_connection(self.server.ws("?name=bob&room=lobby"), timeout=PATIENCE)
        self.addCleanup(self.bob.close)
        self.hears("type", "joined")

    def hears(self, field, value):
        while (heard := json.loads(self.bob.recv())).get(field) != value:
            pass
        return heard

    def here(self, text):
        """The only change: the port of the test."""
        self.assertIn("localhost:9527", text)
        return text.replace("localhost:9527", f"127.0.0.1:{self.server.port}")

    def shell(self, text):
        path = f"{os.path.dirname(os.environ['PARLOR_BIN'])}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "PARLOR_SERVER": f"http://127.0.0.1:{self.server.port}"}
        done = subprocess.run(
            ["sh", "-ec", text], cwd=self.server.folder, env=env, capture_output=True, text=True, timeout=PATIENCE
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_backends_line_for_curl(self):
        (line,) = [block for block in blocks("sh") if block.startswith("curl localhost")]
        self.assertEqual(json.loads(self.shell(self.here(line)))["type"], "published")
        self.assertEqual(self.hears("data", "sold")["type"], "message")

    def test_the_lines_for_curl(self):
        (lines,) = [block for block in blocks("sh") if block.startswith("curl -N")]
        events, poll, send = self.here(lines).splitlines()
        # It never ends, so it is read while it goes on; `exec` has the signal reach curl itself.
        listening = subprocess.Popen(["sh", "-c", f"exec {events}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            data = (json.loads(line[6:]) for line in listening.stdout if line.startswith("data: "))
            self.assertEqual(next(data)["type"], "welcome")
            self.assertEqual(next(heard for heard in data if heard["type"] == "joined")["room"], "lobby")
            self.assertEqual(json.loads(self.shell(send))["type"], "published")
            self.assertEqual(next(heard for heard in data if heard["type"] == "message")["from"], "carl")
        finally:
            listening.kill()
            listening.communicate()
        self.assertEqual(self.hears("from", "carl")["data"], "hi")
        polled = json.loads(self.shell(poll))
        self.assertEqual(polled["messages"][-1]["data"], "hi")
        again = poll.replace("last=10", f"cursor={polled['cursor']}&wait=0")
        self.assertEqual(json.loads(self.shell(again))["messages"], [])

    def test_the_terminals_lines(self):
        (lines,) = [block for block in blocks("sh") if block.startswith("parlor publish")]
        for line in lines.splitlines():
            command = line.split("#")[0].strip()
            if command.startswith("parlor tail"):
                continue  # it never ends; its test is among those of the program
            self.shell(f"echo 'hi from a pipe' | {command}" if command.startswith("parlor connect") else command)
        self.hears("data", "it works")
        self.hears("data", "hi from a pipe")

    def test_the_browsers_lines(self):
        # What a browser's console does, with its Origin.
        (lines,) = [block for block in blocks("js") if "WebSocket" in block]
        target = re.search(r"\$\{location\.host\}(\S+?)`", lines).group(1)
        port = self.server.port
        ann = websocket.create_connection(
            f"ws://127.0.0.1:{port}{target}", timeout=PATIENCE, origin=f"http://127.0.0.1:{port}"
        )
        self.addCleanup(ann.close)
        for command in re.findall(r"ws\.send\('(.*?)'\)", lines):
            ann.send(command)
        self.assertEqual(self.hears("from", "ann")["data"], "hi")
        self.assertEqual(self.hears("type", "direct")["data"], "psst")

    def test_the_python_lines(self):
        (lines,) = blocks("python")
        program = "import asyncio, websockets\nasync def main():\n"
        program += "".join(f"    {line}\n" for line in self.here(lines).splitlines()) + "asyncio.run(main())\n"
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(program)
            file.flush()
            process = subprocess.Popen([sys.executable, "-u", file.name], stdout=subprocess.PIPE, text=True)
            try:
                self.assertEqual(self.hears("from", "py")["data"], "hi")
                self.assertEqual(json.loads(process.stdout.readline())["type"], "welcome")
            finally:
                process.kill()
                process.communicate()
