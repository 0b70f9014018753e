"""Tables as text, by prettytable, which PaddleSeg needs anyway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prettytable import PrettyTable, TableStyle


def text_table(header: Sequence[str], rows: Iterable[Sequence], left: str | None = None, markdown: bool = False) -> str:
    """Rows of cells under a header, in columns or as Markdown; None is an empty cell.

    Args:
        left: the column of names, which start at its left side (default: the first); all others end at their right.
    """
    table = PrettyTable(header, align="r", border=False)
    table.align[left or header[0]] = "l"
    if markdown:
        table.set_style(TableStyle.MARKDOWN)
    table.add_rows([["" if cell is None else cell for cell in row] for row in rows])
    return table.get_string()
