"""What one writes instead of callvault's hook: a request, a row, a commit, an answer. On the event
loop, for a thread would only stand in line for the same commit."""

import os
import sqlite3
import time

from fastapi import FastAPI, Request, Response

db = sqlite3.connect(os.environ["INDEX"], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = FULL")
db.execute(
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, received REAL, content_type TEXT, body BLOB)"
)
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/hook")
async def hook(request: Request) -> Response:
    row = (time.time(), request.headers.get("content-type"), await request.body())
    db.execute("INSERT INTO event (received, content_type, body) VALUES (?, ?, ?)", row)
    return Response(b"{}", media_type="application/json")
