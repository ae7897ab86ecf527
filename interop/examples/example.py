"""A program of crates/parlor/examples on a port of its own, and sockets that can break its rules.

`PARLOR_EXAMPLES` names the folder of the programs, such as target/debug/examples.
"""

import base64
import http.client
import os
import queue
import socket
import struct
import subprocess
import threading
import time

# No test waits this long unless something is broken.
PATIENCE = 20
# The example of RFC 6455 section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Example:
    """`NAME --listen 127.0.0.1:0 FLAGS`; use it in a `with`. `reads=False` leaves its output in the pipe."""

    def __init__(self, name, *flags, reads=True, port=0):
        command = [os.path.join(os.environ["PARLOR_EXAMPLES"], name), "--listen", f"127.0.0.1:{port}", *flags]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        first = self.process.stdout.readline().decode()
        assert first.startswith("listening on http://127.0.0.1:"), first
        self.port = int(first.rsplit(":", 1)[1])
        self.printed = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.printed.put(line.decode().rstrip("\n"))

    def prints(self, words):
        """The next line of its output with these words."""
        while words not in (line := self.printed.get(timeout=PATIENCE)):
            pass
        return line

    def types(self, *lines):
        """What an operator types."""
        self.process.stdin.write(b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines))
        self.process.stdin.flush()

    def ws(self, path="/"):
        return f"ws://127.0.0.1:{self.port}{path}"

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None):
        """Status, headers and text of one HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    @property
    def cpu(self):
        """Seconds of processor time that it has used."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    @property
    def lives(self):
        return self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if self.reader.is_alive():
            self.reader.join(PATIENCE)
        self.process.stdin.close()
        self.process.stdout.close()


class Raw:
    """A TCP connection that sends what it is told to, rules or not."""

    def __init__(self, example):
        self.port = example.port
        self.stream = socket.create_connection(("127.0.0.1", example.port), timeout=PATIENCE)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def send(self, data):
        self.stream.sendall(data)

    def drip(self, data):
        """Byte by byte, each in a packet of its own."""
        for n in range(len(data)):
            self.stream.send(data[n : n + 1])

    def head(self):
        """Status and head of the answer, in lower case; what follows is kept."""
        while b"\r\n\r\n" not in self.data:
            more = self.stream.recv(65536)
            if not more:
                raise EOFError(self.data)
            self.data += more
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        return int(head.split(b" ")[1]), head.decode().lower()

    def rest(self):
        """Everything up to the end."""
        while more := self.stream.recv(65536):
            self.data += more
        return self.data

    def upgrade(self, path="/", *headers):
        """Becomes a WebSocket."""
        self.send(handshake(path, self.port, *headers))
        status, head = self.head()
        assert status == 101, head
        return self

    def frame(self):
        """Opcode and payload of the next frame; None at the end."""
        while True:
            if len(self.data) >= 2:
                assert self.data[1] < 128, "a server does not mask"
                length, start = self.data[1] & 127, 2
                if length >= 126:
                    start = 4 if length == 126 else 10
                    length = int.from_bytes(self.data[2:start], "big") if len(self.data) >= start else 1 << 62
                if len(self.data) >= start + length:
                    opcode, payload = self.data[0] & 15, self.data[start : start + length]
                    self.data = self.data[start + length :]
                    return opcode, payload
            more = self.stream.recv(1 << 20)
            if not more:
                return None
            self.data += more

    def closed(self):
        """The code of the Close frame, whatever comes before it."""
        while (frame := self.frame()) is not None:
            if frame[0] == 8:
                return int.from_bytes(frame[1][:2], "big") if frame[1] else 1005
        raise EOFError("it ended without a Close frame")

    def vanish(self):
        """As when the power fails: a reset, and not a word."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()

    def close(self):
        self.stream.close()


def handshake(path, port, *headers, method="GET", version="HTTP/1.1", key=KEY, ws_version="13", upgrade="websocket"):
    """A request; a header that is None is left out."""
    lines = [f"{method} {path} {version}", f"Host: 127.0.0.1:{port}"]
    if upgrade is not None:
        lines += [f"Upgrade: {upgrade}", "Connection: keep-alive, Upgrade"]
    if key is not None:
        lines.append(f"Sec-WebSocket-Key: {key}")
    if ws_version is not None:
        lines.append(f"Sec-WebSocket-Version: {ws_version}")
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def new_key():
    return base64.b64encode(os.urandom(16)).decode()


def masked(first, payload, mask=b"\x0f\xa5\x00\x77"):
    """A frame of a client; `first` is its first byte."""
    length = len(payload)
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 65536:
        head = bytes([first, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + length.to_bytes(8, "big")
    key = (mask * (length // 4 + 1))[:length]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def text(words):
    return masked(0x81, words.encode())


def until(look, check, what):
    """Waits until `check` holds for what `look` gives."""
    end = time.monotonic() + PATIENCE
    while not check(seen := look()):
        assert time.monotonic() < end, f"{what} did not happen; at last: {seen}"
        time.sleep(0.02)
    return seen
