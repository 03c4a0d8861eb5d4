"""End-to-end tests: the real daemon, in a process of its own, on real files."""
