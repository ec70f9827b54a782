"""A headless Chromium, driven through its DevTools pipe; see `browsers.running`."""

import base64
import contextlib
import itertools
import json
import os
import select
import subprocess
import sys
import time

from browsers import ANSWER_S, Page

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
ON_3_AND_4 = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for pipe, number in zip(pipes, (3, 4)):
    os.dup2(pipe, number)
os.execv(sys.argv[3], sys.argv[3:])
"""  # Chromium reads commands from descriptor 3 and answers on 4


class Pipe:
    """The two descriptors over which all tabs of a browser are driven."""

    def __init__(self, commands, answers):
        self._commands, self._answers = commands, answers
        self._numbers = itertools.count(1)
        self._buffer = b""
        self.tabs = {}  # by their session

    def call(self, method, parameters, session=None):
        """Send a command and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def next(self):
        """Return the next message; the tab that it is about notes what it reports."""
        deadline = time.monotonic() + ANSWER_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            data = os.read(self._answers, 1 << 16) if ready else b""
            if not data:
                raise TimeoutError("Chromium does not answer")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        if message.get("sessionId") in self.tabs:
            tab = self.tabs[message["sessionId"]]
            tab.note(message.get("method"), message.get("params", {}))
        return message


class ChromiumPage(Page):
    """One tab of a Chromium."""

    def __init__(self, pipe):
        super().__init__()
        self._pipe = pipe
        self._loaded = set()
        target = pipe.call("Target.createTarget", {"url": "about:blank", "newWindow": True})
        attached = pipe.call("Target.attachToTarget", {**target, "flatten": True})
        self._session = attached["sessionId"]
        pipe.tabs[self._session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method, **parameters):
        """Send a command to this tab and return its result."""
        return self._pipe.call(method, parameters, self._session)

    def tab(self):
        return ChromiumPage(self._pipe)

    def open(self, place):
        url = place if isinstance(place, str) else place.resolve().as_uri()
        document = self.call("Page.navigate", url=url)["loaderId"]
        while document not in self._loaded:  # and not the one that was open before
            self._pipe.next()

    def evaluate(self, script):
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def click(self, selector):
        spot = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **spot, button="left", clickCount=1)

    def drag(self, selector, x, y):
        """Press the mouse in the middle of an element, move it by some pixels, and let go."""
        spot = self.middle(selector)
        moved = {"x": spot["x"] + x, "y": spot["y"] + y}
        steps = (("mousePressed", spot), ("mouseMoved", moved), ("mouseReleased", moved))
        for kind, place in steps:
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                **place,
                button="left",
                buttons=int(kind == "mouseMoved"),
            )

    def type(self, selector, text):
        """Put the cursor into a field and type."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def press(self, key):
        text = {"text": {"Enter": "\r"}.get(key, key)} if len(key) == 1 or key == "Enter" else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def upload(self, selector, file):
        """Choose a file for a field, as a person does in the dialog of the browser."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=document, selector=selector)
        self.call("DOM.setFileInputFiles", files=[str(file)], **found)

    def save_downloads(self, folder):
        """Let files that are downloaded be saved in a folder."""
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screen(self, width, height, *, dark=False, scale=1):
        """Set the size of the screen and the scheme of colours; wait until the page has them."""
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=is_phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        now = "screen.width" if is_phone else "innerWidth"
        is_scheme = f"matchMedia('(prefers-color-scheme: {scheme['value']})').matches"
        self.wait_for(f"{now} === {width} && {is_scheme}")

    def screenshot(self):
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def note(self, method, parameters):
        """Remember what an event reports."""
        if method == "Page.lifecycleEvent" and parameters["name"] == "load":
            self._loaded.add(parameters["loaderId"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(str(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] != "verbose":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])


@contextlib.contextmanager
def started(program, profile):
    """Start a Chromium and give one page of it."""
    commands_in, commands = os.pipe()
    answers, answers_out = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_3_AND_4, str(commands_in), str(answers_out),
         program, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(commands_in, answers_out),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(commands_in)
    os.close(answers_out)
    try:
        yield ChromiumPage(Pipe(commands, answers))
    finally:
        os.close(commands)
        os.close(answers)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
