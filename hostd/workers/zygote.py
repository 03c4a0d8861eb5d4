"""The process that workers are forked from: it has imported what every plugin needs, and never runs a plugin.

`python -I -m hostd.workers.zygote FD PARENT_PID CONFINEMENT`; that is `confined` or `network` where it runs under
bubblewrap, and each worker is confined by itself, with or without the network.

Requests and answers are JSON on a SOCK_SEQPACKET socket: `{"fork": n, "ahead": false, "preload": [module, ...]}` with
the worker's end of a socket pair and its memory files attached, `{"kill": pid}`; `{"ready": pid}`, `{"forked": n,
"pid": pid}`, `{"failed": n, "errno": e}`, `{"exited": pid, "status": n}`. It is the workers' parent, so that a pid it
is asked to kill is always that worker's. When the daemon goes, however it goes, the zygote ends, and its workers with
it.
"""

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import hostd.workers.worker as worker
from hostd.workers import confine, limits, wire
from hostd.workers.heap import keep_small_blocks
from hostd.workers.preload import preload
from hostd.workers.warm import warm_up

PR_SET_PDEATHSIG = 1
MAX_OWN_FD = 64
"""The zygote's own descriptors are below, a worker's above."""


def main(packages: str = "") -> None:
    """Serve fork requests until the daemon hangs up. Workers can import from the folder `packages`, if there is one."""
    control = socket.socket(fileno=int(sys.argv[1]))
    daemon_pid = int(sys.argv[2])
    confinement = sys.argv[3]
    if confinement:
        confine.try_out()  # bubblewrap is its parent, and ends it with the daemon
    else:
        die_with_parent(daemon_pid)
    _harden()
    keep_small_blocks()
    worker.show_as("hostd-zygote")
    preload(())
    if packages:
        sys.path.append(packages)  # after the last import: what lies there is foreign, and must not run here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the daemon ends it by hanging up
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    _say(control, {"ready": os.getpid()})
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        children: set[int] = set()
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    if not _serve(control, children, confinement):
                        return
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_read, 4096)
                    _reap(control, children)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def _harden() -> None:
    """Give workers no way to more rights, and have the kernel end them, not the daemon, when memory runs out."""
    if sys.platform == "linux":
        confine.no_new_privileges()
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def _serve(control: socket.socket, children: set[int], confinement: str) -> bool:
    try:
        message, fds, _, _ = socket.recv_fds(control, 4096, 1 + 2 * wire.DEPTH)
    except ConnectionResetError:  # hung up with an answer of ours unread
        message, fds = b"", []
    if not message:
        return False
    request: dict[str, Any] = json.loads(message)
    if "kill" in request:
        if request["kill"] in children:
            _kill_group(request["kill"])
        return True
    zygote_pid = os.getpid()
    if not sys.modules.keys() >= {*request["preload"]}:
        preload(request["preload"])
    try:
        pid = confine.fork() if confinement else os.fork()
    except OSError as error:  # too many processes, or no memory
        for fd in fds:
            os.close(fd)
        _say(control, {"failed": request["fork"], "errno": error.errno or 0})
        return True
    if pid == 0:
        control.close()
        # In a PID namespace of its own its parent has no number.
        _become_worker(fds, 0 if confinement else zygote_pid, confinement, ahead=request["ahead"])
    for fd in fds:
        os.close(fd)
    children.add(pid)
    _say(control, {"forked": request["fork"], "pid": pid})
    return True


def _become_worker(fds: list[int], zygote_pid: int, confinement: str, *, ahead: bool) -> None:
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        die_with_parent(zygote_pid)
        worker.show_as("hostd-spare")
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        # A worker has its own socket and memory files, and nothing of the zygote's.
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, MAX_OWN_FD) for fd in fds]
        os.closerange(3, MAX_OWN_FD)
        used = limits.DataSize()  # while there is a /proc
        if confinement:
            confine.enter(network=confinement == "network")
        sock = socket.socket(fileno=fds[0])
        if ahead:
            warm_up()
        worker.main(wire.Channel(sock, fds[1:]), used, functools.partial(_seal, confinement))
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # the daemon hung up while we were answering
    finally:
        os._exit(status)


def _seal(confinement: str, load: wire.Load) -> wire.Load:
    """Shut the door behind a worker that has been told what to load, and before it does."""
    if not confinement:
        return load
    return load._replace(path=confine.seal(load.path, load.digest))


def _reap(control: socket.socket, children: set[int]) -> None:
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None:
            return
        if ended.si_pid in children:
            # Before it is reaped, while nobody else can get its number: what it started ends with it.
            _kill_group(ended.si_pid)
            children.discard(ended.si_pid)
        _, status = os.waitpid(ended.si_pid, 0)
        _say(control, {"exited": ended.si_pid, "status": os.waitstatus_to_exitcode(status)})


def _kill_group(pid: int) -> None:
    """Kill a worker and what it started. It leads a group of its own, unless it has just been forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _say(control: socket.socket, message: dict[str, int]) -> None:
    try:
        control.send(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)  # the daemon is gone


if __name__ == "__main__":
    main()
