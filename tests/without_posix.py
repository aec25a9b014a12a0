"""Takes from an interpreter what Windows does not have. The interpreter imports this as its `sitecustomize`,
before anything else, and so does every process that it starts. What a process has open it cannot rename or
remove, and a folder cannot be opened. The rest is still this machine's system.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.abc import MetaPathFinder
from multiprocessing import context
from pathlib import Path
from types import ModuleType

HANDLES = Path("/proc/self/fd")
MODULES = "fcntl grp pty pwd readline resource syslog termios tty"
OS = """
    chown confstr fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority
    getsid getuid killpg lchown lockf mkfifo mknod nice pathconf pipe2 posix_spawn posix_spawnp pread
    pwrite register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid
    setgid setpgid setsid setuid statvfs sysconf uname wait wait3 wait4 O_CLOEXEC O_DIRECTORY O_NOFOLLOW
    O_NONBLOCK O_TMPFILE
"""
SIGNAL = """
    SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIG_BLOCK SIG_SETMASK
    SIG_UNBLOCK alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending
    sigwait
"""


class Absent(MetaPathFinder):
    """Modules that cannot be found."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in MODULES.split():
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def take(module: ModuleType, names: list[str]) -> None:
    """Take names from a module. Third-party packages, which chose what to use by the system that they were
    made for, still find them."""
    taken = {name: vars(module)[name] for name in names if hasattr(module, name)}
    for name in taken:
        delattr(module, name)

    def lend(name: str) -> object:
        asks = sys._getframe(1).f_globals
        ours = str(asks.get("__name__")).partition(".")[0] == "hwsim"
        if name in taken and not ours and "site-packages" in str(asks.get("__file__")):
            return taken[name]
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = lend  # type: ignore[method-assign]


def is_open(path: Path) -> bool:
    """Whether this process has open a file, or one in a folder, where the system shows that."""
    real = Path(os.path.realpath(path))
    for handle in HANDLES.iterdir() if HANDLES.is_dir() else ():
        with suppress(OSError):  # of the listing itself
            if handle.readlink().is_relative_to(real):
                return True
    return False


def refusing(call: Callable[..., object], *, over: bool = True) -> Callable[..., object]:
    """A call that renames or removes its first argument, refused as on Windows."""

    def refuse(path: str, *more: str, **options: object) -> object:
        if any(is_open(Path(os.fsdecode(one))) for one in (path, *more)):
            raise PermissionError(13, "The process cannot access the file", path)
        if more and not over and Path(os.fsdecode(more[0])).exists():
            raise FileExistsError(17, "Cannot create a file when that file already exists", path)
        return call(path, *more, **options)

    return refuse


def open_file(path: str, *arguments: int, **options: int) -> int:
    if Path(os.fsdecode(path)).is_dir():
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *arguments, **options)


opened, os.open = os.open, open_file  # type: ignore[assignment]
os.rename = refusing(os.rename, over=False)  # type: ignore[assignment]
os.replace, os.unlink, os.remove = map(refusing, (os.replace, os.unlink, os.remove))  # type: ignore[assignment]
shutil._use_fd_functions = False  # type: ignore[attr-defined]
tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[assignment]

sys.meta_path.insert(0, Absent())
for name in MODULES.split():
    sys.modules.pop(name, None)
take(os, OS.split())
take(signal, SIGNAL.split())
take(select, ["epoll", "poll"])
take(time, ["tzset"])

spawn = context._concrete_contexts["spawn"]
context._concrete_contexts = {"spawn": spawn}
context._default_context._default_context = spawn
multiprocessing.get_all_start_methods = lambda: ["spawn"]

# What is opened without an encoding is read and written in another one there.
warnings.filterwarnings("ignore", category=EncodingWarning)
warnings.filterwarnings("error", category=EncodingWarning, module=r"hwsim(\.|$)")
# filelock's, for an interpreter without any lock of its system's; on Windows it uses that of Windows.
warnings.filterwarnings("ignore", message="only soft file lock is available")
