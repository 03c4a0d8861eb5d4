"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says more about the machine, and what else runs on it, than about the code.
settings.register_profile("hostd", deadline=None)
settings.load_profile("hostd")
