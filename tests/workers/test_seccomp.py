"""The filter of system calls, run instruction by instruction as the kernel runs it."""

import errno
import platform
import struct

import pytest

from hostd.workers import seccomp

ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def run(program: bytes, number: int, arguments: tuple[int, ...] = (), architecture: int = 0xC000003E) -> int:
    """Return what the program says to a system call."""
    seen = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", seen, constant)
            case 0x54:
                accumulator &= constant
            case 0x06:
                return constant
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case 0x45:
                at += if_true if accumulator & constant else if_false
            case _:
                raise AssertionError(f"operation {operation:#x}")


REFUSED, MISSING, ALLOWED = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000
THREAD, PROCESS = 0x3D0F00, 0x1200011
PRIVATE, SHARED, SHARED_FILE, GROWING = 0x22, 0x21, 0x01, 0x122


@pytest.mark.parametrize(
    ("x86_64", "aarch64", "arguments", "expected"),
    [
        (0, 63, (), ALLOWED),  # read
        (257, 56, (), ALLOWED),  # openat
        (53, 199, (), ALLOWED),  # socketpair
        (302, 261, (), ALLOWED),  # prlimit64
        (56, 220, (THREAD,), ALLOWED),
        (56, 220, (PROCESS,), REFUSED),
        (435, 435, (), MISSING),  # clone3
        (59, 221, (), REFUSED),  # execve
        (272, 97, (), REFUSED),  # unshare
        (308, 268, (), REFUSED),  # setns
        (165, 40, (), ALLOWED),  # mount, which takes a capability
        (166, 39, (), REFUSED),  # umount2
        (101, 117, (), REFUSED),  # ptrace
        (310, 270, (), REFUSED),  # process_vm_readv
        (321, 280, (), REFUSED),  # bpf
        (250, 219, (), REFUSED),  # keyctl
        (425, 425, (), REFUSED),  # io_uring_setup
        (319, 279, (), REFUSED),  # memfd_create
        (157, 167, (1, 0), REFUSED),  # prctl(PR_SET_PDEATHSIG)
        (157, 167, (15, 0), ALLOWED),  # prctl(PR_SET_NAME)
        (9, 222, (0, 4096, 3, PRIVATE), ALLOWED),
        (9, 222, (0, 4096, 3, SHARED_FILE), ALLOWED),
        (9, 222, (0, 4096, 3, SHARED), REFUSED),
        (9, 222, (0, 4096, 3, GROWING), REFUSED),
        (41, 198, (2,), REFUSED),  # socket(AF_INET)
        (41, 198, (1,), REFUSED),  # socket(AF_UNIX)
    ],
)
@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_what_a_plugin_may_call(
    machine: str, x86_64: int, aarch64: int, arguments: tuple[int, ...], expected: int
) -> None:
    """Files, memory and threads; no processes, namespaces, sockets, nor memory that no limit counts."""
    number = x86_64 if machine == "x86_64" else aarch64
    assert run(seccomp.program(machine, network=False), number, arguments, ARCHITECTURE[machine]) == expected


@pytest.mark.parametrize("machine", seccomp.MACHINES)
@pytest.mark.parametrize(
    ("family", "expected"), [(2, ALLOWED), (10, ALLOWED), (16, ALLOWED), (1, REFUSED), (17, REFUSED), (40, REFUSED)]
)
def test_a_network_is_two_families_and_looking_up_names(machine: str, family: int, expected: int) -> None:
    """Unix sockets of the host would be in reach too, packets and virtual machines as well."""
    number = 41 if machine == "x86_64" else 198
    program = seccomp.program(machine, network=True)
    assert run(program, number, (family,), ARCHITECTURE[machine]) == expected


@pytest.mark.parametrize("number", [57, 58])
def test_the_old_ways_to_fork_are_refused(number: int) -> None:
    """fork and vfork, where there are any."""
    assert run(seccomp.program("x86_64", network=True), number) == REFUSED


def test_another_architecture_ends_the_worker_and_another_abi_is_refused() -> None:
    """Else the numbers would mean something else: those of 32 bits, and x32."""
    program = seccomp.program("x86_64", network=True)
    assert run(program, 0, architecture=0x40000003) == 0x80000000
    assert run(program, 0x40000000 | 59) == REFUSED


def test_this_machine_has_a_filter() -> None:
    """The tests of what it does run on it."""
    assert platform.machine() in seccomp.MACHINES
