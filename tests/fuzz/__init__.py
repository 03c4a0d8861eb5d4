"""Fuzzing of the processors that ship: `make fuzz ONLY=syslog SECONDS=60`."""
