#!/usr/bin/env python3
"""Prints the ID3v2 frames of an MP3 file as one JSON object, read by mutagen (an independent reader).

Usage: id3_dump.py FILE

Text frames by their id, "TXXX:NAME", "UFID:OWNER", "COMM" (language eng, no description; others are
"COMM:description:language"); "PRIV:OWNER" as {"bytes": N, "sha256": HEX}; "TLEN" as a number.
In lower case what mutagen says of the file: "id3_version", "tag_bytes", "length_ms", "sample_rate_hz".
"""
import hashlib
import json
import sys

from mutagen.id3 import COMM, PRIV, TLEN, TXXX, UFID, TimeStampTextFrame
from mutagen.mp3 import MP3


def entry(key, frame):
    if isinstance(frame, PRIV):
        data = frame.data
        return f"PRIV:{frame.owner}", {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if isinstance(frame, UFID):
        return f"UFID:{frame.owner}", frame.data.decode()
    if isinstance(frame, COMM):
        key = "COMM" if (frame.lang, frame.desc) == ("eng", "") else f"COMM:{frame.desc}:{frame.lang}"
    elif isinstance(frame, TXXX):
        key = f"TXXX:{frame.desc}"
    elif isinstance(frame, TLEN):
        return key, +frame
    elif isinstance(frame, TimeStampTextFrame):
        # mutagen shows the T that stands in the file as a space.
        return key, "\0".join(map(str, frame.text)).replace(" ", "T")
    return key, "\0".join(map(str, frame.text)) if hasattr(frame, "text") else repr(frame)


def main():
    file = MP3(sys.argv[1], translate=False, load_v1=False)
    shown = {}
    if file.tags is not None:
        shown["id3_version"] = ".".join(map(str, file.tags.version[:2]))
        shown["tag_bytes"] = file.tags.size
        shown.update(entry(key, frame) for key, frame in file.tags.items())
    shown["length_ms"] = round(file.info.length * 1000)
    shown["sample_rate_hz"] = file.info.sample_rate
    print(json.dumps(shown, ensure_ascii=False))


main()
