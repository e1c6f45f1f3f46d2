"""SeaweedFS and callvault as the measurements run them. Never here: how they are driven."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import urllib.request

import boto3

from parts import BIN, CALLVAULT, TMP, running, wait_for

ACCESS, SECRET, BUCKET = "bench", "bench-secret-of-a-store", "calls"
HOOK_SECRET = "0123456789abcdef0123456789abcdef"
AT_ONCE = 'workers = 16\nwait_for_late_events = "1ms"\n'
PORTS = ["master", "volume", "filer", "s3", "admin"]


def s3_environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": ACCESS,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def seaweedfs():
    """Gives its endpoint, a bucket made, and its process."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=TMP))
    (directory / "data").mkdir()
    keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    identity = {"name": "admin", "credentials": keys, "actions": actions}
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    free = free_ports(2 * len(PORTS))
    ports = [f"-{name}.port={free.pop()}" for name in PORTS]
    ports += [f"-{name}.port.grpc={free.pop()}" for name in PORTS]
    s3 = next(flag.split("=")[1] for flag in ports if flag.startswith("-s3.port="))
    command = [
        BIN / "weed", "mini", f"-dir={directory}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=1024",
        f"-s3.config={directory}/s3.json", f"-s3.localSocket={directory}/s3.sock",
        f"-filer.localSocket={directory}/filer.sock", *ports,
    ]  # fmt: skip
    with running(command, TMP / "weed.log", stdout=subprocess.DEVNULL) as child:
        wait_for("SeaweedFS", lambda: is_healthy(f"http://127.0.0.1:{s3}/healthz"))
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{s3}", region_name="us-east-1",
            aws_access_key_id=ACCESS, aws_secret_access_key=SECRET,
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        yield f"http://127.0.0.1:{s3}", child.pid
    shutil.rmtree(directory, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def is_healthy(url: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(url, timeout=1).status == 200
    return False


class Callvault:
    """A service on a data directory of its own."""

    def __init__(self, directory: pathlib.Path, pid: int):
        self.directory, self.pid = directory, pid
        listening = json.loads((directory / "data/listen.json").read_text())
        host, port = listening["hook"].rsplit(":", 1)
        self.hook = (host, int(port))
        self.index = directory / "data/index.sqlite"

    def path(self, pbx: str) -> str:
        """The hook's."""
        return f"/hook/{pbx}/{HOOK_SECRET}"


@contextlib.contextmanager
def callvault(store: str, source: str = "127.0.0.1:9", env=None, concurrency=16, archive=AT_ONCE, **others):
    """With 16 at a time, due at once, unless told otherwise; ready, its store tried. `others` are
    PBXs beside `hq`, and where each serves its recordings."""
    directory = pathlib.Path(tempfile.mkdtemp(dir=TMP))
    settings = directory / "callvault.toml"
    settings.write_text(
        f'data_dir = "{directory}/data"\n'
        '[listen]\nhook = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
        + "".join(
            f'[[pbx]]\nname = "{pbx}"\ntimezone = "UTC"\nbase_url = "http://{source}"\n'
            f'hook_secret = "{HOOK_SECRET}"\nconcurrency = {concurrency}\n'
            for pbx, source in {"hq": source, **others}.items()
        )
        + f"[store]\n{store}[archive]\n{archive}"
    )
    command = [CALLVAULT, "--config", settings, "serve"]
    # As systemd/callvault.service has it.
    env = {**os.environ, "MALLOC_ARENA_MAX": "4", **(env or {})}
    log = directory / "log"
    with running(command, log, env=env, stdout=subprocess.DEVNULL) as child:
        wait_for("callvault's addresses", (directory / "data/listen.json").exists)
        # The last that is learned of a store.
        last = "keeps versions", "keeps no versions", "writers of a key win"
        if "s3" not in store:
            last = last[2:]
        wait_for("its store", lambda: any(text in log.read_text() for text in last))
        yield Callvault(directory, child.pid)
    shutil.rmtree(directory, ignore_errors=True)


def bucket_settings(endpoint: str, prefix: str) -> str:
    return (
        f'kind = "s3"\nbucket = "{BUCKET}"\nendpoint = "{endpoint}"\npath_style = true\n'
        f'prefix = "{prefix}"\naccess_key = "{ACCESS}"\nsecret_key = "{SECRET}"\n'
    )
