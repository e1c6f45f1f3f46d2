"""What one writes instead of callvault: threads that download, tag, hash, upload, ask for what was
stored and note it, a commit a file. It leaves out no check and does each as cheaply as Python can:
bodies stay in memory, connections open, signatures leave the body out. Tells the seconds and CPU
seconds of the work, without its start."""

import base64
import hashlib
import io
import os
import resource
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import requests
from botocore.config import Config
from mutagen.id3 import COMM, ID3, TDRC, TIT2, TLEN, TPE1, TXXX, UFID

THREADS = 16


def main(urls_file: str, endpoint: str, bucket: str, prefix: str, index: str, said: str) -> None:
    urls = open(urls_file).read().split()
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(
            max_pool_connections=THREADS,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path", "payload_signing_enabled": False},
        ),
    )
    db = sqlite3.connect(index, check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE recording (name TEXT PRIMARY KEY, key TEXT, sha256 TEXT, bytes INTEGER)")
    writing, local = threading.Lock(), threading.local()

    def archive(url: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
        answer = local.session.get(url, timeout=30)
        answer.raise_for_status()
        body = answer.content
        if len(body) != int(answer.headers["Content-Length"]):
            raise RuntimeError(f"{url} is short")
        name = url.rsplit("/", 1)[1]
        tagged = tag(name, url, body)
        digest = hashlib.sha256(tagged)
        checksum = base64.b64encode(digest.digest()).decode()
        key = f"{prefix}hq/2023/03/07/{name}"
        s3.put_object(
            Bucket=bucket, Key=key, Body=tagged, ChecksumSHA256=checksum, ContentType="audio/mpeg"
        )
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        if (head["ContentLength"], head["ChecksumSHA256"]) != (len(tagged), checksum):
            raise RuntimeError(f"{key} is not what was sent")
        row = (name, key, digest.hexdigest(), len(tagged))
        with writing:
            db.execute("INSERT INTO recording VALUES (?, ?, ?, ?)", row)

    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(archive, urls):
            pass
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    open(said, "w").write(f"{seconds} {cpu_s}")


def tag(name: str, url: str, body: bytes) -> bytes:
    tags = ID3()
    tags.add(TIT2(encoding=3, text="Incoming 05552221133 → 117"))
    tags.add(TPE1(encoding=3, text="05552221133"))
    tags.add(TDRC(encoding=3, text="2023-03-07T11:23:18"))
    tags.add(TLEN(encoding=3, text=str(len(body) // 2)))
    tags.add(UFID(owner="callvault", data=name.encode()))
    tags.add(COMM(encoding=3, lang="eng", desc="", text="Incoming 05552221133 → 117"))
    for key, value in [("PBX", "hq"), ("CALL_ID", name.split("-")[0]), ("SOURCE_URL", url)]:
        tags.add(TXXX(encoding=3, desc=key, text=value))
    tags.add(TXXX(encoding=3, desc="ORIGINAL_SHA256", text=hashlib.sha256(body).hexdigest()))
    file = io.BytesIO()
    tags.save(file, v2_version=4)
    return file.getvalue() + body


main(*sys.argv[1:])
