"""What the documentation shows is run, and what it names is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import AliasChoices, SecretStr

from trunkline.cli import COMMANDS
from trunkline.settings import Settings
from trunkline.topology import SERVICES, TOPICS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
HANDLERS = ROOT / "docs/handlers.md"
#: What a worker and its tests are made of; a copy of it is what the tutorial changes.
PROJECT = ("agents", "models", "tables", "trunkline", "app.py", "Procfile", "pyproject.toml")

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")


class Block(NamedTuple):
    """A block of a page: where its first line says it goes to, and the rest."""

    language: str
    place: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(page.read_text("utf-8")):
        first, _, rest = match["text"].partition("\n")
        found.append(Block(match["language"], first.removeprefix("# "), rest))
    return found


def put(block: Block, project: Path) -> None:
    """Put a block where it says: into a new file, at a file's end, or after a line of it."""
    name, _, where = block.place.partition(", ")
    path = project / name
    if where.startswith("after: "):
        line = where.removeprefix("after: ")
        lines = path.read_text("utf-8").split("\n")
        assert lines.count(line) == 1, f"{name} has {lines.count(line)} lines {line!r}"
        lines.insert(lines.index(line) + 1, block.text.rstrip("\n"))
        path.write_text("\n".join(lines), "utf-8")
    elif where == "at the end":
        path.write_text(path.read_text("utf-8") + "\n\n" + block.text, "utf-8")
    else:
        assert not where, f"{HANDLERS.name}: {block.place!r} is no place that this test knows"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory):
    """A copy of the project with all blocks of docs/handlers.md in their places."""
    project = tmp_path_factory.mktemp("tutorial")
    for name in PROJECT:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, project / name)
    for block in blocks(HANDLERS):
        is_shown_only = block.language == "sh" or block.place == "run"
        if not is_shown_only:
            put(block, project)
    return project


def run(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={"PATH": "", "PYTHONPATH": str(project), "TRUNKLINE_DATA_DIR": str(project / "data")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_wires_its_service(tutorial):
    """The app of the documented service is made, and subscribes as the page says."""
    code = """
from app import create_app
app = create_app("invoicing")
(subscription,) = [target.subscription for target in app.targets.values()]
print(app.conf.id, subscription.topic, subscription.model.__name__, subscription.concurrency)
"""
    assert run(tutorial, "-c", code).split() == [
        "invoicing-group",
        "invoice.paid",
        "InvoicePaid",
        "16",
    ]


def test_the_tutorial_s_own_test_passes(tutorial):
    """The documented test is green in the documented project."""
    printed = run(tutorial, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit")
    assert "2 passed" in printed


def test_the_handler_shapes_are_taken():
    """Each documented shape can be bound to a topic."""
    shown = [block for page in PAGES for block in blocks(page) if block.place == "run"]
    assert shown
    for block in shown:
        exec(compile(block.text, "docs", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_python_block_is_left_out(page):
    """A python block outside of the tutorial says ``# run``, so that it is run above."""
    if page != HANDLERS:
        assert all(b.place == "run" for b in blocks(page) if b.language == "python")


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without their back-ticks."""
    part = page.read_text("utf-8").partition(f"\n{heading}\n")[2]
    rows = re.search(r"^\|.*?(?=\n\n|\Z)", part, re.DOTALL | re.MULTILINE)
    assert rows, f"{page.name} has no table under {heading!r}"
    lines = rows[0].splitlines()[2:]
    return [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in lines]


def names_of(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return ", ".join(str(choice) for choice in alias.choices)
    return str(alias or f"TRUNKLINE_{field.upper()}")


def shown(default: object) -> str:
    if default in ("", {}, (), None, SecretStr("")):
        return ""
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_the_settings_table_is_complete():
    """Each setting with its variables and its default, in the order of the declaration."""
    declared = [
        [names_of(name), shown(field.get_default(call_default_factory=True))]
        for name, field in Settings.model_fields.items()
    ]
    assert [row[:2] for row in table(ROOT / "README.md", "## Settings")] == declared


def test_the_services_table_is_complete():
    """Each declared service with its group, its topics and its pods."""
    declared = [
        [
            service.name,
            service.group or "",
            ", ".join(service.reads),
            ", ".join((*service.publishes, *service.relays_to)),
            str(service.pods),
        ]
        for service in SERVICES
    ]
    assert [row[:5] for row in table(ROOT / "README.md", "## Services")] == declared


def test_the_topics_of_the_diagram_are_those_declared():
    """The picture shows every topic."""
    (diagram,) = (b.text for b in blocks(ROOT / "README.md") if b.language == "mermaid")
    assert {topic.name for topic in TOPICS} <= set(re.findall(r"[a-z]+(?:\.[a-z]+)+", diagram))


def test_every_command_is_documented():
    """The README names each command of the command line."""
    documented = {row[0].split()[1] for row in table(ROOT / "README.md", "## Commands")}
    assert documented == set(COMMANDS)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Each link into the project names a file, and a heading of it, that exist."""
    for link in _LINK.finditer(page.read_text("utf-8")):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        assert target.exists(), link[0]
        assert not link["anchor"] or link["anchor"] in anchors(target), link[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_and_tests_exist(page):
    """What a page says to prove a promise is there: files, and tests in them."""
    text = re.sub(_BLOCK, "", page.read_text("utf-8"))
    for name in re.findall(r"`((?:tests|trunkline|tables|agents|models|scripts)/[\w./-]+)`", text):
        if "invoice" not in name:
            assert (ROOT / name).exists(), name
    for path, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {test}(" in (ROOT / path).read_text("utf-8"), f"{path}::{test}"
