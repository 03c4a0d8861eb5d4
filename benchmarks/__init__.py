"""What hostd costs and how fast it is, measured on this machine beside what it is compared to, in the same run.

`python -m benchmarks [name ...] [--quick] [--json FILE]`, or `make bench`. Every benchmark prints a table and
writes `bench-results/<name>.json`; those with a target say whether it was met. Turns alternate (A B A B ...), so
that what else the machine does falls on both sides; medians and spreads are over the turns.
"""
