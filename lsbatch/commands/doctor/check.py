"""A row of the table of the doctor."""

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
COLUMNS = ("check", "found", "verdict", "what to do")


@dataclass(frozen=True)
class Check:
    """A row of the table."""

    name: str
    found: str
    verdict: str = OK
    advice: str = ""

    def row(self) -> tuple[str, str, str, str]:
        """Return the cells, by `COLUMNS`."""
        return self.name, self.found, self.verdict, self.advice


def gigabytes(size: float) -> str:
    """Return bytes as text."""
    return f"{size / 1e9:.1f} GB"
