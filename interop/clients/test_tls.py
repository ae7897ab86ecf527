"""https and wss by Parlor itself, with clients that know nothing of it."""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import unittest
import warnings
from contextlib import contextmanager

from websockets.sync.client import connect

from parlor import PATIENCE, Server


def certificate(folder, names="DNS:localhost,IP:127.0.0.1"):
    """A new key and a certificate that it has signed itself, as the two files."""
    files = [os.path.join(folder, name) for name in ("chain.pem", "key.pem")]
    with tempfile.TemporaryDirectory() as made:
        fresh = [os.path.join(made, name) for name in ("chain.pem", "key.pem")]
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}", "-days", "2"]
        subprocess.run([*command, "-out", fresh[0], "-keyout", fresh[1]], check=True, capture_output=True)
        for new, file in zip(fresh, files):
            # In two steps, as a renewal does it: between them the key belongs to another certificate.
            shutil.copy(new, file + ".new")
            os.rename(file + ".new", file)
    return files


class Tls(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.files = certificate(self.folder)
        self.server = self.enterContext(Server("--tls-certificate", self.files[0], "--tls-key", self.files[1]))

    def context(self):
        return ssl.create_default_context(cafile=self.files[0])

    @contextmanager
    def ws(self, query):
        url = f"wss://localhost:{self.server.port}/ws{query}"
        with connect(url, ssl=self.context(), open_timeout=PATIENCE) as ws:
            self.assertEqual(json.loads(ws.recv(timeout=PATIENCE))["type"], "welcome")
            yield ws

    def curl(self, *options):
        base = ["curl", "--silent", "--show-error", "--cacert", self.files[0], "--max-time", str(PATIENCE)]
        done = subprocess.run([*base, *options], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_two_people_talk_over_wss_from_a_page_of_the_same_place(self):
        with self.ws("?name=ann&room=lobby") as ann, self.ws("?name=bob&room=lobby") as bob:
            # More than one record of TLS and one read of anybody.
            text = "你好" * 10_000
            ann.send(json.dumps({"type": "publish", "room": "lobby", "data": text}, ensure_ascii=False))
            for ws in (ann, bob):
                while (got := json.loads(ws.recv(timeout=PATIENCE)))["type"] != "message" or got["data"] != text:
                    pass

    def test_http_is_spoken_in_both_versions(self):
        url = f"https://localhost:{self.server.port}"
        for flag, version in (("--http1.1", "1.1"), ("--http2", "2")):
            shown = self.curl(flag, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", f"{url}/")
            self.assertEqual(shown, f"{version} 200")
            key = f"Authorization: Bearer {self.server.key}"
            body = json.dumps({"room": "shop", "data": version, "key": version})
            published = json.loads(self.curl(flag, f"{url}/api/publish", "-H", key, "-d", body))
            self.assertEqual((published["type"], published["ack"]), ("published", "local"))
            polled = self.curl(flag, f"{url}/socket.io/?EIO=4&transport=polling")
            self.assertTrue(polled.startswith('0{"sid":'), polled)

    def test_what_came_before_tls_1_2_is_not_spoken(self):
        context = self.context()
        # Without this the client would refuse it before the server could.
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        connection = http.client.HTTPSConnection("localhost", self.server.port, context=context, timeout=PATIENCE)
        with self.assertRaises(ssl.SSLError):
            connection.request("GET", "/")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context()
            context.minimum_version = context.maximum_version = version
            connection = http.client.HTTPSConnection("localhost", self.server.port, context=context, timeout=PATIENCE)
            connection.request("GET", "/health/live")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()

    def test_a_renewed_certificate_is_used_without_a_restart_and_nobody_is_cut(self):
        with self.ws("?name=ann&room=lobby") as ann:
            certificate(self.folder)
            with open(self.files[0], encoding="ascii") as file:
                wanted = file.read()
            until = time.monotonic() + PATIENCE
            while ssl.get_server_certificate(("127.0.0.1", self.server.port)) != wanted:
                self.assertLess(time.monotonic(), until, "the new certificate is not used")
            self.server.logged("the certificate was read again")
            ann.send('{"type":"ping","id":1}')
            while json.loads(ann.recv(timeout=PATIENCE))["type"] != "pong":
                pass

    def test_files_that_cannot_be_used_are_named_at_the_start(self):
        other = self.enterContext(tempfile.TemporaryDirectory())
        stranger = certificate(other)
        for flags, words in [
            (["--tls-certificate", self.files[0], "--tls-key", stranger[1]], f"{stranger[1]} cannot be used for TLS"),
            (["--tls-certificate", "none.pem", "--tls-key", self.files[1]], "none.pem cannot be used for TLS"),
            (["--tls-certificate", self.files[1], "--tls-key", self.files[1]], "-----BEGIN CERTIFICATE-----"),
            (["--tls-certificate", self.files[0]], "tls_key"),
        ]:
            command = [os.environ["PARLOR_BIN"], "serve", "--listen", "127.0.0.1:0", *flags]
            done = subprocess.run(command, cwd=other, capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main()
