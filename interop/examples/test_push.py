"""The example `push`: rows S17 and S18, an operator's lines to one client and to many."""

import asyncio
import threading
import unittest
from collections import Counter

import websocket
import websockets
from example import PATIENCE, Example, Raw, masked, text, until


class One(unittest.IsolatedAsyncioTestCase):
    """S17: the operator talks to whoever is there."""

    def setUp(self):
        self.example = self.enterContext(Example("push"))

    def connect(self):
        return websockets.connect(self.example.ws())

    async def hears(self, ws, *lines):
        async with asyncio.timeout(PATIENCE):
            self.assertEqual([await ws.recv() for _ in lines], list(lines))

    async def test_every_line_reaches_the_client_in_order(self):
        async with self.connect() as ws:
            self.example.types("one", "二", "", " with blanks ", b"from another system\r\n", b"\xff is not text\n")
            await self.hears(ws, "one", "二", "", " with blanks ", "from another system", "\ufffd is not text")

    async def test_lines_wait_for_the_first_client_and_for_the_next(self):
        self.example.types("early", "also early")
        async with self.connect() as ws:
            await self.hears(ws, "early", "also early")
        # Nobody is here once the end has been answered; a line that is typed then waits.
        self.example.types("later")
        async with self.connect() as ws:
            await self.hears(ws, "later")

    async def test_a_file_is_poured_in_whole(self):
        # Several times what the queue holds.
        lines = [f"line {n}" for n in range(20_000)]
        asyncio.get_running_loop().set_debug(False)
        async with self.connect() as ws:
            pouring = threading.Thread(target=self.example.types, args=lines)
            pouring.start()
            async with asyncio.timeout(PATIENCE):
                self.assertEqual([await ws.recv() for _ in lines], lines)
            pouring.join(PATIENCE)

    async def test_while_the_operator_is_silent_pings_are_answered_and_others_come(self):
        async with self.connect() as ann, self.connect() as bob:
            for ws in (ann, bob):
                await asyncio.wait_for(await ws.ping(), PATIENCE)
            await ann.send("nobody asked")
            self.example.types("to all who are here")
            await self.hears(ann, "to all who are here")
            await self.hears(bob, "to all who are here")

    async def test_the_end_of_the_operators_input_ends_nobody(self):
        async with self.connect() as ws:
            self.example.types("last", b"without an end")
            self.example.process.stdin.close()
            await self.hears(ws, "last", "without an end")
            await asyncio.wait_for(await ws.ping(), PATIENCE)
            async with self.connect() as late:
                await asyncio.wait_for(await late.ping(), PATIENCE)

    async def test_the_tutorials_loop_prints_all_and_ends_with_the_server(self):
        heard = []
        async with self.connect() as ws:
            self.example.types("a", "b", "c")
            with self.assertRaises(websockets.ConnectionClosedError):
                async for message in ws:
                    heard.append(message)
                    if len(heard) == 3:
                        self.example.process.kill()
        self.assertEqual(heard, ["a", "b", "c"])


class Many(unittest.TestCase):
    """S18: everybody hears the operator, and who comes and goes."""

    def setUp(self):
        self.example = self.enterContext(Example("push", "--many"))

    def connect(self):
        # It checks UTF-8 byte by byte, in Python.
        ws = websocket.create_connection(self.example.ws(), timeout=PATIENCE, skip_utf8_validation=True)
        self.addCleanup(ws.close)
        return ws

    def raw(self):
        raw = Raw(self.example)
        self.addCleanup(raw.close)
        return raw.upgrade()

    def hears(self, ws, *lines):
        self.assertEqual([ws.recv() for _ in lines], list(lines))

    def test_who_comes_and_goes_is_told_to_all_without_a_line(self):
        ann = self.connect()
        self.hears(ann, "somebody came, 1 here")
        bob = self.connect()
        self.hears(ann, "somebody came, 2 here")
        self.hears(bob, "somebody came, 2 here")
        bob.close()
        self.hears(ann, "somebody left, 1 here")

    def test_a_client_that_vanishes_has_left(self):
        ann, bob = self.connect(), self.raw()
        self.hears(ann, "somebody came, 1 here", "somebody came, 2 here")
        bob.vanish()
        self.hears(ann, "somebody left, 1 here")

    def test_a_client_that_breaks_the_rules_is_let_go_and_nobody_else(self):
        ann = self.connect()
        self.hears(ann, "somebody came, 1 here")
        for sent, code in [(b"\x81\x02hi", 1002), (masked(0x81, b"\xc3\x28"), 1007), (masked(0x88, b"\x03\xe8"), 1000)]:
            eve = self.raw()
            self.hears(ann, "somebody came, 2 here")
            eve.send(sent)
            self.assertEqual(eve.closed(), code)
            self.hears(ann, "somebody left, 1 here")

    def test_a_line_reaches_everybody_in_one_order(self):
        clients = [self.connect() for _ in range(20)]
        for n, client in enumerate(clients, 1):
            self.hears(client, *(f"somebody came, {count} here" for count in range(n, 21)))
        lines = [f"line {n}" for n in range(500)]
        self.example.types(*lines)
        for client in clients:
            self.hears(client, *lines)

    def test_what_clients_say_is_printed_and_goes_to_nobody(self):
        ann, bob = self.connect(), self.connect()
        self.hears(ann, "somebody came, 1 here", "somebody came, 2 here")
        self.hears(bob, "somebody came, 2 here")
        for n in range(100):
            ann.send(f"消息 {n}")
        ann.send_binary(b"\xff")
        for n in range(100):
            self.assertEqual(self.example.prints("消息"), f'"消息 {n}"')
        bob.send("\x1b[2J")
        self.assertEqual(self.example.prints("2J"), r'"\u{1b}[2J"')
        self.example.types("that was all")
        self.hears(ann, "that was all")
        self.hears(bob, "that was all")

    def test_a_client_that_never_reads_is_let_go_and_holds_up_nobody(self):
        ann, deaf = self.connect(), self.raw()
        self.hears(ann, "somebody came, 1 here", "somebody came, 2 here")
        # 40 MB, which is more than all buffers and the queue hold.
        line = "x" * 10_000
        threading.Thread(target=self.example.types, args=[line] * 4_000, daemon=True).start()
        heard = Counter()
        while heard[line] < 4_000 or not heard["somebody left, 1 here"]:
            heard[ann.recv()] += 1
        self.assertEqual(heard.total(), 4_001)
        deaf.close()

    def test_crowds_come_and_go_while_the_operator_talks(self):
        ann = self.connect()
        self.hears(ann, "somebody came, 1 here")
        lines = [f"line {n}" for n in range(2_000)]
        threading.Thread(target=self.example.types, args=lines, daemon=True).start()
        for n in range(40):
            one = self.raw()
            one.vanish() if n % 2 else one.close()
        heard = {"line": [], "came": [], "left": []}
        while len(heard["line"]) < len(lines) or len(heard["left"]) < 40:
            words = ann.recv()
            heard["line" if words.startswith("line") else words.split(",")[0].split()[1]].append(words)
        self.assertEqual((heard["line"], len(heard["came"]), len(heard["left"])), (lines, 40, 40))


class Stuck(unittest.TestCase):
    def test_a_terminal_that_takes_nothing_holds_up_no_client(self):
        example = self.enterContext(Example("push", "--many", reads=False))
        loud, other = Raw(example).upgrade(), websocket.create_connection(example.ws(), timeout=PATIENCE)
        self.addCleanup(loud.close)
        self.addCleanup(other.close)
        # 400 KB of output, and a pipe holds 64.
        loud.send(text("x" * 4_000) * 100)
        for n in range(50):
            example.types(f"line {n}")
            while other.recv() != f"line {n}":
                pass
        example.reader.start()
        for _ in range(100):
            self.assertEqual(example.prints("x"), '"' + "x" * 4_000 + '"')


class Quiet(unittest.TestCase):
    def test_clients_that_vanish_cost_no_processor_time(self):
        for flags in ((), ("--many",)):
            example = self.enterContext(Example("push", *flags))
            for _ in range(10):
                Raw(example).upgrade().vanish()
            before = example.cpu
            slow = Raw(example)
            self.addCleanup(slow.close)
            # Dropped after five seconds: a span that the server itself measures.
            slow.send(b"GET /")
            slow.rest()
            self.assertLess(example.cpu - before, 1)

    def test_plain_requests_and_other_paths_are_no_clients(self):
        example = self.enterContext(Example("push", "--many"))
        self.assertEqual(example.request("GET", "/")[0], 426)
        self.assertEqual(example.request("GET", "/favicon.ico")[0], 404)
        ws = websocket.create_connection(example.ws(), timeout=PATIENCE)
        self.assertEqual(ws.recv(), "somebody came, 1 here")
        ws.close()
