"""What exists on Unix alone is not needed to import vkood, and not used without asking whether it is there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vkood"

UNIX_MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
# Attributes of modules of Python that Windows does not have.
UNIX_NAMES = {
    "os": {
        *("O_NONBLOCK", "O_CLOEXEC", "WNOHANG", "chown", "fchmod", "fork", "geteuid", "getgid", "getloadavg"),
        *("getpgid", "getuid", "killpg", "mkfifo", "nice", "openpty", "posix_fallocate", "sched_getaffinity"),
        *("setpgid", "setsid", "statvfs", "sync", "uname", "wait", "wait4"),
    },
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pause"},
    "select": {"epoll", "kqueue", "poll"},
    "socket": {"AF_UNIX"},
}
# Where it is asked whether there is such a thing: module and name.
ASKED = {("cli/uncaught.py", "select.poll")}

# Modules of Python and of other packages may import them for themselves.
IMPORT_ALL = f"""
import builtins, importlib, pkgutil, sys
import vkood
real = builtins.__import__
def imported(name, globals=None, *others, **more):
    ours = (globals or {{}}).get("__name__", "").partition(".")[0] == "vkood"
    if ours and name.partition(".")[0] in {UNIX_MODULES}:
        raise ModuleNotFoundError(f"No module named {{name!r}}, which is Unix only")
    return real(name, globals, *others, **more)
builtins.__import__ = imported
names = [module.name for module in pkgutil.walk_packages(vkood.__path__, "vkood.")]
for name in names:
    if not name.endswith("__main__") and ".integrations." not in name and ".app." not in name:
        importlib.import_module(name)
print(len(names))
"""


def test_nothing_that_is_imported_is_of_unix_alone():
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 100


def unix_names(path: Path) -> set[str]:
    """The names of Unix alone that a module uses."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {
        f"{node.value.id}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in UNIX_NAMES.get(node.value.id, ())
    }


def test_names_of_unix_alone_are_asked_for():
    used = {
        (path.relative_to(SOURCE).as_posix(), name)
        for path in SOURCE.rglob("*.py")
        for name in unix_names(path)
    }
    assert used == ASKED


@pytest.mark.parametrize("line", ["os.fork()", "signal.SIGKILL", "os.O_RDONLY | os.O_NONBLOCK"])
def test_a_name_of_unix_alone_is_noticed(tmp_path, line):
    (tmp_path / "module.py").write_text(line)
    assert len(unix_names(tmp_path / "module.py")) == 1
