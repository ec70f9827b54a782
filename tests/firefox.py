"""A headless Firefox, driven over WebDriver BiDi; see `browsers.running`."""

import base64
import contextlib
import itertools
import json
import os
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

from browsers import ANSWER_S, Page

PREFERENCES = {  # among them some that spare processor time
    "browser.newtab.preload": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.startup.page": 0,
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "layout.frame_rate": 20,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.log.level": "Warn",
}
EVENTS = ("log.entryAdded", "network.beforeRequestSent")
KEYS = {
    "Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "PageUp": "\ue00e",
    "PageDown": "\ue00f", "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}  # fmt: skip
TEXT, CONTINUED = 1, 0  # kinds of frames of a web socket


class WebSocket:
    """As much of RFC 6455 as a client needs that sends and receives texts."""

    def __init__(self, port, path):
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_S)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = self._file.readline()
        if b" 101 " not in status:
            raise RuntimeError(f"no web socket: {status!r}")
        while self._file.readline().strip():
            pass

    def send(self, text):
        """Send a text in one frame; a client masks what it sends."""
        data = text.encode()
        if len(data) < 126:
            length = struct.pack("!B", 128 | len(data))
        elif len(data) < 1 << 16:
            length = struct.pack("!BH", 128 | 126, len(data))
        else:
            length = struct.pack("!BQ", 128 | 127, len(data))
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(struct.pack("!B", 128 | TEXT) + length + mask + masked)

    def receive(self):
        """Return the next text."""
        parts = []
        while True:
            first, length = self._file.read(2)
            if length >= 126:
                form = "!H" if length == 126 else "!Q"
                (length,) = struct.unpack(form, self._file.read(struct.calcsize(form)))
            data = self._file.read(length)
            if first & 15 in (TEXT, CONTINUED):
                parts.append(data)
                if first & 128:
                    return b"".join(parts).decode()

    def close(self):
        self._file.close()
        self._socket.close()


class Session:
    """A session with a Firefox, over which all its tabs are driven."""

    def __init__(self, port):
        self.web_socket = WebSocket(port, "/session")
        self._numbers = itertools.count(1)
        self.tabs = {}  # by their context
        self.call("session.new", {"capabilities": {}})
        self.call("session.subscribe", {"events": list(EVENTS)})

    def call(self, method, parameters):
        """Send a command and return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        self.web_socket.send(json.dumps(command))
        while True:
            answer = json.loads(self.web_socket.receive())
            if answer["type"] == "event":
                self._note(answer["method"], answer["params"])
            elif answer["id"] == number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def _note(self, method, parameters):
        context = parameters.get("context") or parameters.get("source", {}).get("context")
        tab = self.tabs.get(context)
        if tab is None:
            return
        if method == "network.beforeRequestSent":
            tab.requests.append(parameters["request"]["url"])
        elif parameters["level"] in ("error", "warn"):
            tab.complaints.append(parameters["text"])


class FirefoxPage(Page):
    """One tab of a Firefox."""

    def __init__(self, session):
        super().__init__()
        self._session = session
        self._context = session.call("browsingContext.create", {"type": "window"})["context"]
        session.tabs[self._context] = self

    def call(self, method, **parameters):
        """Send a command about this tab and return its result."""
        return self._session.call(method, {"context": self._context, **parameters})

    def tab(self):
        return FirefoxPage(self._session)

    def open(self, place):
        url = place if isinstance(place, str) else place.resolve().as_uri()
        self.call("browsingContext.navigate", url=url, wait="complete")

    def evaluate(self, script):
        answer = self._session.call(
            "script.evaluate",
            {
                "expression": f"(async () => JSON.stringify(await ({script})) ?? 'null')()",
                "target": {"context": self._context},
                "awaitPromise": True,
            },
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def click(self, selector):
        spot = {name: round(value) for name, value in self.middle(selector).items()}
        moves = [
            {"type": "pointerMove", **spot},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "actions": moves})

    def type(self, selector, text):
        """Put the cursor into a field and type."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        for letter in text:
            self.press(letter)

    def press(self, key):
        value = KEYS.get(key, key)
        moves = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keyboard", "actions": moves})

    def _act(self, source):
        self.call("input.performActions", actions=[source])

    def screen(self, width, height):
        self.call("browsingContext.setViewport", viewport={"width": width, "height": height})

    def screenshot(self):
        return base64.b64decode(self.call("browsingContext.captureScreenshot")["data"])


@contextlib.contextmanager
def started(program, profile):
    """Start a Firefox and give one page of it."""
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()]
    Path(profile, "user.js").write_text("".join(lines))
    line = [program, "--headless", "--no-remote", "--profile", profile]
    said = Path(profile, "said.txt")
    with open(said, "w") as file:
        process = subprocess.Popen(
            [*line, "--remote-debugging-port", "0"], stdout=file, stderr=file
        )
    try:
        session = Session(_port(said))
        with contextlib.closing(session.web_socket):
            yield FirefoxPage(session)
    finally:
        process.kill()
        process.wait()


def _port(said):
    """Wait until the browser says at which port it listens."""
    deadline = time.monotonic() + ANSWER_S
    while not (found := re.search(r"listening on ws://127\.0\.0\.1:(\d+)\s", said.read_text())):
        assert time.monotonic() < deadline, "Firefox does not start"
        time.sleep(0.05)
    return int(found[1])
