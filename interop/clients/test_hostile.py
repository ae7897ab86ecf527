"""Clients that break the rules: it costs them, with a code, and nobody else."""

import base64
import json
import os
import select
import socket
import unittest

import websocket
from parlor import PATIENCE, Server

HEAD = (
    "GET /ws?name={name} HTTP/1.1\r\nHost: parlor\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Hostile(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server("--no-limits"))

    def tearDown(self):
        # Whatever was done: the next one is served.
        ws = websocket.create_connection(self.server.ws("?name=healthy"), timeout=PATIENCE)
        self.assertEqual(json.loads(ws.recv())["name"], "healthy")
        ws.close()

    def raw(self):
        stream = socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE)
        self.addCleanup(stream.close)
        return stream

    def upgraded(self, name="eve"):
        """A stream after the 101, and what came behind it."""
        stream = self.raw()
        stream.sendall(HEAD.format(name=name, key=base64.b64encode(os.urandom(16)).decode()).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(4096)
        self.assertTrue(head.startswith(b"HTTP/1.1 101"), head)
        return stream, head.split(b"\r\n\r\n", 1)[1]

    @staticmethod
    def frames(stream, data):
        """Opcode and payload of every frame until the end."""
        frames = []
        while True:
            while len(data) >= 2:
                length, start = data[1] & 127, 2
                if length == 126:
                    length, start = int.from_bytes(data[2:4], "big"), 4
                if len(data) < start + length:
                    break
                frames.append((data[0] & 15, data[start : start + length]))
                data = data[start + length :]
            more = stream.recv(65536)
            if not more:
                return frames
            data += more

    def closes(self, sent, code, error=None):
        """What is sent ends the connection with this code, after an `error` with that one."""
        stream, rest = self.upgraded()
        stream.sendall(sent)
        frames = self.frames(stream, rest)
        self.assertEqual(frames[-1][0], 8, frames)
        self.assertEqual(int.from_bytes(frames[-1][1][:2], "big"), code, frames)
        if error:
            texts = [json.loads(payload) for opcode, payload in frames if opcode == 1]
            self.assertIn(error, [text.get("code") for text in texts])

    def test_frames_that_break_rfc_6455_end_with_1002(self):
        for sent in [
            b"\x81\x02hi",  # not masked
            b"\xc1\x80\0\0\0\0",  # a reserved bit
            b"\x83\x80\0\0\0\0",  # a reserved opcode
            b"\x09\x80\0\0\0\0",  # a ping in pieces
            b"\x89\xfe\0\x7e\0\0\0\0",  # a ping of 126 bytes
            b"\x80\x80\0\0\0\0",  # a continuation of nothing
        ]:
            self.closes(sent, 1002)

    def test_text_that_is_not_utf_8_ends_with_1007(self):
        self.closes(b"\x81\x82\0\0\0\0\xc3\x28", 1007, "unsupported_data")

    def test_more_than_a_megabyte_ends_with_1009_before_it_is_sent(self):
        self.closes(b"\x81\xff" + (2_000_000).to_bytes(8, "big") + b"\0\0\0\0", 1009, "too_large")

    def test_ten_bad_commands_in_a_row_end_with_4501(self):
        bad = b"\x81\x84\0\0\0\0{no}"
        self.closes(bad * 10, 4501, "bad_json")

    def test_nine_bad_commands_and_a_good_one_are_forgiven(self):
        ws = websocket.create_connection(self.server.ws("?name=ann"), timeout=PATIENCE)
        self.addCleanup(ws.close)
        for _ in range(3):
            for _ in range(9):
                ws.send("{no}")
            ws.send('{"type":"ping","id":1}')
        pongs = 0
        while pongs < 3:
            pongs += json.loads(ws.recv())["type"] == "pong"

    def test_deep_json_is_refused_and_the_connection_stays(self):
        ws = websocket.create_connection(self.server.ws("?name=ann"), timeout=PATIENCE)
        self.addCleanup(ws.close)
        ws.send('{"type":"publish","room":"lobby","data":' + "[" * 60 + "]" * 60 + "}")
        heard = json.loads(ws.recv())
        while heard["type"] != "error":
            heard = json.loads(ws.recv())
        self.assertEqual(heard["code"], "too_deep")
        ws.send('{"type":"ping"}')
        self.assertEqual(json.loads(ws.recv())["type"], "pong")

    def test_names_that_deceive_are_refused(self):
        for name in ["%E2%80%AEnna", "a%00b", "a%E2%80%8Bb", "%24root", "x" * 65, "-ann"]:
            ws = websocket.create_connection(self.server.ws(f"?name={name}"), timeout=PATIENCE)
            self.assertEqual(json.loads(ws.recv())["code"], "bad_name", name)
            ws.close()

    def test_requests_that_are_no_handshake_are_told_what_is_missing(self):
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        upgrade = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        for head, status, header in [
            (f"GET /ws HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 8\r\n\r\n", 426, "sec-websocket-version: 13"),
            (f"GET /ws HTTP/1.1\r\n{upgrade}Sec-WebSocket-Version: 13\r\n\r\n", 400, ""),
            (f"POST /ws HTTP/1.1\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n", 405, "allow: get"),
            ("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n", 426, "upgrade: websocket"),
            (f"GET /ws HTTP/1.0\r\n{upgrade}{key}Sec-WebSocket-Version: 13\r\n\r\n", 400, ""),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "x" * 20_000 + "\r\n\r\n", 431, ""),
            ("nonsense\r\n\r\n", 400, ""),
        ]:
            stream = self.raw()
            stream.sendall(head.encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                more = stream.recv(4096)
                self.assertTrue(more, (head[:60], answer))
                answer += more
            self.assertEqual(int(answer.split(b" ")[1]), status, (head[:60], answer))
            self.assertIn(header, answer.decode().lower())

    def test_a_head_that_drips_is_not_waited_for(self):
        stream = self.raw()
        stream.sendall(b"GET /ws HTTP/1.1\r\nHost:")
        # Five seconds by the design; the end is waited for, not the time.
        while stream.recv(4096):
            pass

    def test_who_asks_for_pages_and_never_reads_them_is_not_kept(self):
        stream = self.raw()
        stream.setblocking(False)
        try:
            while True:
                stream.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        except BlockingIOError:
            pass  # the server has stopped reading, because nothing is taken from it
        poll = select.poll()
        poll.register(stream, select.POLLHUP | select.POLLERR)
        self.assertTrue(poll.poll(PATIENCE * 1000), "it is still held")

    def test_who_never_reads_is_cut_and_delays_nobody(self):
        deaf, _ = self.upgraded("deaf")
        deaf.sendall(self.masked('{"type":"join","room":"live:flood"}'))
        bob = websocket.create_connection(self.server.ws("?name=bob&room=live:flood"), timeout=PATIENCE)
        self.addCleanup(bob.close)
        ann = websocket.create_connection(self.server.ws("?name=ann"), timeout=PATIENCE)
        self.addCleanup(ann.close)
        data, total = "x" * 60_000, 130
        # Bob has each message before the next one is published, whatever the deaf one does.
        for n in range(total):
            ann.send(json.dumps({"type": "publish", "room": "live:flood", "data": data}))
            while json.loads(bob.recv())["type"] != "message":
                pass
        # 8 MB were published, which is more than all buffers hold. Now it reads: what fitted, then why, and the code.
        # It never answers the Close frame, so the end takes the ten seconds that an answer may take.
        frames = self.long_frames(deaf)
        self.assertEqual(int.from_bytes(frames[-1][1][:2], "big"), 4008)
        self.assertLess(sum(opcode == 1 for opcode, _ in frames), total)

    @staticmethod
    def masked(text):
        payload = text.encode()
        return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload

    @staticmethod
    def long_frames(stream):
        """As `frames`, for any length; only the first bytes of a payload are kept."""
        data, frames = b"", []
        while more := stream.recv(1 << 20):
            data += more
        while len(data) >= 2:
            length, start = data[1] & 127, 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
            frames.append((data[0] & 15, data[start : start + min(length, 200)]))
            data = data[start + length :]
        return frames
