"""Parlor behind Debian's nginx, with the lines of docs/proxy.md."""

import http.client
import json
import unittest
from contextlib import contextmanager

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from parlor import PATIENCE, Server
from proxy import BARE, Nginx, documented


@contextmanager
def opened(url, **options):
    with connect(url, open_timeout=PATIENCE, **options) as ws:
        assert json.loads(ws.recv(timeout=PATIENCE))["type"] == "welcome"
        yield ws


def until(ws, kind):
    while (got := json.loads(ws.recv(timeout=PATIENCE)))["type"] != kind:
        pass
    return got


class Proxy(unittest.TestCase):
    def behind(self, location, *flags):
        server = self.enterContext(Server(*flags))
        return server, self.enterContext(Nginx(location, server.port))

    def get(self, port, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def test_two_people_talk_through_the_documented_lines(self):
        _, nginx = self.behind(documented("/"))
        url = f"ws://127.0.0.1:{nginx.port}/ws?room=lobby&name="
        origin = f"http://127.0.0.1:{nginx.port}"
        with opened(url + "ann", origin=origin) as ann, opened(url + "bob", origin=origin) as bob:
            until(bob, "joined")
            ann.send(json.dumps({"type": "publish", "room": "lobby", "data": "through nginx"}))
            self.assertEqual(until(bob, "message")["data"], "through nginx")

    def test_limits_count_for_each_client_and_not_for_the_proxy(self):
        _, nginx = self.behind(documented("/"))
        url = f"ws://127.0.0.1:{nginx.port}/ws"
        # 60 at once is what one address may have.
        crowd = []
        with self.assertRaises(InvalidStatus) as refused:
            for _ in range(200):
                crowd.append(self.enterContext(opened(url, source_address=("127.0.0.2", 0))))
        self.assertEqual(refused.exception.response.status_code, 429)
        self.assertGreaterEqual(len(crowd), 60)
        with opened(url, source_address=("127.0.0.3", 0)):
            pass
        # What a client says of itself does not count.
        with self.assertRaises(InvalidStatus):
            for _ in range(200):
                headers = {"X-Forwarded-For": "203.0.113.7"}
                self.enterContext(opened(url, source_address=("127.0.0.2", 0), additional_headers=headers))

    def test_a_bare_proxy_is_refused_until_the_public_url_is_named(self):
        server, nginx = self.behind(BARE)
        origin = f"https://chat.example:{nginx.port}"
        url = f"ws://127.0.0.1:{server.port}/ws"
        with self.assertRaises(InvalidStatus) as refused, opened(url, origin=origin):
            pass
        self.assertEqual(refused.exception.response.status_code, 403)
        self.assertIn(f"--public-url {origin}", server.logged("a page was refused"))
        server, _ = self.behind(BARE, "--public-url", f"{origin}/talk")
        with opened(f"ws://127.0.0.1:{server.port}/ws", origin=origin):
            pass
        _, body = self.get(server.port, "/chat/info.json")
        self.assertEqual(json.loads(body)["urls"], [f"{origin}/talk/"])

    def test_it_works_in_a_folder(self):
        _, nginx = self.behind(documented("/talk/"))
        status, page = self.get(nginx.port, "/talk/")
        self.assertEqual(status, 200)
        # Nothing in it leaves the folder.
        self.assertNotRegex(page.decode(), r'(src|href)="/')
        for path in ["chat/main.js", "chat/info.json", "sdk/parlor.js", "chat/icon.svg"]:
            self.assertEqual(self.get(nginx.port, f"/talk/{path}")[0], 200, path)
        with opened(f"ws://127.0.0.1:{nginx.port}/talk/ws?name=ann"):
            pass


if __name__ == "__main__":
    unittest.main()
