"""The faults of hand-written WebSocket servers, each as a test that every echoing example passes."""

import base64
import hashlib
import threading

from example import ACCEPT, KEY, PATIENCE, Example, Raw, handshake, masked, new_key, text, until


class Faults:
    """Mixed into a TestCase; `NAME` is the program, `PATH` a path where it echoes."""

    NAME, PATH, FLAGS = None, "/", ()
    # A message that is longer ends the connection.
    LONGEST = 1024 * 1024

    def setUp(self):
        self.example = self.enterContext(Example(self.NAME, *self.FLAGS))

    def tearDown(self):
        # Whatever was done: it lives, and the next one is served.
        self.assertTrue(self.example.lives)
        self.echoes(self.upgraded(), b"\x81", "健康".encode())

    def raw(self):
        raw = Raw(self.example)
        self.addCleanup(raw.close)
        return raw

    def upgraded(self, *headers):
        return self.raw().upgrade(self.PATH, *headers)

    def handshake(self, *headers, **parts):
        return handshake(parts.pop("path", self.PATH), self.example.port, *headers, **parts)

    def echoes(self, raw, first, payload):
        raw.send(masked(first[0], payload))
        self.assertEqual(raw.frame(), (first[0] & 15, payload))

    # The handshake.

    def test_the_answer_is_the_one_of_the_rfc_and_nothing_obsolete(self):
        raw = self.raw()
        raw.send(self.handshake())
        status, head = raw.head()
        self.assertEqual(status, 101)
        self.assertIn(f"sec-websocket-accept: {ACCEPT.lower()}", head)
        self.assertIn("upgrade: websocket", head)
        self.assertIn("connection: upgrade", head)
        self.assertNotIn("websocket-location", head)

    def test_the_accept_of_any_key_is_right(self):
        for _ in range(20):
            raw, key = self.raw(), new_key()
            raw.send(self.handshake(key=key))
            while b"\r\n\r\n" not in raw.data:
                raw.data += raw.stream.recv(4096)
            digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            self.assertIn(b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n", raw.data)

    def test_a_head_in_single_bytes_is_a_head(self):
        raw = self.raw()
        raw.drip(self.handshake())
        self.assertEqual(raw.head()[0], 101)

    def test_a_head_longer_than_one_read_is_whole(self):
        raw = self.raw()
        # The key comes last, far behind the first 1,024 bytes.
        cookie = "Cookie: session=" + "x" * 6000
        request = self.handshake(cookie, f"Sec-WebSocket-Key: {KEY}", key=None)
        raw.send(request[:1024])
        raw.send(request[1024:])
        self.assertEqual(raw.head()[0], 101)

    def test_frames_right_behind_the_head_are_not_lost(self):
        raw = self.raw()
        raw.send(self.handshake() + text("first") + text("second")[:3])
        self.assertEqual(raw.head()[0], 101)
        self.assertEqual(raw.frame(), (1, b"first"))
        raw.send(text("second")[3:])
        self.assertEqual(raw.frame(), (1, b"second"))

    def test_header_names_and_words_come_in_any_case(self):
        for change in (str.upper, str.lower, str.title, str.swapcase):
            raw = self.raw()
            first, *lines = self.handshake(f"Sec-WebSocket-Key:   {KEY}  ", key=None).decode().split("\r\n")
            lines = [change(name) + ":" + value for name, _, value in (line.partition(":") for line in lines if line)]
            raw.send("\r\n".join([first, *reversed(lines), "", ""]).encode())
            self.assertEqual(raw.head()[0], 101, lines)

    def test_a_request_that_is_no_handshake_is_told_what_is_missing(self):
        for request, status, words in [
            (self.handshake(method="POST"), 405, "allow: get"),
            (self.handshake(method="NONSENSE"), 405, ""),
            (self.handshake(version="HTTP/1.0"), 400, ""),
            (self.handshake(upgrade="h2c"), 426, "upgrade: websocket"),
            (self.handshake(ws_version="8"), 426, "sec-websocket-version: 13"),
            (self.handshake(ws_version=None), 400, "sec-websocket-version: 13"),
            (self.handshake(key=None), 400, "sec-websocket-version: 13"),
            (self.handshake(key="c2hvcnQ="), 400, ""),
            (self.handshake(key="!!!!!!!!!!!!!!!!!!!!!!!!"), 400, ""),
            (self.handshake("X: " + "x" * 17_000), 431, ""),
            (self.handshake(*(f"X-{n}: x" for n in range(80))), 431, ""),
            (b"nonsense\r\n\r\n", 400, ""),
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, ""),
        ]:
            raw = self.raw()
            raw.send(request)
            got, head = raw.head()
            self.assertEqual(got, status, (request[:200], head))
            self.assertIn(words, head, request[:200])

    def test_pages_of_others_may_not_connect(self):
        for origin in ("http://evil.example", "null", f"http://127.0.0.1.evil.example:{self.example.port}"):
            raw = self.raw()
            raw.send(self.handshake(f"Origin: {origin}"))
            self.assertEqual(raw.head()[0], 403, origin)
        for origin in (f"http://127.0.0.1:{self.example.port}", "http://localhost:63342", "http://127.0.0.1"):
            self.upgraded(f"Origin: {origin}")

    def test_a_head_that_never_ends_is_not_waited_for(self):
        raw = self.raw()
        raw.send(b"GET / HTTP/1.1\r\nHost:")
        # Five seconds by the design; the end is waited for, not the time.
        raw.rest()

    # Frames.

    def test_every_length_comes_back(self):
        raw = self.upgraded()
        for length in (0, 1, 125, 126, 127, 65_535, 65_536, 300_000):
            for first in (b"\x81", b"\x82"):
                self.echoes(raw, first, b"x" * length)

    def test_bytes_that_are_no_text_come_back_as_binary(self):
        self.echoes(self.upgraded(), b"\x82", bytes(range(256)))

    def test_frames_in_single_bytes_and_many_in_one_packet(self):
        raw = self.upgraded()
        raw.drip(text("慢慢来") + masked(0x82, b"\0" * 130))
        self.assertEqual(raw.frame(), (1, "慢慢来".encode()))
        self.assertEqual(raw.frame(), (2, b"\0" * 130))
        raw.send(b"".join(text(str(n)) for n in range(100)))
        self.assertEqual([raw.frame()[1] for _ in range(100)], [str(n).encode() for n in range(100)])

    def test_a_message_in_pieces_is_one_message_with_a_ping_inside(self):
        raw = self.upgraded()
        word = "界面".encode()
        # The first cut is inside a character.
        raw.send(masked(0x01, word[:2]) + masked(0x89, b"there?") + masked(0x00, word[2:4]) + masked(0x80, word[4:]))
        self.assertEqual(raw.frame(), (10, b"there?"))
        self.assertEqual(raw.frame(), (1, word))

    def test_a_pong_and_an_empty_message_disturb_nobody(self):
        raw = self.upgraded()
        raw.send(masked(0x8A, b"unasked"))
        self.echoes(raw, b"\x81", b"")

    def closes(self, sent, code):
        raw = self.upgraded()
        raw.send(sent)
        self.assertEqual(raw.closed(), code, sent[:20])
        self.assertEqual(raw.rest(), b"", "nothing follows a Close frame")

    def test_frames_that_break_the_rfc_end_with_1002(self):
        for sent in [
            b"\x81\x02hi",  # not masked
            masked(0xC1, b""),  # a reserved bit
            masked(0x83, b""),  # a reserved opcode
            masked(0x09, b""),  # a ping in pieces
            masked(0x89, b"x" * 126),  # a ping of 126 bytes
            masked(0x80, b""),  # a continuation of nothing
            masked(0x01, b"a") + masked(0x81, b"b"),  # a message inside another
            b"\x81\xfe\0\x05\0\0\0\0hello",  # a length in more bytes than it needs
            b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0",  # a length with its highest bit set
            masked(0x88, b"\x03"),  # half a close code
            masked(0x88, b"\x03\xed"),  # a close code that must not travel
        ]:
            self.closes(sent, 1002)

    def test_text_that_is_not_utf_8_ends_with_1007(self):
        for sent in [
            masked(0x81, b"\xc3\x28"),
            masked(0x81, "界".encode()[:2]),
            masked(0x01, "界".encode()[:2]) + masked(0x80, b"x"),
            masked(0x88, b"\x03\xe8\xff"),
        ]:
            self.closes(sent, 1007)

    def test_a_message_that_is_too_long_ends_with_1009_before_it_is_sent(self):
        length = (self.LONGEST + 1).to_bytes(8, "big")
        self.closes(b"\x82\xff" + length + b"\0\0\0\0", 1009)
        self.closes(b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0", 1009)

    def test_a_close_frame_is_answered_and_never_a_message(self):
        for payload, code in [(b"", 1005), (b"\x03\xe8", 1000), (b"\x0f\xa0" + "再见".encode(), 4000)]:
            raw = self.upgraded()
            raw.send(text("last") + masked(0x88, payload) + text("too late"))
            self.assertEqual(raw.frame(), (1, b"last"))
            self.assertEqual(raw.closed(), code)
            self.assertEqual(raw.rest(), b"")

    # People.

    def test_many_clients_at_once_each_have_their_own_echo(self):
        clients = [self.upgraded() for _ in range(50)]
        for round_ in range(3):
            for n, client in enumerate(clients):
                client.send(text(f"{round_}-{n}"))
            for n, client in enumerate(clients):
                self.assertEqual(client.frame(), (1, f"{round_}-{n}".encode()))

    def test_a_client_that_says_nothing_or_half_a_frame_holds_up_nobody(self):
        self.raw()
        self.raw().send(b"GET ")
        self.upgraded()
        self.upgraded().send(text("half")[:5])
        self.echoes(self.upgraded(), b"\x81", b"served")

    def test_a_client_that_never_reads_is_cut_and_holds_up_nobody(self):
        deaf = self.upgraded()
        ended = threading.Event()

        def flood():
            try:
                while True:
                    deaf.send(masked(0x82, b"x" * 60_000) * 10)
            except OSError:
                ended.set()

        threading.Thread(target=flood, daemon=True).start()
        other = self.upgraded()
        for n in range(200):
            self.echoes(other, b"\x81", str(n).encode())
        self.echoes(self.upgraded(), b"\x81", b"a new one")
        self.assertTrue(ended.wait(PATIENCE), "it is still held")

    def test_clients_that_vanish_cost_no_processor_time(self):
        for _ in range(8):
            self.raw().vanish()
            half_a_head = self.raw()
            half_a_head.send(b"GET / HT")
            half_a_head.close()
            self.upgraded().vanish()
            ended = self.upgraded()
            ended.send(text("half")[:5])
            ended.close()
        before = self.example.cpu
        # A head that never ends is dropped after five seconds: a span that the server itself measures.
        slow = self.raw()
        slow.send(b"GET /")
        slow.rest()
        used = self.example.cpu - before
        # One busy loop would have used five.
        self.assertLess(used, 1)
        idle = self.upgraded()
        self.echoes(idle, b"\x81", b"still here")

    # The page.

    def test_the_page_is_whole_and_asks_nobody_else(self):
        status, headers, page = self.example.request("GET", "/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        policy = headers["Content-Security-Policy"]
        self.assertTrue(policy.startswith("default-src 'none'; script-src '"), policy)
        self.assertNotIn("unsafe", policy)
        for fault in ("http:", "https:", "ws:", "localhost", "innerHTML", "document.write", "onclick="):
            self.assertNotIn(fault, page)


def settles(example, threads):
    """Waits until it has no more threads than these."""
    until(lambda: example.threads, lambda seen: seen <= threads, f"{threads} threads")
