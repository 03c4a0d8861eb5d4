"""Inside the sandbox: a zygote's forks get a world of their own, and shut the door before plugin code runs.

bubblewrap leaves the zygote one capability, to mount, in a user namespace where it can mount nothing of the host's.
It is used here, by trusted code alone, and given up for good in `seal`. Linux only, standard library only.
"""

import contextlib
import ctypes
import errno
import functools
import os
import platform
import re
import signal
from pathlib import Path

from hostd.workers import seccomp
from hostd.workers.sandbox import PLUGIN, STORE

TEMPORARY_MIB = 64
TEMPORARY_FILES = 4096
MAX_THREADS = 512

_PID_MAX = Path("/proc/sys/kernel/pid_max")
_MACHINE = platform.machine()
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_NEWNS, _CLONE_NEWPID = 0x00020000, 0x20000000
_CLONE_CHILD_CLEARTID, _CLONE_CHILD_SETTID = 0x00200000, 0x01000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND = 1, 2, 4, 8, 4096
_MS_CLOSED = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_GET_TID_ADDRESS, _PR_CAP_AMBIENT = 22, 38, 40, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_THIS_PROCESS, _NO_CAPABILITIES = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
"""As capset(2) takes them."""

# PyDLL keeps the interpreter's lock: a fork that let go of it would leave it locked in the child.
_libc = ctypes.PyDLL(None, use_errno=True)


def no_new_privileges() -> None:
    """Let no program that is started from here on have more rights than its starter."""
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


def clear_ambient_capabilities() -> None:
    """Let no program that is started from here on get this thread's capabilities by that. Raises OSError."""
    _prctl("clearing ambient capabilities", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def fork() -> int:
    """Fork as os.fork does, into PID and mount namespaces of its own: killing that child kills all that it starts.

    Only from a process with one thread. Raises OSError.
    """
    flags = signal.SIGCHLD | _CLONE_NEWPID | _CLONE_NEWNS
    tid_address = _tid_address()
    if tid_address is not None:
        flags |= _CLONE_CHILD_CLEARTID | _CLONE_CHILD_SETTID
    last = (None, tid_address) if _MACHINE == "aarch64" else (tid_address, None)
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = int(_libc.syscall(ctypes.c_long(_SYS_CLONE[_MACHINE]), ctypes.c_ulong(flags), None, None, *last))
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
        _check(pid, "fork")
    return pid


def enter(*, network: bool) -> None:
    """Give this fork a temporary folder and a limit of threads of its own, and an end by signals that it must obey.

    From here on it sees no /proc, and may make none of the system calls that plugins may not, but to mount. Raises
    OSError when a step is refused.
    """
    if _pid_max_is_own():
        # uid 0 has no limit of processes, and a limit of memory is none for threads with little of it.
        with contextlib.suppress(OSError):  # a container may have it read-only; the other limits hold
            _PID_MAX.write_text(str(MAX_THREADS))
    _mount("tmpfs", os.environ["TMPDIR"], f"size={TEMPORARY_MIB}m,nr_inodes={TEMPORARY_FILES},mode=700")
    for number in (signal.SIGABRT, signal.SIGXCPU):  # PID 1 is spared what it does not handle
        # Called with the signal's number, which becomes the exit status.
        _libc.signal(int(number), ctypes.cast(_libc._exit, ctypes.c_void_p))  # noqa: SLF001 - C's name
    _cover("/proc")  # what the kernel tells of processes and itself
    clear_ambient_capabilities()
    no_new_privileges()
    program, _ = _filter(network=network)
    _prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def seal(path: str, digest: str) -> str:
    """Leave this process nothing but the artifact at `path` in the store, and no way back; return its new path.

    Raises OSError when a step is refused: nothing must run then.
    """
    _mount(f"{STORE}/{digest}", PLUGIN, flags=_MS_BIND)
    _give_up()
    return PLUGIN + path.split(f"/{digest}", 1)[1]


def try_out() -> None:
    """Do in a child what workers will do. Raises OSError where the kernel refuses a step."""
    if _MACHINE not in seccomp.MACHINES:
        raise OSError(errno.ENOTSUP, f"there is no filter of system calls for {_MACHINE}")
    for network in (False, True):
        _filter(network=network)  # kept for all that are forked
    said, says = os.pipe()
    pid = fork()
    if pid == 0:
        status = 1
        try:
            enter(network=False)
            _mount(STORE, PLUGIN, flags=_MS_BIND)
            _give_up()
            status = 0
        except OSError as error:
            os.write(says, f"{error.errno}:{error.strerror}".encode())
        finally:
            os._exit(status)
    os.close(says)
    with open(said, "rb") as answer:
        refused = answer.read().decode()
    _, status = os.waitpid(pid, 0)
    if refused:
        number, text = refused.split(":", 1)
        raise OSError(int(number), text)
    if status:
        raise OSError(errno.ENOTSUP, f"a confined process does not live: {os.waitstatus_to_exitcode(status)}")


def _tid_address() -> ctypes.c_void_p | None:
    """Return where the C library keeps this thread's number, which its locks use: a fork must set it anew."""
    address = ctypes.c_void_p()
    if _libc.prctl(_PR_GET_TID_ADDRESS, ctypes.byref(address), 0, 0, 0) == 0 and address.value:
        # Not every C library has the number there.
        return address if ctypes.c_int.from_address(address.value).value == os.getpid() else None
    return None


def _pid_max_is_own() -> bool:
    """Tell whether a PID namespace has a highest number of its own, since Linux 6.14; before, it was the machine's."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and (int(release[1]), int(release[2])) >= (6, 14)


def _cover(folder: str) -> None:
    _mount("tmpfs", folder, "size=4k,nr_inodes=1,mode=500", _MS_CLOSED)


def _give_up() -> None:
    """See no other plugin's artifact, and have no capability: without one, nothing can be mounted."""
    _cover(STORE)
    _check(_libc.capset(_THIS_PROCESS, _NO_CAPABILITIES), "giving up capabilities")


@functools.cache
def _filter(*, network: bool) -> "tuple[_Program, ctypes.Array[ctypes.c_char]]":
    """Return the filter of system calls as prctl(2) takes it, and the memory that it lies in."""
    code = seccomp.program(_MACHINE, network=network)
    memory = ctypes.create_string_buffer(code)
    return _Program(len(code) // 8, ctypes.addressof(memory)), memory


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _mount(source: str, target: str, options: str = "", flags: int = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC) -> None:
    kind = None if flags & _MS_BIND else source.encode()
    result = _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), options.encode() or None)
    _check(result, f"mounting {target}")


def _prctl(what: str, option: int, argument: object, more: object = 0) -> None:
    wide = [value if not isinstance(value, int) else ctypes.c_ulong(value) for value in (argument, more, 0, 0)]
    _check(_libc.prctl(option, *wide), what)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
