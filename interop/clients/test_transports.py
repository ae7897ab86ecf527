"""The chat over SSE, lines, polls and POST, by Python's own HTTP client, across `kill -9`."""

import http.client
import json
import threading
import unittest
import urllib.parse

from parlor import PATIENCE, Server


class Stream:
    """An open response of `/sse` or `/stream`, as a generator of (id, object)."""

    def __init__(self, server, path, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self.connection.request("GET", path, headers=headers or {})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        self.events = path.startswith("/sse")
        self.id = None

    def __iter__(self):
        return self

    def __next__(self):
        data = []
        while line := self.answer.readline().decode():
            line = line.rstrip("\n")
            if not self.events:
                if line:
                    return json.loads(line)
            elif not line and data:
                return json.loads("\n".join(data))
            elif line.startswith("id: "):
                self.id = line[4:]
            elif line.startswith("data: "):
                data.append(line[6:])
        raise StopIteration

    def wait_for(self, kind):
        return next(heard for heard in self if heard["type"] == kind)

    def close(self):
        self.answer.close()
        self.connection.close()


class Transports(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def stream(self, path, headers=None):
        stream = Stream(self.server, path, headers)
        self.addCleanup(stream.close)
        return stream

    def get(self, path, **query):
        status, _, body = self.server.request("GET", f"{path}?{urllib.parse.urlencode(query, doseq=True)}", key=False)
        self.assertEqual(status, 200, body)
        return body

    def send(self, command, name=""):
        status, _, body = self.server.request("POST", f"/send?name={name}", command, key=False)
        self.assertEqual(status, 200, body)
        return body

    def publish(self, room, *data):
        return self.send([{"type": "publish", "room": room, "data": one} for one in data])

    def test_each_transport_goes_on_across_a_kill(self):
        events = self.stream("/sse?room=talk&room=side")
        events.wait_for("joined")
        lines = self.stream("/stream?room=talk")
        lines.wait_for("joined")
        self.publish("talk", 1)
        self.assertEqual(events.wait_for("message")["data"], 1)
        place, pos = events.id, lines.wait_for("message")["pos"]
        cursor = self.get("/poll", room=["talk", "side"])["cursor"]
        self.publish("talk", 2)
        self.publish("side", 3)
        self.publish("talk", 4)
        self.server.kill()
        self.server.restart()
        self.publish("talk", 5)
        back = self.stream("/sse?room=talk&room=side", {"Last-Event-ID": place})
        self.assertEqual([back.wait_for("message")["data"] for _ in range(4)], [2, 3, 4, 5])
        self.assertEqual([back.wait_for("joined")["recovered"] for _ in range(2)], [True, True])
        joined = self.stream(f"/stream?room=talk&since={pos}").wait_for("joined")
        self.assertEqual((joined["recovered"], [m["data"] for m in joined["messages"]]), (True, [2, 4, 5]))
        for _ in range(2):
            answer = self.get("/poll", room=["talk", "side"], cursor=cursor)
            self.assertEqual((answer["recovered"], [m["data"] for m in answer["messages"]]), (True, [2, 3, 4, 5]))

    def test_what_only_memory_held_is_said_to_be_gone_after_a_kill(self):
        cursor = self.get("/poll", room=["memory:m", "talk", "live:l"])["cursor"]
        self.assertTrue(self.get("/poll", room=["memory:m", "talk"], cursor=cursor, wait=0)["recovered"])
        self.publish("memory:m", 1)
        self.publish("talk", 2)
        self.server.kill()
        self.server.restart()
        answer = self.get("/poll", room=["memory:m", "talk", "live:l"], cursor=cursor, wait=0)
        self.assertEqual([m["data"] for m in answer["messages"]], [2])
        self.assertFalse(answer["recovered"])
        self.assertEqual(answer["lost"], {"memory:m": "epoch_changed", "live:l": "no_log"})

    def test_a_held_poll_hears_the_end_and_one_that_waits_its_time_is_empty(self):
        cursor = self.get("/poll", room="talk")["cursor"]
        answer = self.get("/poll", room="talk", cursor=cursor, wait=1)
        self.assertEqual((answer["messages"], answer["recovered"]), ([], True))
        events = self.stream("/sse?room=talk")
        events.wait_for("joined")
        held = []
        thread = threading.Thread(target=lambda: held.append(self.get("/poll", room="talk", name="bob", cursor=cursor)))
        thread.start()
        # Bob is a member as soon as his poll is held.
        while not any(one["name"] == "bob" for one in events.wait_for("presence")["joined"]):
            pass
        self.server.terminate()
        self.assertEqual(events.wait_for("bye")["code"], 1001)
        self.assertRaises(StopIteration, next, events)
        thread.join(PATIENCE)
        self.assertEqual([answer["messages"] for answer in held], [[]])
        self.assertEqual(self.server.process.wait(PATIENCE), 0)

    def test_a_conversation_over_polls(self):
        inbox = {name: self.get("/poll", name=name, room="pair") for name in ("ann", "bob")}
        session = {"Parlor-Session": inbox["ann"]["session"]}
        direct = {"type": "direct", "to": "bob", "data": "psst"}
        status, _, reply = self.server.request("POST", "/send", direct, key=False, headers=session)
        self.assertEqual((status, reply["type"]), (200, "published"))
        heard = self.get("/poll", room="pair", cursor=inbox["bob"]["cursor"])
        (message,) = heard["messages"]
        self.assertEqual((message["type"], message["from"], message["data"]), ("direct", "ann", "psst"))
        # Ann hears her own, as on every transport; nobody else does.
        self.assertEqual(self.get("/poll", room="pair", cursor=inbox["ann"]["cursor"])["messages"], [message])
        self.assertEqual(self.get("/poll", room="pair", last=10)["messages"], [])


if __name__ == "__main__":
    unittest.main()
