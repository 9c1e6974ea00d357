"""What a file's beginning tells to the inspection of a folder: frames, regions, repetition time, or why it cannot be used."""

from __future__ import annotations

from mfm.errors import MfmfitError
from mfm.io.folders.tree import TreeFile
from mfm.io.formats.format import Flaw, Peek
from mfm.io.formats.registry import format_of_name

_FLAWS_OF_THE_TREE = {
    "link": Flaw(
        "a link to a file that is not there, as git-annex leaves for content not fetched", "datalad get PATH", absent=True
    ),
    "pointer": Flaw(
        "a git-annex or git-lfs placeholder: its content was not fetched", "datalad get PATH, or git lfs pull", absent=True
    ),
    "empty": Flaw("the file is empty (0 bytes)", "copy or compute it again"),
    "name": Flaw(
        "a name of file or folder that is not UTF-8, so that no manifest can hold it",
        "rename it; convmv -f latin1 -t utf8 -r --notest FOLDER does it for many",
    ),
    "locked": Flaw("the folder may not be entered", "ask its owner for permission: ls -ld shows whose it is", absent=True),
}


def peek(file: TreeFile) -> Peek:
    """Look at the beginning of a file, as the format that its name promises does; no data are read."""
    if (flaw := _FLAWS_OF_THE_TREE.get(file.problem)) is not None:
        return Peek(flaw=flaw)
    found = format_of_name(file.path.name)
    if found is None:
        return Peek()
    try:
        return found.peek(file.path)
    except PermissionError:
        return Peek(flaw=Flaw("the file may not be read", "ask its owner for permission to read it", absent=True))
    except MfmfitError as error:
        return Peek(flaw=Flaw(str(error).splitlines()[0], "fetch or write it anew"))
    except Exception as error:  # decoders raise what they like, and one file must not end the inspection of a folder
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return Peek(flaw=Flaw(f"the file is damaged or of another type ({said})", "fetch or write it anew"))
