"""Rows of figures, a column for each way."""

from collections.abc import Iterable
from dataclasses import dataclass, field

NOTHING_AMISS = "0 / 0 / 0"
"""Lost, repeated, out of order."""
DOES_NOT_START = "does not start"
SALLYPORT, C, SCRIPT = COLUMNS = ("Sallyport", "mosquitto_pub -l", "usual script")


@dataclass
class Row:
    what: str
    wanted: str = ""
    figures: dict[str, float | str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """It is not a matter of more or less."""
        figure = self.figures.get(SALLYPORT)
        return figure == DOES_NOT_START or (self.wanted == NOTHING_AMISS and figure != NOTHING_AMISS)

    def cell(self, column: str) -> str:
        figure = self.figures.get(column, "")
        if isinstance(figure, str):
            return figure
        ours = self.figures.get(SALLYPORT)
        ratio = (
            f" ({ours / figure:.2f})" if column != SALLYPORT and isinstance(ours, float) and figure else ""
        )
        return f"{figure:,.{1 if abs(figure) < 100 else 0}f}{ratio}"  # noqa: PLR2004


def drawn(rows: Iterable[Row]) -> str:
    """As Markdown. In brackets: Sallyport's figure divided by this one."""
    table = [["", *COLUMNS, "wanted"]]
    table += [[row.what, *(row.cell(column) for column in COLUMNS), row.wanted] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in table]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines)
