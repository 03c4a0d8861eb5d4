"""Formats without code: a `.toml` that says how a record is read, and the processor that is made of it.

`table` is what may be written, for the host and for checking tools. `recipe` is what it means, and the rest is how it
runs: in a worker, on the standard library alone until an expression needs RE2.
"""
