"""Pages of the documentation site that are made from other files of the repository.

MkDocs calls ``on_files`` and ``on_page_markdown`` by their names (see `hooks` in mkdocs.yml).
"""

import re
from pathlib import Path
from typing import Any

import click
from draw_house import house_svg
from mkdocs.structure.files import File, Files

from imgdup.cli import COMMANDS, imgdup

REPOSITORY = Path(__file__).parents[1]
# A page of the site, and the file of the repository that it shows.
SHOWN = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "results.md": "benchmarks/RESULTS.md",
    "security.md": "SECURITY.md",
}
HOUSE = "house.svg"
LAYOUT = "## How the code is laid out\n"
DRAWING = f"\n![The subpackages, and which of them imports which]({HOUSE})\n"
LINK = r"\]\((?![a-z]+:)(?P<file>[^)#]+)(?P<anchor>#[^)]*|)\)"


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages that lie outside of docs, the options, and the drawing of the packages."""
    for page, source in SHOWN.items():
        content = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    files.append(File.generated(config, "options.md", content=_options()))
    files.append(File.generated(config, HOUSE, content=house_svg(REPOSITORY / "src" / "imgdup")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links between files of the repository lead to pages of the site; show the drawing."""
    if page.file.src_uri == "contributing.md":
        markdown = markdown.replace(LAYOUT, LAYOUT + DRAWING)
    source = REPOSITORY / SHOWN.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    pages = {(REPOSITORY / shown).resolve(): name for name, shown in SHOWN.items()}

    def of_the_site(match: re.Match[str]) -> str:
        target = (source.parent / match["file"]).resolve()
        if target in pages:
            return f"]({pages[target]}{match['anchor']})"
        if target.is_relative_to(REPOSITORY / "docs"):
            return f"]({target.relative_to(REPOSITORY / 'docs').as_posix()}{match['anchor']})"
        return match[0]

    return re.sub(LINK, of_the_site, markdown)


def _options() -> str:
    """Write the help of all commands as one page."""
    group = click.Context(imgdup, info_name="imgdup")
    page = "# Options\n\n`imgdup COMMAND --help` prints what is shown here.\n"
    for name in COMMANDS:
        command = imgdup.get_command(group, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=group, max_content_width=90)
        context.help_option_names = ["-h", "--help"]
        page += f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"
    return page
