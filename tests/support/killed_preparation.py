"""Prepares a data set again and again, killed at one point after another; says what readers see after each.

Points are the calls that change names on the disk. Each attempt is a process of its own, forked from this one. Run as
`python killed_preparation.py FOLDER`; prints a JSON list of [signal, point, what is seen].
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from PIL import Image

from vkood.data.prepare import prepare
from vkood.data.readers.own import read_own
from vkood.data.rows import Rows
from vkood.data.tables import find_tables

CALLS = ("rename", "replace", "unlink", "rmdir", "mkdir")


def source(folder: Path, text: str):
    lines = ["image,question,answer,split"]
    lines += [f"a.png,What is a {text} {split}?,{text},{split}" for split in ("train", "val")]
    (folder / f"{text}.csv").write_text("\n".join(lines))
    return read_own(folder / f"{text}.csv", folder, name="q")


def kill_at(point: int, number: int) -> None:
    """Let this process be killed at the call of that number."""
    # Whoever starts the tests in the background may have SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    calls = 0

    def counting(call):
        def counted(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == point:
                os.kill(os.getpid(), number)
                while True:  # another thread may receive the signal, a moment later
                    time.sleep(0.01)
            return call(*args, **kwargs)

        return counted

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


def prepared_until(folder: Path, text: str, point: int, number: int) -> bool:
    """Prepare in a process that is killed at a point; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        kill_at(point, number)
        try:
            prepare(source(folder, text), folder / "tables", facts=None)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def seen(folder: Path) -> list[str]:
    """The texts that a reader of all tables sees."""
    rows = Rows(find_tables(folder / "tables", ["*"]))
    return sorted({rows.text(index)[0].split()[3] for index in range(len(rows))})


def main() -> None:
    """Kill, look, go on."""
    folder = Path(sys.argv[1])
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (folder / "tables").mkdir()
    results = []
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        prepare(source(folder, "old"), folder / "tables", facts=None)
        for point in range(1, 100):
            ended = prepared_until(folder, "new", point, number)
            results.append((number.name, point, seen(folder)))
            prepare(source(folder, "old"), folder / "tables", facts=None)
            if ended:
                break
    print(json.dumps({"seen": results, "left": sorted(os.listdir(folder / "tables"))}))


if __name__ == "__main__":
    main()
