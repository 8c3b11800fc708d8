"""Runs cases in processes forked from this one, which has the libraries loaded."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .case import Case
from .verdicts import BROKEN, End, verdict

SECONDS = 90.0
CPU_SECONDS = 40
MEMORY = 2 * 2**30
_EVERY = 0.02


@dataclass(frozen=True)
class Outcome:
    """The outcome of a case."""

    kind: str
    number: int
    name: str
    verdict: str
    code: int
    sentence: str
    seconds: float
    memory: int
    arguments: list[str]


@dataclass
class _Running:
    kind: str
    number: int
    case: Case
    folder: Path
    started: float
    memory: int = 0
    killed: str = ""


def load_libraries() -> None:
    """Import what the commands import, with one thread, since threads do not survive a fork."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "200",
    }
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in (
        "vkood.cli",
        "vkood.models",
        "vkood.models.convert",
        "vkood.train.training",
        "vkood.train.evaluation",
        "vkood.recipes.resolve",
        "vkood.data.prepare",
        "vkood.data.check",
        "vkood.data.tiny",
        "vkood.knowledge",
        "vkood.data.readers.own",
        "rich.progress",
        "rich.table",
        "typer.rich_utils",
        "transformers.models.bert.modeling_bert",
        "transformers.models.vit.modeling_vit",
    ):
        with contextlib.suppress(ImportError):  # modules come and go
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        import spacy

        from vkood.knowledge import link

        assert spacy
        link("a dog")


def forked(work: Callable[[], Any], log: Path) -> int:
    """The exit code of a function that is called in a process of its own."""
    pid = os.fork()
    if pid == 0:
        _redirect(log, log)
        _call(work)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(
    cases: Iterator[tuple[str, int, Case]], root: Path, *, jobs: int, keep: bool = False
) -> Iterator[Outcome]:
    """Run cases, several at a time, and yield their outcomes in the order in which they end.

    Args:
        cases: Kind, number and case.
        root: Where each gets a folder.
        jobs: How many run at a time.
        keep: Whether the folders of cases answered well are kept too.
    """
    running: dict[int, _Running] = {}
    more = True
    while more or running:
        while more and len(running) < jobs:
            following = next(cases, None)
            if following is None:
                more = False
                break
            kind, number, case = following
            folder = root / f"{kind}-{number}"
            folder.mkdir(parents=True)
            pid = _start(case, folder)
            running[pid] = _Running(kind, number, case, folder, time.monotonic())
        time.sleep(_EVERY)
        for pid in list(running):
            at_work = running[pid]
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                _watch(pid, at_work)
                continue
            del running[pid]
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it started
            yield _outcome(at_work, os.waitstatus_to_exitcode(status), keep=keep)


def _start(case: Case, folder: Path) -> int:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _redirect(folder / "stdout", folder / "stderr")
        _call(lambda: _command(case, folder))
    return pid


def _command(case: Case, folder: Path) -> None:
    inputs = folder / "inputs"
    inputs.mkdir()
    os.chdir(inputs)
    try:
        arguments = case.write(inputs)
        (folder / "arguments.json").write_text(json.dumps(arguments))
    except BaseException:
        traceback.print_exc()
        os._exit(BROKEN)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    temporary = folder / "temporary"
    temporary.mkdir()
    os.environ |= {"HOME": str(home), "TMPDIR": str(temporary), **case.environment}
    import tempfile

    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if case.file_limit is not None:
        _limit_files(case.file_limit)
    sys.argv = ["vkood", *arguments]
    from vkood.cli import main

    main()


def _limit_files(limit: int) -> None:
    """Go on in a process whose files are limited, while this one passes on what it prints, which is not."""
    receivers, senders = zip(os.pipe(), os.pipe(), strict=True)
    pid = os.fork()
    if pid == 0:
        for number, sender in zip((1, 2), senders, strict=True):
            os.dup2(sender, number)
        for descriptor in (*receivers, *senders):
            os.close(descriptor)
        _open_streams()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return
    for sender in senders:
        os.close(sender)
    opened = dict(zip(receivers, (1, 2), strict=True))
    while opened:
        for receiver in select.select(list(opened), [], [])[0]:
            if content := os.read(receiver, 65_536):
                os.write(opened[receiver], content)
            else:
                del opened[receiver]
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os._exit(code if code >= 0 else 128 - code)


def _redirect(output: Path, errors: Path) -> None:
    """Standard streams to files; whoever asks on the standard input is answered "y"."""
    receiver, sender = os.pipe()
    os.write(sender, b"y\n" * 20)
    os.close(sender)
    os.dup2(receiver, 0)
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    _open_streams()


def _open_streams() -> None:
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _call(work: Callable[[], Any]) -> None:
    """Call a function and leave the process, without what the parent would do at its end."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _watch(pid: int, at_work: _Running) -> None:
    """Kill what takes too long or too much memory."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        at_work.memory = max(at_work.memory, 1024 * int(status.partition("RssAnon:")[2].split()[0]))
    except (OSError, IndexError):
        return  # it has just ended
    if at_work.memory > MEMORY:
        at_work.killed = "memory"
    elif time.monotonic() - at_work.started > SECONDS:
        at_work.killed = "hang"
    if at_work.killed:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _outcome(at_work: _Running, code: int, *, keep: bool) -> Outcome:
    folder = at_work.folder
    killed = at_work.killed or ("hang" if code in (-signal.SIGXCPU, -signal.SIGKILL) else "")
    output, errors = (
        (folder / name).read_text(encoding="utf-8", errors="replace") if (folder / name).exists() else ""
        for name in ("stdout", "stderr")
    )
    verdict_name, sentence = verdict(at_work.case, folder / "inputs", End(code, killed, output, errors))
    arguments = folder / "arguments.json"
    outcome = Outcome(
        kind=at_work.kind,
        number=at_work.number,
        name=at_work.case.name,
        verdict=verdict_name,
        code=code,
        sentence=sentence.replace(str(folder), ""),
        seconds=round(time.monotonic() - at_work.started, 2),
        memory=at_work.memory,
        arguments=json.loads(arguments.read_text()) if arguments.exists() else [],
    )
    if verdict_name == "well" and not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome
