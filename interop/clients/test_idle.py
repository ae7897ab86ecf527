"""Ten minutes in which nobody says anything, behind nginx with the lines of docs/proxy.md, on a clock of the test's own."""

import http.client
import json
import os
import subprocess
import unittest
import urllib.parse

from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from parlor import PATIENCE
from proxy import Nginx, documented
from test_transports import Stream

# nginx ends what says nothing for 60 s of its own time. Parlor says something twice as often.
STEP = 26
MINUTES = 10


class Clocked:
    """A chat whose time goes by as it is told; use it in a `with`."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.environ["CLOCKED_BIN"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def advance(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Pinged(ClientConnection):
    """A WebSocket that counts the server's pings; the library answers them."""

    pings = 0

    def process_event(self, event):
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings += 1


class Idle(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Clocked())
        self.nginx = self.enterContext(Nginx(documented("/"), self.server.port))
        url = f"ws://127.0.0.1:{self.nginx.port}/ws?room=talk&name=ann"
        self.ws = self.enterContext(
            connect(url, open_timeout=PATIENCE, ping_interval=None, create_connection=Pinged)
        )
        self.ask()
        self.events = Stream(self.nginx, "/sse?room=talk")
        self.addCleanup(self.events.close)
        self.events.wait_for("joined")
        self.poller = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=PATIENCE)
        self.addCleanup(self.poller.close)
        self.cursor = None
        self.poll(0)
        self.polled()

    def hear(self, kind):
        while (said := json.loads(self.ws.recv(timeout=PATIENCE)))["type"] != kind:
            pass
        return said

    def ask(self):
        """When it is answered the server has heard all that the WebSocket said before, pongs included."""
        self.ws.send('{"type":"ping"}')
        self.hear("pong")

    def poll(self, wait):
        query = {"room": "talk", "name": "carl", "wait": wait}
        if self.cursor:
            query["cursor"] = self.cursor
        self.poller.request("GET", f"/poll?{urllib.parse.urlencode(query)}")

    def polled(self):
        answer = self.poller.getresponse()
        body = json.loads(answer.read())
        self.assertEqual(answer.status, 200, body)
        self.cursor = body["cursor"]
        return body

    def comment(self):
        while not self.events.answer.readline().startswith(b":"):
            pass

    def test_every_transport_lives_through_ten_idle_minutes(self):
        passed = 0
        while passed < MINUTES * 60:
            self.poll(25)
            # The poll comes by another connection than this question, so it may wait for a second step.
            self.ask()
            for _ in range(2):
                pings = self.ws.pings
                self.server.advance(STEP)
                passed += STEP
                self.comment()
                self.ask()
                self.assertGreater(self.ws.pings, pings)
            answer = self.polled()
            self.assertEqual((answer["messages"], answer["recovered"]), ([], True))
        self.poll(25)
        self.ws.send('{"type":"publish","room":"talk","data":"still here"}')
        self.assertEqual(self.hear("message")["data"], "still here")
        self.assertEqual(self.events.wait_for("message")["data"], "still here")
        self.assertEqual([one["data"] for one in self.polled()["messages"]], ["still here"])


if __name__ == "__main__":
    unittest.main()
