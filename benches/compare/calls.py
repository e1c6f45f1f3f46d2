"""A PBX with calls: the recordings that it serves, and its events, posted at a steady pace.

Never here: what is measured, but for how long the hook took to answer.
"""

import contextlib
import datetime
import http.client
import itertools
import os
import pathlib
import random
import statistics
import tempfile
import threading
import time

from archiving import recordings
from parts import MADE, TMP, peer

BODIES = 600
CONNECTIONS = 8


class Calls:
    """Each call another, with one recording; ten begin in a second, by their ids."""

    def __init__(self, began: str, mean_bytes: int):
        self.began = datetime.datetime.fromisoformat(began)
        bodies = MADE / f"recordings-{mean_bytes}"
        self.bodies = [bodies / name for name in recordings(BODIES, mean_bytes, bodies)]
        self.directory = pathlib.Path(tempfile.mkdtemp(dir=TMP))
        self.numbers, self.chance = itertools.count(1), random.Random(1)

    @contextlib.contextmanager
    def served(self):
        with peer("recordings", self.directory) as address:
            yield address

    def call(self) -> str:
        """The id of a new call, whose recording can be fetched from now on."""
        nth = next(self.numbers)
        call = f"{self.began + datetime.timedelta(seconds=nth // 10):%y%m%d%H%M%S}_{nth}"
        os.link(self.bodies[nth % len(self.bodies)], self.directory / f"{call}-1-1.mp3")
        return call

    def events(self) -> list[str]:
        """Of a new call, answered at once; the second last announces its recording."""
        call, number = self.call(), f"0555{self.chance.randrange(20_000):07}"
        rest = f'"Callerid": "{number}", "User": "{self.chance.randrange(100, 200)}"'
        return [
            f'{{ "Event": "ringing", {rest}, "Usertype": "queue", "Did": "", "Id": "{call}-0" }}',
            f'{{ "Event": "ringing", {rest}, "Usertype": "ext", "Did": "", "Id": "{call}-0" }}',
            f'{{ "Event": "incomingcall_started", {rest}, "Trtype": "NotDef", "Did": "", "Id": "{call}-1" }}',
            f'{{ "Event": "recording", "FileUrls": [ "{url(call)}" ], {rest}, "Id": "{call}-1" }}',
            f'{{ "Event": "incoming", {rest}, "Finishtype": "Ok", "Transfer": "False", "Did": "", '
            f'"Duration": "00:06", "Id": "{call}-1" }}',
        ]


def url(call: str) -> str:
    return f"http://127.0.0.1/webapi/recording/{call}-1-1.mp3"


def hundredths(took_ms: list[float]) -> list[float]:
    """The first to the 99th."""
    return statistics.quantiles(took_ms, n=100)


class Posting:
    """Posts calls' events, so many a second, from when it is entered until it is left. Each
    connection has its own calls and its own times, so that no event waits for another's answer."""

    def __init__(self, service, calls: Calls, per_second: float):
        self.service, self.calls, self.per_second = service, calls, per_second
        self.took_ms, self.announced, self.failures = [], 0, []
        self.ended = threading.Event()

    def __enter__(self):
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self.post, args=(at,)) for at in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise RuntimeError(f"the hook answered {self.failures[:3]}")

    def post(self, at: int) -> None:
        hook = http.client.HTTPConnection(*self.service.hook)
        while not self.ended.is_set():
            for event in self.calls.events():
                due = self.began + at / self.per_second
                at += CONNECTIONS
                time.sleep(max(0, due - time.monotonic()))
                sent = time.monotonic()
                hook.request("POST", self.service.path("hq"), event, {"Content-Type": "application/json"})
                answer = hook.getresponse()
                answer.read()
                self.took_ms.append((time.monotonic() - sent) * 1000)
                if answer.status != 200:
                    self.failures.append(answer.status)
            self.announced += 1
