"""Which system calls plugin code may not make, as a program for the kernel's seccomp filter.

A plugin may use memory, files and threads. It may not make processes, namespaces, mounts or sockets, look into other
processes, or take memory that its limits do not count. What is refused fails with EPERM, an OSError in Python.
"""

import errno
import functools
import struct
from collections.abc import Sequence

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = tuple(_AUDIT_ARCH)

# Numbers by machine: x86_64, aarch64; None where the machine does not have the call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Processes. `clone` is looked into: with CLONE_THREAD it makes a thread.
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # Namespaces and mounts.
    "unshare": (272, 97),
    "setns": (308, 268),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # Other processes, and the kernel itself.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "personality": (135, 92),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "fanotify_init": (300, 262),
    # Memory that no limit of a process counts.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
_CLONE, _CLONE3, _PRCTL, _SOCKET, _MMAP = (56, 220), (435, 435), (157, 167), (41, 198), (9, 222)

_CLONE_THREAD = 0x10000
_PR_SET_PDEATHSIG = 1
_MAP_SHARED, _MAP_ANONYMOUS, _MAP_GROWSDOWN = 0x01, 0x20, 0x100
_X32_BIT = 0x40000000
AF_INET, AF_INET6, AF_NETLINK = 2, 10, 16
NETWORK_FAMILIES = (AF_INET, AF_INET6, AF_NETLINK)
"""What a plugin with a granted network may open; names are looked up through netlink. Never a Unix socket: those of
the host without a file would be in reach."""

ALLOW, KILL, REFUSE, MISSING = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS

_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4

Instruction = tuple[int, int, int, int]


@functools.cache
def program(machine: str, *, network: bool) -> bytes:
    """Return the filter for a machine of `MACHINES`, as the kernel takes it: 8 bytes an instruction.

    It leaves out `mount`: a worker has to, once it is told what to load, and then gives up the capability for it. To
    take in another filter for that alone would cost the kernel as much as this one.
    """
    column = MACHINES.index(machine)
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, REFUSE)]
    for numbers in _NUMBERS.values():
        number = numbers[column]
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, REFUSE)]
    # Its arguments are in memory, where no filter can look; the C library then uses `clone`.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, MISSING)]
    code += _call(_CLONE[column], 0, [(_ANY_OF, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, REFUSE)])
    # Without it a worker would outlive its zygote.
    code += _call(_PRCTL[column], 0, [(_EQUAL, 0, 1, _PR_SET_PDEATHSIG), (_RETURN, 0, 0, REFUSE)])
    families = NETWORK_FAMILIES if network else ()
    allowed = [(_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    code += _call(_SOCKET[column], 0, [*allowed, (_RETURN, 0, 0, REFUSE)])
    shared_anonymous = _MAP_SHARED | _MAP_ANONYMOUS
    code += _call(
        _MMAP[column],
        3,
        [
            (_ANY_OF, 2, 0, _MAP_GROWSDOWN),
            (_AND, 0, 0, shared_anonymous),
            (_EQUAL, 0, 1, shared_anonymous),
            (_RETURN, 0, 0, REFUSE),
        ],
    )
    code.append((_RETURN, 0, 0, ALLOW))
    return assemble(code)


def _call(number: int, argument: int, test: Sequence[Instruction]) -> list[Instruction]:
    """Return `test` for one system call, with the low half of its argument loaded; if it falls through, all is well."""
    # Both machines are little endian.
    body = [(_LOAD, 0, 0, 16 + 8 * argument), *test, (_RETURN, 0, 0, ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]


def assemble(code: Sequence[Instruction]) -> bytes:
    """Return instructions as the kernel takes them: operation, jumps if true and if false, constant."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
