"""The example `long_polling`: rows S1 to S4, with `http.client` and curl."""

import http.client
import subprocess
import threading
import time
import unittest
from urllib.parse import quote

from example import PATIENCE, Example, Raw, until


class LongPolling(unittest.TestCase):
    def setUp(self):
        self.example = self.enterContext(Example("long_polling"))

    def put(self, name, words, **headers):
        return self.example.request("POST", f"/poll/{quote(name)}", words.encode(), headers)[0]

    def poll(self, name, wait=""):
        status, headers, text = self.example.request("GET", f"/poll/{quote(name)}{wait}")
        self.assertEqual((status, headers["Cache-Control"]), (200, "no-store"))
        return text

    def held(self, name):
        """A question that is under way, sent before this returns."""
        raw = Raw(self.example)
        self.addCleanup(raw.close)
        raw.send(f"GET /poll/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return raw

    @staticmethod
    def answer(raw):
        status, head = raw.head()
        assert status == 200, head
        return raw.rest().decode()

    def test_plain_polling_answers_at_once_with_what_is_new(self):
        self.assertEqual(self.poll("ann", "?wait=0"), "")
        for words in ("一", "二", "<三>"):
            self.assertEqual(self.put("ann", words), 204)
        self.assertEqual(self.poll("ann", "?wait=0"), "一\n二\n<三>")
        self.assertEqual(self.poll("ann", "?wait=0"), "")

    def test_what_waits_is_answered_at_once_and_only_to_its_user(self):
        self.put("ann", "for ann")
        self.put("张三", "for zhang")
        self.assertEqual(self.poll("ann"), "for ann")
        self.assertEqual(self.poll("张三"), "for zhang")

    def test_a_held_question_is_answered_when_something_comes(self):
        ann, bob = self.held("ann"), self.held("bob")
        self.put("ann", "at last")
        self.assertEqual(self.answer(ann), "at last")
        self.put("bob", "and you")
        self.assertEqual(self.answer(bob), "and you")

    def test_a_question_is_held_thirty_seconds_and_then_empty(self):
        start = time.monotonic()
        raw = self.held("ann")
        raw.stream.settimeout(3 * PATIENCE)
        self.assertEqual(self.answer(raw), "")
        # The server measures the time; nothing may end it early.
        self.assertGreater(time.monotonic() - start, 29)
        self.put("ann", "afterwards")
        self.assertEqual(self.poll("ann"), "afterwards")

    def test_who_stops_waiting_takes_nothing_along(self):
        for end in (Raw.vanish, Raw.close):
            raw = self.held("ann")
            end(raw)
        # Another user's answer says that the ends were seen before.
        until(lambda: self.example.request("GET", "/poll/bob?wait=0")[0], lambda seen: seen == 200, "an answer")
        deadline, text = time.monotonic() + PATIENCE, ""
        self.put("ann", "for who stays")
        while not text and time.monotonic() < deadline:
            text = self.poll("ann", "?wait=1")
        self.assertEqual(text, "for who stays")

    def test_nothing_is_lost_between_two_questions(self):
        heard = []

        def listen():
            while len(heard) < 300:
                heard.extend(self.poll("ann").split("\n"))

        thread = threading.Thread(target=listen)
        thread.start()
        for n in range(300):
            while (status := self.put("ann", str(n))) == 429:
                time.sleep(0.01)
            self.assertEqual(status, 204)
        thread.join(PATIENCE)
        self.assertEqual(heard, [str(n) for n in range(300)])

    def test_a_queue_is_bounded_and_so_are_texts_and_users(self):
        for n in range(64):
            self.assertEqual(self.put("ann", str(n)), 204)
        self.assertEqual(self.put("ann", "one too many"), 429)
        self.assertEqual(self.poll("ann"), "\n".join(map(str, range(64))))
        self.assertEqual(self.put("ann", "room again"), 204)
        self.assertEqual(self.put("bob", "x" * 16 * 1024), 204)
        self.assertEqual(self.put("bob", "x" * (16 * 1024 + 1)), 413)
        # Users with nothing in their queues are forgotten; those who have something are not.
        for n in range(1200):
            self.assertEqual(self.poll(f"idle{n}", "?wait=0"), "")
        self.assertEqual(self.poll("ann"), "room again")
        self.assertEqual(self.poll("bob"), "x" * 16 * 1024)
        statuses = [self.put(f"full{n}", "x") for n in range(1001)]
        self.assertEqual((statuses[:1000], statuses[1000]), ([204] * 1000, 503))
        self.assertEqual(self.poll("full7"), "x")
        self.assertEqual(self.put("new", "there is room"), 204)

    def test_the_stream_goes_on_in_curl(self):
        url = f"http://127.0.0.1:{self.example.port}/stream/ann"
        curl = subprocess.Popen(["curl", "-sN", url], stdout=subprocess.PIPE, text=True)
        try:
            for n in range(20):
                self.assertEqual(self.put("ann", f"第 {n} 条"), 204)
                self.assertEqual(curl.stdout.readline(), f"第 {n} 条\n")
            self.assertIsNone(curl.poll())
        finally:
            curl.kill()
            curl.wait()
            curl.stdout.close()
        # The other way with curl: what the tutorials' page does.
        command = ["curl", "-s", "--data-binary", "from curl", url.replace("stream", "poll")]
        subprocess.run(command, check=True, timeout=PATIENCE)
        url = url.replace("stream", "poll")
        told = subprocess.run(["curl", "-s", url], capture_output=True, text=True, check=True, timeout=PATIENCE)
        self.assertEqual(told.stdout, "from curl")

    def test_the_page_of_scripts_is_escaped_and_names_its_own(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.example.port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        connection.request("GET", "/stream/ann?html=1")
        answer = connection.getresponse()
        self.assertEqual(answer.headers.get_content_type(), "text/html")
        nonce = answer.headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
        self.assertIn(f'<script nonce="{nonce}">', answer.readline().decode())
        for words, spelled in (
            ("你好", '"你好"'),
            ("</script><script>alert(1)</script>", '"\\u003c/script>\\u003cscript>alert(1)\\u003c/script>"'),
            ('"quoted" \\ <!--', '"\\"quoted\\" \\\\ \\u003c!--"'),
        ):
            self.put("ann", words)
            self.assertEqual(answer.readline().decode(), f'<script nonce="{nonce}">say({spelled})</script>\n')

    def test_another_page_may_neither_take_nor_put(self):
        self.put("ann", "private")
        for site in ("cross-site", "same-site"):
            self.assertEqual(self.put("ann", "forged", **{"Sec-Fetch-Site": site}), 403)
            for path in ("/poll/ann", "/stream/ann"):
                self.assertEqual(self.example.request("GET", path, headers={"Sec-Fetch-Site": site})[0], 403)
        self.assertEqual(self.put("ann", "own page", **{"Sec-Fetch-Site": "same-origin"}), 204)
        self.assertEqual(self.example.request("GET", "/poll/bob?wait=0", headers={"Sec-Fetch-Site": "none"})[0], 200)
        self.assertEqual(self.poll("ann"), "private\nown page")

    def test_what_is_no_question_is_refused(self):
        for method, path, status in [
            ("GET", "/poll/", 404),
            ("GET", "/poll/a/b", 404),
            ("DELETE", "/poll/ann", 405),
            ("GET", "/poll/ann?wait=soon", 400),
            ("GET", "/poll/%ff", 400),
            ("GET", "/", 200),
        ]:
            self.assertEqual(self.example.request(method, path)[0], status, path)
        self.assertEqual(self.example.request("POST", "/poll/ann", b"\xff")[0], 400)
