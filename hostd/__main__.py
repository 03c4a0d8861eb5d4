"""`python -m hostd` is the command `hostd`."""

from hostd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
