"""Text tables in every dialect that labs use: what they hold, and the bytes that hold it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

NAMES = (
    *("lh-bankssts", "7Networks_LH_Vis_1", "L area", "Gyrus supérieur", "a, upper", 'the "x" part'),
    *("V1", "rh;b", "ctx_rh", "Ä", "n", "p9"),
)
NOISE = ("made by a tool", "TR: 0.72", "version 2, of 2024; final", "")


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Parameters
    ----------
    style : {"repr", "%.3f", "%.6g", "counts", "thousands"}
        How numbers are spelled.
    header : {"none", "names", "ids", "numbered", "comment"}
    rows : {"none", "index", "time", "names", "ids"}
    missing : str
        How a missing value is spelled; None where nothing is missing.
    """

    separator: str
    decimal: str
    encoding: str
    end: str
    quoted: bool
    style: str
    header: str
    rows: str
    corner: str
    comments: tuple[str, ...]
    missing: str | None
    trailing: bool
    blank: tuple[int, int]
    last_end: bool


@dataclass(frozen=True, eq=False)
class Written:
    """A table (R, C), the names of its columns and rows (None where they only count), and its bytes."""

    values: np.ndarray
    columns: tuple[str, ...] | None
    rows: tuple[str, ...] | None
    content: bytes


@st.composite
def dialects(draw) -> Dialect:
    pick = lambda *of: draw(st.sampled_from(of))  # noqa: E731
    style = pick("repr", "repr", "%.3f", "%.6g", "counts", "thousands")
    header = pick("none", "names", "names", "ids", "numbered", "comment")
    return Dialect(
        separator=pick(",", ",", "\t", "\t", ";", "|", " ", "   "),
        decimal=pick(".", ".", ","),
        encoding=pick("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"),
        end=pick("\n", "\n", "\r\n", "\r"),
        quoted=pick(False, False, True),
        style=style,
        header=header,
        rows=pick("none", "none", "index", "names", "ids", "time"),
        corner=pick("", "region", "index", "Unnamed: 0"),
        comments=tuple(draw(st.lists(st.sampled_from(NOISE), max_size=2))),
        missing=pick(None, None, "", "n/a", "NA", "NaN", "nan", "-", ".", "NULL"),
        trailing=pick(False, False, False, True),
        blank=(pick(0, 0, 1), pick(0, 0, 2)),
        last_end=pick(True, True, False),
    )


@st.composite
def tables(draw) -> tuple[Dialect, Written]:
    """A dialect and a table in it."""
    dialect = draw(dialects())
    shape = (draw(st.sampled_from([8, 9, 13, 30, 230])), draw(st.integers(3, 12)))
    return dialect, written(dialect, shape, draw(st.integers(0, 2**32 - 1)))


def written(dialect: Dialect, shape: tuple[int, int], seed: int) -> Written:
    """Write a table of made-up numbers."""
    rng = np.random.default_rng(seed)
    values, cells = _numbers(dialect, shape, rng)
    if dialect.missing is not None:
        gap = slice(shape[0] // 3, shape[0] // 3 + int(rng.integers(1, 3)))
        values[gap] = np.nan
        cells[gap] = [[dialect.missing] * shape[1]] * (gap.stop - gap.start)
    columns, header = _header(dialect, shape[1], rng)
    rows, first = _rows(dialect, shape[0], rng)
    lines = [[*([first[k]] if first else []), *cells[k]] for k in range(shape[0])]
    corner = "" if dialect.rows == "time" else dialect.corner
    named = [*([corner] if first else []), *header] if header else None
    if named and dialect.header != "comment":
        lines.insert(0, named)
    texts = [_join(line, dialect) for line in lines]
    comments = [f"# {text}" for text in dialect.comments]
    if named and dialect.header == "comment":
        comments.append("# " + _join(header, dialect, end=""))
    text = dialect.end.join(["", "", ""][: dialect.blank[0]] + comments + texts + ["", "", ""][: dialect.blank[1]])
    content = (text + dialect.end * dialect.last_end).encode(dialect.encoding, errors="replace")
    return Written(values, columns, rows, content)


def _numbers(dialect: Dialect, shape, rng) -> tuple[np.ndarray, list[list[str]]]:
    if dialect.style in ("counts", "thousands"):
        values = np.round(np.exp(rng.normal(5, 2, shape)))
        cells = [[f"{int(x)}" for x in row] for row in values]
        if dialect.style == "thousands":
            mark = "," if dialect.decimal == "." else "."
            cells = [[f"{int(x):,}".replace(",", mark) for x in row] for row in values]
        return values, cells
    x = rng.normal(rng.choice([0, 50, 5000]), 10.0 ** rng.integers(-1, 3), shape)
    spelled = [[repr(float(one)) if dialect.style == "repr" else dialect.style % one for one in row] for row in x]
    return np.array(spelled, dtype=float), [[cell.replace(".", dialect.decimal) for cell in row] for row in spelled]


def _header(dialect: Dialect, n: int, rng) -> tuple[tuple[str, ...] | None, list[str] | None]:
    if dialect.header == "none":
        return None, None
    if dialect.header == "numbered":
        first = int(rng.integers(0, 2))
        return None, [str(first + k) for k in range(n)]
    if dialect.header == "ids":
        ids = np.sort(rng.choice(np.arange(1001, 2036), n, replace=False))
        return tuple(map(str, ids)), [str(one) for one in ids]
    names = [name for name in rng.permutation(NAMES).tolist() if _fits(name, dialect)][:n]
    names += [f"area-{k}" for k in range(n - len(names))]
    return tuple(names), list(names)


def _rows(dialect: Dialect, n: int, rng) -> tuple[tuple[str, ...] | None, list[str] | None]:
    if dialect.rows == "none":
        return None, None
    if dialect.rows == "index":
        first = int(rng.integers(0, 2))
        return None, [str(first + k) for k in range(n)]
    if dialect.rows == "time":
        return None, [f"{0.72 * k:.2f}".replace(".", dialect.decimal) for k in range(n)]
    if dialect.rows == "ids":
        ids = np.sort(rng.choice(np.arange(1001, 2036), n, replace=False))
        return tuple(map(str, ids)), [str(one) for one in ids]
    names = [f"{side}-{k:03d}" for k in range(n) for side in ("lh", "rh")][:n]
    return tuple(names), names


def _fits(name: str, dialect: Dialect) -> bool:
    """Whether a name survives encoding, and without quotation marks the separator."""
    try:
        name.encode(dialect.encoding)
    except UnicodeEncodeError:
        return False
    comment = dialect.header == "comment"
    plain = not any(mark in name for mark in ',;|\t "')
    return plain if not dialect.quoted or comment else '"' not in name or not dialect.separator.isspace()


def _join(cells, dialect: Dialect, end: str | None = None) -> str:
    def quoted(cell: str) -> str:
        must = dialect.separator in cell or '"' in cell
        text = any(one.isalpha() for one in cell)
        return '"' + cell.replace('"', '""') + '"' if dialect.quoted and (must or text) else cell

    last = dialect.separator if dialect.trailing else ""
    return dialect.separator.join(map(quoted, cells)) + (last if end is None else end)
