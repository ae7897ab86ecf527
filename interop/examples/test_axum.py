"""The example `axum`: row S22, HTTP and WebSocket of one application on one port."""

import asyncio
import json
import subprocess
import unittest

import websocket
import websockets
from example import PATIENCE, Example, until


class Axum(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("axum"))

    def enter(self):
        ws = websocket.create_connection(self.example.ws("/ws"), timeout=PATIENCE)
        self.addCleanup(ws.shutdown)
        return ws

    def say(self, body, kind="application/json"):
        return self.example.request("POST", "/say", body.encode(), {"Content-Type": kind})[0]

    def look(self):
        status, _, text = self.example.request("GET", "/hall")
        self.assertEqual(status, 200)
        return json.loads(text)

    def test_what_one_says_over_either_reaches_everybody(self):
        ann, bob = self.enter(), self.enter()
        ann.send("over WebSocket")
        self.assertEqual((ann.recv(), bob.recv()), ("over WebSocket", "over WebSocket"))
        self.assertEqual(self.say('"over HTTP，你好"'), 204)
        self.assertEqual((ann.recv(), bob.recv()), ("over HTTP，你好", "over HTTP，你好"))
        ann.send_binary(b"\0\xff")
        self.assertEqual((ann.recv(), bob.recv()), (b"\0\xff", b"\0\xff"))
        self.assertEqual(self.look(), {"here": 2, "said": 3})
        bob.close()
        until(self.look, lambda seen: seen["here"] == 1, "a leave")

    def test_the_applications_own_answers_stand(self):
        for method, path, status in [("GET", "/", 200), ("GET", "/nowhere", 404), ("GET", "/say", 405), ("GET", "/ws", 426)]:
            self.assertEqual(self.example.request(method, path)[0], status, path)
        self.assertIn("这里什么也没有", self.example.request("GET", "/nowhere")[2])
        # A form of another site's page sends no JSON.
        self.assertEqual(self.say('"forged"', "text/plain"), 415)
        self.assertEqual(self.say("no JSON"), 400)
        self.assertEqual(self.look()["said"], 0)

    def test_curl_speaks_to_a_websocket(self):
        ws = self.enter()
        url = f"http://127.0.0.1:{self.example.port}/say"
        command = ["curl", "-sf", "--json", '"from curl"', url]
        if subprocess.run(["curl", "--json", "{}", "--version"], capture_output=True).returncode:
            command = ["curl", "-sf", "-H", "Content-Type: application/json", "-d", '"from curl"', url]
        subprocess.run(command, check=True, timeout=PATIENCE)
        self.assertEqual(ws.recv(), "from curl")


class Both(unittest.IsolatedAsyncioTestCase):
    async def test_an_asynchronous_client_does_too(self):
        with Example("axum") as example:
            async with asyncio.timeout(PATIENCE), websockets.connect(example.ws("/ws")) as ws:
                for n in range(100):
                    await ws.send(str(n))
                self.assertEqual([await ws.recv() for _ in range(100)], [str(n) for n in range(100)])
