"""A real nginx of the test's own, configured with the lines that docs/proxy.md gives."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

DOCS = os.path.join(os.path.dirname(__file__), "../../docs/proxy.md")

WHOLE = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""

BARE = "location / { proxy_pass http://127.0.0.1:9527; }"


def documented(path):
    """The block of the docs for this location."""
    with open(DOCS, encoding="utf-8") as file:
        blocks = re.findall(r"```nginx\n(.*?)```", file.read(), re.DOTALL)
    return next(block for block in blocks if block.startswith(f"location {path} {{"))


class Nginx:
    """nginx in front of the Parlor on `port`; use it in a `with`."""

    def __init__(self, location, port):
        self.folder = tempfile.mkdtemp(prefix="parlor-nginx-")
        # nginx cannot choose a port by itself; this one was free a moment ago.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        location = location.replace("127.0.0.1:9527", f"127.0.0.1:{port}")
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(WHOLE.format(folder=self.folder, port=self.port, location=location))
        log = os.path.join(self.folder, "error.log")
        self.process = subprocess.Popen(["nginx", "-c", config, "-p", self.folder, "-e", log])
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.process.poll() is None, open(log, encoding="utf-8").read()
                time.sleep(0.01)
        raise AssertionError("nginx does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)
