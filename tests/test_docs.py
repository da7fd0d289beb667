"""What the pages for people name is there: links, pictures, headings, and paths of this repository."""

import re

import pytest
from support import REPOSITORY

PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img[^>]*\bsrc=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OURS = re.compile(
    r"(?:nodes|scedit_core|tests|docs|sandbox|benchmarks|web|locales|example_workflows|example_jobs|subgraphs)/"
    r"[\w./*-]*(?:::\w+)?"
)


def prose(page):
    """A page without its blocks of code."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links(page):
    """Where a page leads inside the repository: pairs of a file and a heading, either one possibly empty."""
    targets = ["".join(found) for found in LINK.findall(CODE.sub("", prose(page)))]
    return [target.partition("#")[::2] for target in targets if "://" not in target]


def anchor(heading):
    """The name by which GitHub knows a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def is_there(path):
    """Whether a path of this repository exists, and in it the test that stands behind `::`."""
    name, _, test = path.partition("::")
    files = list(REPOSITORY.glob(name))
    return bool(files) and (not test or f"def {test}(" in files[0].read_text(encoding="utf-8"))


def test_the_pages_are_found():
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "models.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_to_files(page):
    assert [file for file, _ in links(page) if not (page.parent / file).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_headings(page):
    for file, wanted in links(page):
        target = page.parent / file if file else page
        if wanted and target.exists():
            assert wanted in map(anchor, HEADING.findall(prose(target))), f"{file}#{wanted}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_this_repository_exist(page):
    named = [code for code in CODE.findall(prose(page)) if OURS.fullmatch(code)]
    assert [path for path in named if not is_there(path)] == []
