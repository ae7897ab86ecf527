"""The HTTP interface for backends, and the pages, with nothing but the standard library."""

import unittest

from parlor import Server


class Http(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def check(self, request, status, code=None, words=""):
        got, headers, body = self.server.request(*request[:3], **(request[3] if len(request) > 3 else {}))
        self.assertEqual(got, status, (request, body))
        if code:
            self.assertEqual(body["code"], code, request)
            self.assertIn(words, body["message"])
        return headers, body

    def test_a_backend_publishes_and_reads_back(self):
        for n in range(1, 6):
            _, body = self.check(("POST", "/api/publish", {"room": "shop", "data": {"sold": n}}), 200)
            self.assertEqual((body["type"], body["offset"], body["ack"]), ("published", n, "local"))
        _, page = self.check(("GET", "/api/rooms/shop/history?limit=2", None), 200)
        self.assertEqual(([m["offset"] for m in page["messages"]], page["more"]), ([4, 5], True))
        _, page = self.check(("GET", "/api/rooms/shop/history?limit=9&before=3", None), 200)
        self.assertEqual(([m["data"]["sold"] for m in page["messages"]], page["more"]), ([1, 2], False))
        _, rooms = self.check(("GET", "/api/rooms?prefix=sh", None), 200)
        self.assertEqual([(r["room"], r["offset"], r["count"]) for r in rooms["rooms"]], [("shop", 5, 0)])
        _, members = self.check(("GET", "/api/rooms/shop/members", None), 200)
        self.assertEqual((members["members"], members["count"]), ([], 0))

    def test_the_same_key_is_the_same_message(self):
        publish = {"room": "shop", "data": "once", "key": "order-1"}
        _, first = self.check(("POST", "/api/publish", publish), 200)
        _, again = self.check(("POST", "/api/publish", publish), 200)
        self.assertEqual((first["offset"], first["pos"]), (again["offset"], again["pos"]))
        self.check(("POST", "/api/publish", {**publish, "data": "other"}), 422, "key_reused")

    def test_every_refusal_has_a_code_and_a_sentence(self):
        no_key = {"key": False}
        for request, status, code, words in [
            (("GET", "/api/rooms", None, no_key), 401, "unauthenticated", "api.key"),
            (("GET", "/api/rooms", None, {"key": "wrong"}), 401, "unauthenticated", ""),
            (("POST", "/api/publish", "{", {}), 400, "bad_json", ""),
            (("POST", "/api/publish", "[]", {}), 400, "bad_message", "room"),
            (("POST", "/api/publish", {"room": "shop"}), 400, "bad_message", "data"),
            (("POST", "/api/publish", {"room": "$d:a:b", "data": 1}), 400, "bad_name", ""),
            (("POST", "/api/publish", {"room": "a\u202eb", "data": 1}), 400, "bad_name", ""),
            (("POST", "/api/publish", {"room": "shop", "data": "x" * 70_000}), 413, "too_large", ""),
            (("GET", "/api/rooms/live:x/history", None), 409, "no_log", ""),
            (("GET", "/api/rooms/shop/history?before=1&after=1", None), 400, "bad_message", ""),
            (("GET", "/api/nothing", None), 404, None, ""),
            (("GET", "/nothing", None, no_key), 404, None, ""),
            (("GET", "/api/publish", None), 405, None, ""),
        ]:
            self.check(request, status, code, words)
        self.check(("POST", "/api/publish", '{"room":"shop","data":' + "[" * 60 + "]" * 60 + "}"), 400, "too_deep")
        self.check(("POST", "/api/publish", "x" * 2_000_000), 413)
        # After all of that it works.
        self.check(("GET", "/api/rooms", None), 200)

    def test_pages_let_nothing_foreign_in(self):
        for path, kind in [("/", "text/html"), ("/sdk/parlor.js", "text/javascript")]:
            headers, _ = self.check(("GET", path, None, {"key": False}), 200)
            self.assertEqual(headers.get_content_type(), kind)
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        headers, _ = self.check(("GET", "/", None, {"key": False}), 200)
        policy = headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.check(("HEAD", "/", None, {"key": False}), 200)
