"""Names of all settings, for the chart's values.schema.json.

A setting that lsbatch does not know is refused before a pod starts.

Names alone: what a value may be is said once, in lsbatch/config. After a setting was added or renamed::

    python -m tests.deploy.settings_schema
"""

import json
from typing import Any, get_args

from lsbatch.settings import Config
from lsbatch.settings.survey import Section
from tests.deploy import charts

SCHEMA = charts.CHART / "values.schema.json"
#: The chart's own affair.
NOT_THE_USERS = ("cluster", "output")


def expected() -> dict[str, Any]:
    """The part of the schema that is about `config`."""
    made = _section(Config)
    for name in NOT_THE_USERS:
        made["properties"][name] = False
    return {
        "description": "settings of lsbatch, which checks their values itself; output and cluster belong to the chart",
        **made,
    }


def _section(section: type[Section]) -> dict[str, Any]:
    fields = section.model_fields
    made: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _setting(field.annotation) for name, field in fields.items()},
    }
    # an annual survey's year is required too, but of some alone: that is left to lsbatch
    required = [name for name, field in fields.items() if field.is_required()]
    return {**made, "required": required} if required else made


def _setting(annotation: Any) -> Any:
    options = get_args(annotation) or (annotation,)
    sections = [option for option in options if isinstance(option, type) and issubclass(option, Section)]
    if not sections:
        return True
    made = _section(sections[0])
    return {**made, "type": ["object", "null"]} if type(None) in options else made


def text(value: Any, indent: int = 0) -> str:
    """JSON with what is short on one line."""
    flat = json.dumps(value)
    if len(flat) + indent <= 110 or not isinstance(value, (dict, list)):
        return flat
    pad = " " * (indent + 2)
    inside = (
        [f"{json.dumps(k)}: {text(v, indent + 2)}" for k, v in value.items()]
        if isinstance(value, dict)
        else [text(v, indent + 2) for v in value]
    )
    first, last = "{}" if isinstance(value, dict) else "[]"
    return first + "\n" + ",\n".join(pad + line for line in inside) + "\n" + " " * indent + last


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    schema["properties"]["config"] = expected()
    SCHEMA.write_text(text(schema) + "\n", encoding="utf-8")
