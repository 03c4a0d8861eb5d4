"""Peers: what hostd is compared to, one file each, with one protocol; `run` compares how fast they parse.

`install.sh` installs them on Debian, in a folder of their own where that can be. What is not installed is skipped.
"""

from benchmarks.peers.throughput import run

__all__ = ["run"]
