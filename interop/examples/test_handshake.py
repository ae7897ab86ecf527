"""The example `handshake`: rows S8 and S10, from raw sockets and from stock clients."""

import subprocess
import unittest

import websocket
import websockets
from example import PATIENCE, masked, text
from faults import Faults, settles


class Handshake(Faults, unittest.TestCase):
    NAME = "handshake"

    def test_what_is_decoded_is_printed_and_answered(self):
        raw = self.upgraded()
        for length in (3, 300, 70_000):
            self.echoes(raw, b"\x81", b"x" * length)
            self.assertIn("x" * length, self.example.prints("Text("))
        raw.send(masked(0x82, b"\x01\x02") + masked(0x89, b"") + masked(0x88, b"\x03\xe8bye"))
        for words in ("Binary([1, 2])", "Ping([])", 'Closed { code: 1000, reason: "bye", by: Peer }'):
            self.example.prints(words)

    def test_text_cannot_command_the_operators_terminal(self):
        self.upgraded().send(text("\x1b[2J\x07"))
        self.assertIn(r"\u{1b}[2J\u{7}", self.example.prints("Text("))

    def test_a_client_that_goes_takes_its_thread_with_it(self):
        for raw in [self.upgraded() for _ in range(20)]:
            raw.vanish()
        for raw in [self.upgraded() for _ in range(20)]:
            raw.close()
        settles(self.example, 1)

    def test_clients_are_bounded_and_a_place_that_is_left_is_free(self):
        clients = [self.upgraded() for _ in range(200)]
        self.assertEqual(self.raw().rest(), b"")
        for client in clients[:2]:
            client.vanish()
        settles(self.example, 199)
        self.echoes(self.upgraded(), b"\x81", b"the next one")
        for client in clients:
            client.close()
        # The main one, and that of the next one.
        settles(self.example, 2)

    def test_every_load_of_the_page_has_a_number_of_its_own(self):
        policies = {self.example.request("GET", "/")[1]["Content-Security-Policy"] for _ in range(5)}
        self.assertEqual(len(policies), 5)

    def test_websocket_client(self):
        ws = websocket.create_connection(self.example.ws(), timeout=PATIENCE)
        for words in ("你好", "x" * 200, "y" * 70_000):
            ws.send(words)
            self.assertEqual(ws.recv(), words)
        ws.close()

    def test_curl_is_told_what_is_missing(self):
        url = f"http://127.0.0.1:{self.example.port}/elsewhere"
        answer = subprocess.run(["curl", "-si", url], capture_output=True, timeout=PATIENCE).stdout
        self.assertTrue(answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n"), answer)
        self.assertIn(b"Upgrade: websocket and Connection: Upgrade are missing", answer)


class Websockets(unittest.IsolatedAsyncioTestCase):
    setUp, NAME, FLAGS = Faults.setUp, "handshake", ()

    async def test_the_original_client_gets_its_texts_back(self):
        async with websockets.connect(self.example.ws()) as ws:
            for words in ("你好", "x" * 65_536, b"\0\xff"):
                await ws.send(words)
                self.assertEqual(await ws.recv(), words)
            await (await ws.ping())
