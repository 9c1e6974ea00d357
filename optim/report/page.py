"""Report pages: one HTML file that needs nothing else."""

from __future__ import annotations

import html
import math

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#333}"
    "table{border-collapse:collapse;margin:.5em 0}td,th{border-bottom:1px solid #ddd;padding:.2em .8em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}code{background:#f4f4f4;padding:.1em .3em}"
    "tr.chosen{font-weight:600}"
)


def page(title: str, parts: list[str]) -> str:
    """The whole page around `parts`, which are HTML already."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def table(columns: list[str], rows: list[tuple], strong: list[bool] | None = None) -> str:
    """Rows of cells under `columns`; those that are `strong` stand out."""
    head = "".join(f"<th>{html.escape(c.replace('_', ' '))}</th>" for c in columns)
    body = []
    for k, row in enumerate(rows):
        cells = "".join(f"<td>{html.escape(_cell(cell))}</td>" for cell in row)
        body.append(f"<tr{' class=chosen' if strong and strong[k] else ''}>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def _cell(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return "n/a" if math.isnan(value) else f"{value:.4g}"
    return str(value)
