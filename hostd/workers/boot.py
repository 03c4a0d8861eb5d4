"""Start a zygote in an environment of a plugin's own: `python -I -S boot.py` with
FD PARENT_PID CONFINEMENT PACKAGES OWN_FOLDER….

Without `-S` a plugin could import what is installed beside hostd, and not another version of it. So hostd's own
folders are on the path only while its own modules are imported, and of those `hostd` and `contract` alone can be
imported afterwards. The environment's `.pth` files are not read: they are code, and nothing foreign runs here.
"""

import sys


def main() -> None:
    """Import what runs in a worker, forget where it came from, and serve as the zygote of PACKAGES."""
    packages, own_folders = sys.argv[4], sys.argv[5:]
    sys.path += own_folders
    from hostd.workers import zygote

    del sys.path[-len(own_folders) :]
    for name in list(sys.modules):
        # msgspec and what it imports: the encoder has it, and the plugin gets its own or none.
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "__main__", "hostd", "contract"}:
            del sys.modules[name]
    zygote.main(packages)


if __name__ == "__main__":
    main()
