"""What is to be said of a folder: broken, missing, to be chosen, suspicious, or just so."""

from __future__ import annotations

from dataclasses import dataclass

BROKEN, MISSING, CHOOSE, SUSPICIOUS, NOTE = KINDS = ("broken", "missing", "choose", "suspicious", "note")


@dataclass(frozen=True)
class Finding:
    """Something that the owner of the data should know.

    Parameters
    ----------
    kind : {"broken", "missing", "choose", "suspicious", "note"}
        ``broken``: a file that cannot be used. ``missing``: nothing to fit, or no connectome. ``choose``: several things
        of which only a person can choose. ``suspicious``: usable, but perhaps not what is meant. ``note``: what was preferred.
    text : str
        The same for all subjects of whom it is true.
    fix : str
        What to do or type.
    subject : str or None
        ``sub-<id>``; None where it is of the whole folder.
    where : str
        The file, as a path below the inspected folder.
    absent : bool
        Whether a broken file's content was never here.
    about : {"runs", "connectome", "parcellation", "reading"}
        Which of a fit's inputs it concerns; ``reading``: what is judged again when the data themselves are read.
    """

    kind: str
    text: str
    fix: str = ""
    subject: str | None = None
    where: str = ""
    absent: bool = False
    about: str = "runs"
