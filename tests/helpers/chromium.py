"""A headless Chromium for tests, driven by its DevTools protocol over the websocket-client that
Jupyter brings along: no driver to download, and any Chromium will do."""

import base64
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 90


def find():
    """Where a Chromium is; None if there is none."""
    named = os.environ.get("REPLAB_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page, and everything that it said and asked for since it was made."""

    def __init__(self, address):
        self.socket = websocket.create_connection(
            address, timeout=PATIENCE_S, suppress_origin=True
        )
        self.number = 0
        self.events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self):
        self.send("Page.close")
        self.socket.close()

    def send(self, method, **parameters):
        self.number += 1
        own = self.number
        message = {"id": own, "method": method, "params": parameters}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == own:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def visit(self, address):
        """Open an address and wait until it has loaded; what was said before is forgotten."""
        self.events = []
        failure = self.send("Page.navigate", url=address).get("errorText")
        assert not failure, (address, failure)
        self.wait_for("Page.loadEventFired")

    def evaluate(self, expression):
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, expression):
        """Wait until an expression holds."""
        end = time.monotonic() + PATIENCE_S
        while not self.evaluate(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.05)

    def press(self, key, code=0, text=""):
        words = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **words)
        self.send("Input.dispatchKeyEvent", type="keyUp", **words)

    def look(self, width, height=900, dark=False, media=""):
        """Take the size of a screen, light or dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def screenshot(self, path, whole=False):
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def pdf(self, path):
        data = self.send("Page.printToPDF", printBackground=False)["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def complaints(self):
        """What the page complained of: exceptions, errors and warnings, requests that failed."""
        found = []
        for event in self.events:
            kind, told = event.get("method"), event.get("params", {})
            if kind == "Runtime.exceptionThrown":
                found.append(json.dumps(told["exceptionDetails"])[:500])
            elif kind == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"] + " " + told["entry"].get("url", ""))
            elif kind == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
                found.append(json.dumps(told["args"])[:500])
        return found

    def requests(self):
        """Every address that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def browser(profile):
    """A running browser, as a function that opens an empty page.

    Args:
        profile: an empty folder for it.
    """
    command = [find(), "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    # Debian's Chromium does not start its sandbox for root, nor in many containers.
    command += ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += ["--disable-background-networking", "--hide-scrollbars", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        place = Path(profile) / "DevToolsActivePort"
        end = time.monotonic() + PATIENCE_S
        while not (place.is_file() and place.read_text().count("\n")):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < end, "Chromium does not answer"
            time.sleep(0.05)
        port = place.read_text().split()[0]

        def open_page():
            ask = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
            with urllib.request.urlopen(ask, timeout=PATIENCE_S) as answer:
                return Page(json.load(answer)["webSocketDebuggerUrl"])

        yield open_page
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@contextlib.contextmanager
def served(folder):
    """A folder as a site of this machine; gives its address, ending in a slash."""
    handler = functools.partial(_Silent, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
