"""The code that a run was carried out with is recorded without running anything."""

import json
import os
import shutil
import subprocess

import pytest

import vkood.train.source
from vkood.train.record import begin
from vkood.train.run import Run
from vkood.train.source import git_head, source_state


def git(folder, *arguments):
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{who}_NAME": "x", f"GIT_{who}_EMAIL": "x@example.org"}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, env=os.environ | identity
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.py").write_text("1")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    return folder


@pytest.fixture
def malicious(checkout):
    """Everything in a repository's configuration that git runs, with a file that shows whether it was."""
    proof = checkout.parent / "proof"
    program = checkout.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    program.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.smudge",
        "filter.x.process",
        "diff.x.textconv",
        "diff.external",
        "core.pager",
        "core.sshCommand",
        "core.editor",
        "alias.status",
    ):
        git(checkout, "config", key, f"!{program}" if key.startswith("alias") else str(program))
    (checkout / ".gitattributes").write_text("* filter=x diff=x\n")
    (checkout / "a.py").write_text("2")
    hooks = checkout / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(program, hooks / hook)
    return checkout, proof


def test_nothing_of_a_repository_is_run(malicious, monkeypatch, tmp_path):
    checkout, proof = malicious
    monkeypatch.chdir(checkout)
    assert git_head(checkout)["branch"] == "refs/heads/main"
    begin(tmp_path / "run", Run(), checkpoint=None)
    assert not proof.exists()
    subprocess.run(["git", "status", "--porcelain"], capture_output=True)  # what was called before
    assert proof.exists(), "the trap does not work"


def test_it_is_the_state_of_our_code_not_of_the_current_folder(checkout, monkeypatch, tmp_path):
    monkeypatch.chdir(checkout)
    begin(tmp_path / "run", Run(), checkpoint=None)
    state = json.loads((tmp_path / "run" / "environment.json").read_text())["source"]
    assert state == source_state()
    assert state.get("commit") != git_head(checkout)["commit"]


def test_changed_modules_change_the_hash(monkeypatch, tmp_path):
    package = tmp_path / "src" / "vkood"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("1")
    monkeypatch.setattr(vkood.train.source.vkood, "__file__", str(package / "__init__.py"))
    before = source_state()
    assert source_state() == before
    (package / "__init__.py").write_text("2")
    assert source_state()["sha256"] != before["sha256"]
    assert "commit" not in before


def test_commits_wherever_git_keeps_them(checkout, tmp_path):
    commit = git(checkout, "rev-parse", "HEAD")
    right = {"branch": "refs/heads/main", "commit": commit}
    assert git_head(checkout) == right
    git(checkout, "pack-refs", "--all")
    assert git_head(checkout) == right
    git(checkout, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    assert git_head(tmp_path / "linked") == {"branch": "refs/heads/other", "commit": commit}
    git(checkout, "checkout", "-q", "--detach")
    assert git_head(checkout) == {"commit": commit}


@pytest.mark.parametrize(
    "head",
    [
        "",
        "ref: ../../secret",
        "ref: refs/heads/../../../secret",
        "\xff\xfe",
        "0" * 39,
        "ref: refs/heads/none",
    ],
)
def test_damaged_repositories(checkout, head):
    (checkout / ".git" / "HEAD").write_text(head, encoding="latin-1")
    assert "commit" not in git_head(checkout)


def test_no_repository(tmp_path):
    assert git_head(tmp_path) == {}
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert git_head(tmp_path) == {}
