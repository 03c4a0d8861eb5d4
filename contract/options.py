"""Options that processors of local times share; for a plugin's `Options` to derive from.

Needs pydantic, as all options do: so it is apart from what `contract` imports.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contract.normal import read_zone


def _readable_zone(name: str) -> str:
    read_zone(name)
    return name


TimeZone = Annotated[str, AfterValidator(_readable_zone)]


class LocalTime(BaseModel):
    """Options of a processor whose times may name no zone: `time_zone`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: TimeZone | None = Field(
        default=None, description="The zone of times that name none: `UTC`, `+02:00` or `Europe/Berlin`; else UTC."
    )


class LocalYear(LocalTime):
    """Options of a processor whose times may name neither a zone nor a year: `time_zone` and `year`."""

    year: int | None = Field(
        default=None,
        ge=1,
        le=9999,
        description="The year of times that name none; without it such a time stays as it is written, as `time`.",
    )
