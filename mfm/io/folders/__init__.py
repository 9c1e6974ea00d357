"""Finding a study's data in its folders, by names and headers only."""

from mfm.io.folders.findings import Finding
from mfm.io.folders.inventory import FoundSubject, Inventory, inspect_folder
from mfm.io.folders.select import Choices
from mfm.io.formats.entities import FileName, parse_name

__all__ = ["Choices", "FileName", "Finding", "FoundSubject", "Inventory", "inspect_folder", "parse_name"]
