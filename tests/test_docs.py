"""The documentation points at what is there: links, scripts and commands."""

import re

import pytest
from repository import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_scripts_and_commands_exist(page, capsys):
    from optim.cli.main import main

    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    for script in re.findall(r"\b(scripts/\w+\.py)", text):
        assert (ROOT / script).exists(), script
    with pytest.raises(SystemExit):
        main(["--help"])
    known = re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    known += re.findall(r'add_parser\("([a-z-]+)"', text)  # what the page itself adds
    for command in re.findall(r"\bmfmfit ([a-z][a-z-]+)", text):
        assert command in known, command


def test_every_page_is_linked_from_the_readme():
    text = PAGES[0].read_text(encoding="utf-8")
    assert all(f"(docs/{page.name})" in text for page in PAGES[1:])
