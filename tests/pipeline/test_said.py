"""What a generation says is logged, and what each of its workers says, once."""

import io
import json

from contract.together import BROKEN
from hostd import events
from hostd.pipeline.said import log_yield
from hostd.workers.batch import Yield
from tests.pipeline.world import InProcess


def test_a_broken_shortcut_is_told_of_once_for_each_generation_and_the_rest_each_time() -> None:
    out = io.StringIO()
    events.configure("json", "info", out)
    first, second = InProcess(1), InProcess(2)
    result = Yield(1, b"", said=(("warning", f"{BROKEN}KeyError (line 7)"), ("info", "hello")))
    for generation in (first, first, second, first):
        log_yield("a.log", generation, result)
    logged = [json.loads(line) for line in out.getvalue().splitlines()]
    found = [(event["generation"], event["said"], event["message"]) for event in logged]
    assert found == [
        (1, "warning", f"{BROKEN}KeyError (line 7)"),
        (1, "info", "hello"),
        (1, "info", "hello"),
        (2, "warning", f"{BROKEN}KeyError (line 7)"),
        (2, "info", "hello"),
        (1, "info", "hello"),
    ]
