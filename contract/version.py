"""The contract's own semantic version, independent of hostd's."""

CONTRACT_VERSION = "1.0"
"""A plugin declares the versions it works with as a PEP 440 specifier, for example ``>=1.0,<2``."""
