"""The example `echo`: rows S5, S13 and S21, from raw sockets and from stock clients."""

import asyncio
import unittest

import websocket
import websockets
from example import PATIENCE, Raw
from faults import Faults


class Echo(Faults, unittest.TestCase):
    NAME, PATH, LONGEST = "echo", "/echo", 16 * 1024 * 1024

    def test_both_paths_echo_and_others_are_not_there(self):
        for path in ("/ws", "/echo", "/echo?a=b"):
            ws = websocket.create_connection(self.example.ws(path), timeout=PATIENCE)
            ws.send("发送数据")
            self.assertEqual(ws.recv(), "发送数据")
            ws.send_binary(b"\0\xff")
            self.assertEqual(ws.recv(), b"\0\xff")
            ws.close()
        with self.assertRaises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(self.example.ws("/nowhere"), timeout=PATIENCE)
        self.assertEqual(refused.exception.status_code, 404)

    def test_a_plain_request_is_told_what_is_missing(self):
        for path in ("/ws", "/echo"):
            status, headers, body = self.example.request("GET", path)
            self.assertEqual((status, headers["Upgrade"]), (426, "websocket"))
            self.assertIn("missing", body)

    def test_requests_after_each_other_on_one_connection(self):
        raw = self.raw()
        plain = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.example.port}\r\n\r\n".encode()
        for _ in range(2):
            raw.send(plain)
            status, head = raw.head()
            self.assertEqual(status, 200)
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            while len(raw.data) < length:
                raw.data += raw.stream.recv(65536)
            raw.data = raw.data[length:]
        self.echoes(Raw.upgrade(raw, self.PATH), b"\x81", b"and then a WebSocket")


class Websockets(unittest.IsolatedAsyncioTestCase):
    setUp, NAME, FLAGS = Faults.setUp, "echo", ()

    async def test_text_and_binary_come_back_compressed_or_not(self):
        for compression in ("deflate", None):
            async with websockets.connect(self.example.ws("/ws"), compression=compression, max_size=None) as ws:
                self.assertEqual(bool(ws.response.headers.get("Sec-WebSocket-Extensions")), bool(compression))
                for words in ("你好", "word " * 100_000, b"\0\xff" * 50_000, ""):
                    await ws.send(words)
                    self.assertEqual(await ws.recv(), words)

    async def test_the_same_client_may_go_on_for_ever(self):
        asyncio.get_running_loop().set_debug(False)
        async with websockets.connect(self.example.ws("/ws")) as ws:

            async def talk():
                for n in range(1000):
                    await ws.send(str(n))

            async def listen():
                return [await ws.recv() for _ in range(1000)]

            async with asyncio.timeout(PATIENCE):
                _, heard = await asyncio.gather(talk(), listen())
            self.assertEqual(heard, [str(n) for n in range(1000)])
