"""Files of facts, a fact a line, for `predict --facts` and `evaluate --irrelevant-facts`."""

from __future__ import annotations

import os
import random
from pathlib import Path

from ..case import Case, Right
from ..mutations import damaged_text
from .models import predict


def draw(rng: random.Random, kit: Path) -> Case:
    kind = rng.choice(
        ("text", "text", "long", "many", "fifo", "device", "folder", "missing", "markup", "surrogates")
    )
    damage, content = damaged_text("A dog is an animal.\nA wall is made of brick.\n", rng)
    certain: dict[str, Right] = {
        "fifo": "refused",
        "device": "refused",
        "folder": "refused",
        "missing": "refused",
    }
    if kind == "text" and damage in ("empty", "blank", "utf-16", "latin-1", "bytes"):
        certain["text"] = "refused"

    def write(folder: Path) -> list[str]:
        path = folder / "facts.txt"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        elif kind != "missing":
            contents = {
                "text": content,
                "long": b"a dog " * 200_000,
                "many": b"".join(b"A dog has %d legs.\n" % number for number in range(3_000)),
                "markup": b"A [/b] dog [link=x]is\x1b[31m red.\n<script>alert(1)</script>\n",
                "surrogates": b"A dog \xed\xb3\xbf.\n",
            }
            path.write_bytes(contents[kind])
        return predict(kit, "vqa", kit / "run" / "vqa" / "best", folder, str(path))

    return Case(f"{kind} {damage if kind == 'text' else ''}", write, certain.get(kind, "either"))
