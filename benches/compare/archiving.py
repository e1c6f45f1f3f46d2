"""Recordings from a web server into a store: callvault beside a Python worker, rclone and s5cmd."""

import contextlib
import pathlib
import random
import socket
import sqlite3
import sys
import tempfile
import threading
import time

from parts import (
    BIN, HERE, MADE, ROOT, TMP, Cost, archive_table, cpu_s, interleaved, peak_mib, peer, run_once,
    wait_for,
)  # fmt: skip
from stores import BUCKET, bucket_settings, callvault, s3_environment, seaweedfs

FILES, MEAN_BYTES = 600, 299_000
LARGE_BYTES = 500_000_000
AT_A_TIME = 16
FRAME_BYTES = 144  # of all of tests/audio but two


def pipeline(rounds: int) -> None:
    names = recordings(FILES, MEAN_BYTES)
    with seaweedfs() as (endpoint, weed), peer("recordings", MADE / "recordings") as source:
        measured = Measured(source, endpoint, names, store_pid=weed)
        costs = interleaved(
            rounds,
            {
                "callvault": measured.callvault,
                "Python worker": measured.python,
                "rclone copyurl": measured.rclone,
                "s5cmd, from disk": measured.s5cmd,
            },
        )
    archive_table(f"{FILES} recordings, {AT_A_TIME} at a time, SeaweedFS", "files", costs)
    measured.say_store()


def sink(rounds: int) -> None:
    names = recordings(FILES, MEAN_BYTES)
    with peer("sink") as store, peer("recordings", MADE / "recordings") as source:
        measured = Measured(source, f"http://{store}", names)
        costs = interleaved(
            rounds,
            {
                "callvault": measured.callvault,
                "Python worker": measured.python,
                "rclone copyurl": measured.rclone,
            },
        )
    archive_table(f"{FILES} recordings, {AT_A_TIME} at a time, a store that costs nothing", "files", costs)


def large(rounds: int) -> None:
    names = recordings(1, LARGE_BYTES)
    with seaweedfs() as (endpoint, weed), peer("recordings", MADE / "recordings") as source:
        measured = Measured(source, endpoint, names, store_pid=weed)
        parties = {"callvault": measured.callvault, "rclone copyurl": measured.rclone}
        costs = interleaved(rounds, parties)
    title = "One recording of 500 MB, SeaweedFS"
    archive_table(title, "MB", costs, scale=LARGE_BYTES / 1e6, per=1)


def recordings(count: int, mean_bytes: int, directory=MADE / "recordings") -> list[str]:
    """Whole frames of the recordings in tests/audio, joined; sizes from a third of the mean on."""
    directory.mkdir(exist_ok=True)
    sources = sorted((ROOT / "tests/audio").glob("23*.mp3"))
    frames = b"".join(source.read_bytes() for source in sources)
    chance, names = random.Random(1), []
    for nth in range(1, count + 1):
        name = f"230307142318_{nth if count > 1 else 0}-1-1.mp3"
        part = chance.uniform(1 / 3, 5 / 3) if count > 1 else 1
        bytes_ = int(mean_bytes * part) // FRAME_BYTES * FRAME_BYTES
        if not (directory / name).exists() or (directory / name).stat().st_size != bytes_:
            from_ = chance.randrange(len(frames) // FRAME_BYTES) * FRAME_BYTES
            turned = frames[from_:] + frames[:from_]
            whole = turned * (bytes_ // len(turned) + 1)
            (directory / name).write_bytes(whole[:bytes_])
        names.append(name)
    return names


class Measured:
    def __init__(self, source: str, endpoint: str, names: list[str], store_pid: int | None = None):
        self.source, self.endpoint, self.names = source, endpoint, names
        self.store_pid, self.store_cpu = store_pid, {}
        self.urls = [f"http://{source}/webapi/recording/{name}" for name in names]

    @contextlib.contextmanager
    def store_costs(self, party: str):
        before = cpu_s(self.store_pid) if self.store_pid else 0
        yield
        if self.store_pid:
            spent = cpu_s(self.store_pid) - before
            self.store_cpu.setdefault(party, []).append(spent / len(self.names) * 1000)

    def say_store(self) -> None:
        said = (f"{name} {sorted(all_)[len(all_) // 2]:.1f}" for name, all_ in self.store_cpu.items())
        print(f"\nThe store's own CPU s per 1,000: {', '.join(said)}.")

    def callvault(self, nth: int) -> Cost:
        store = bucket_settings(self.endpoint, f"callvault-{nth}/")
        with callvault(store, self.source) as service, self.store_costs("callvault"):
            before, began = cpu_s(service.pid), time.monotonic()
            announce(service, self.urls)
            index = sqlite3.connect(f"file:{service.index}?mode=ro", uri=True)
            sql = "SELECT count(*) FROM recordings WHERE state = 'archived'"
            wait_for(
                "the archive",
                lambda: index.execute(sql).fetchone()[0] == len(self.urls),
                seconds=600,
            )
            seconds = time.monotonic() - began
            return Cost(
                len(self.urls), seconds, cpu_s(service.pid) - before, peak_mib(service.pid)
            )

    def python(self, nth: int) -> Cost:
        urls, index = TMP / "urls", pathlib.Path(tempfile.mkdtemp(dir=TMP)) / "index.sqlite"
        urls.write_text("\n".join(self.urls))
        said = TMP / "python.out"
        words = [urls, self.endpoint, BUCKET, f"python-{nth}/", index, said]
        with self.store_costs("Python worker"):
            command = [sys.executable, HERE / "python_worker.py", *map(str, words)]
            cost = run_once(len(self.urls), command, s3_environment())
        cost.seconds, cost.cpu_s = map(float, said.read_text().split())
        return cost

    def rclone(self, nth: int) -> Cost:
        urls = TMP / "urls.csv"
        urls.write_text("".join(f"{url},{name}\n" for url, name in zip(self.urls, self.names)))
        command = [
            BIN / "rclone", "copyurl", "--urls", urls, f":s3:{BUCKET}/rclone-{nth}",
            f"--transfers={AT_A_TIME}", "--config=/dev/null", "--s3-provider=SeaweedFS",
            f"--s3-endpoint={self.endpoint}", "--s3-env-auth", "--s3-no-check-bucket",
        ]  # fmt: skip
        with self.store_costs("rclone copyurl"):
            return run_once(len(self.urls), command, s3_environment())

    def s5cmd(self, nth: int) -> Cost:
        program = next(MADE.glob("venv/lib/*/site-packages/s5cmd/bin/s5cmd"))
        files = [f"cp {MADE}/recordings/{name} s3://{BUCKET}/s5cmd-{nth}/{name}\n" for name in self.names]
        commands = TMP / "s5cmd.commands"
        commands.write_text("".join(files))
        command = [program, "--endpoint-url", self.endpoint, "--numworkers", str(AT_A_TIME), "run", commands]
        with self.store_costs("s5cmd, from disk"):
            return run_once(len(self.urls), command, s3_environment())


def announce(service, urls: list[str], pbx: str = "hq") -> None:
    """Posts an announcement each, over as many connections as there are downloads at a time."""

    def post(some: list[str]) -> None:
        with socket.create_connection(service.hook) as connection:
            for url in some:
                leg = url.rsplit("/", 1)[1].rsplit("-", 1)[0]
                event = (
                    f'{{ "Event": "recording", "FileUrls": [ "{url}" ], '
                    f'"Callerid": "05552221133", "User": "117", "Id": "{leg}" }}'
                )
                connection.sendall(
                    f"POST {service.path(pbx)} HTTP/1.1\r\nHost: callvault\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(event)}\r\n\r\n{event}".encode()
                )
                answer = connection.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(f"the hook answers {answer[:80]!r}")

    threads = [
        threading.Thread(target=post, args=(urls[at::AT_A_TIME],)) for at in range(AT_A_TIME)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
