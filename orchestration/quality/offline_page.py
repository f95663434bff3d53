"""Great Expectations' pages without what they load from elsewhere.

As rendered they fetch styles, scripts and a picture from a dozen hosts, and the picture's address carries the
installation's id: a page about data protection that calls out when it is opened, and that is blank without a network.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STYLE = (Path(__file__).parent / "offline_page.css").read_text()

_SCRIPT = re.compile(r"<script\b[^>]*>.*?</script>", re.DOTALL | re.IGNORECASE)
_REMOTE_LINK = re.compile(r"<link\b[^>]*href=[\"']https?://[^>]*>", re.IGNORECASE)
_REMOTE_IMAGE = re.compile(r"<img\b[^>]*src=[\"']https?://[^>]*>", re.DOTALL | re.IGNORECASE)
_STYLE_BLOCK = re.compile(r"<style\b[^>]*>.*?</style>", re.DOTALL | re.IGNORECASE)
_FOOTER = re.compile(r"<footer\b[^>]*>.*?</footer>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL | re.IGNORECASE)
# Without scripts these controls would do nothing.
_DEAD_CONTROL = re.compile(r"<(button|input)\b[^>]*>(?:[^<]*</button>)?", re.IGNORECASE)

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="UTF-8"><title>{title}</title><style>{style}</style></head>
<body><div class="container">
<h1>{title}</h1>
<p>Every validation that is kept, newest first. Pages hold counts and names of objects, never anyone's values.</p>
<table class="table">
<thead><tr><th>Validated (UTC)</th><th>Suite</th><th>Verdict</th><th>Rules</th><th>Held</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div></body>
</html>
"""


@dataclass(frozen=True)
class Validation:
    """One kept validation, as the front page lists it.

    Attributes:
        path: of its page, relative to the front page.
        run_at: ISO 8601, UTC.
        rules: expectations that were evaluated; ``held`` of them were met.
    """

    suite: str
    path: str
    run_at: str
    success: bool
    rules: int
    held: int


def offline(page: str, title: str) -> str:
    """Return ``page`` with ``title``, this project's style, and nothing that is fetched from another host."""
    for pattern in (_SCRIPT, _REMOTE_LINK, _REMOTE_IMAGE, _STYLE_BLOCK, _FOOTER, _DEAD_CONTROL, _TITLE):
        page = pattern.sub("", page)
    head = f"<head>\n    <title>{html.escape(title)}</title>\n    <style>{_STYLE}</style>"
    return page.replace("<head>", head, 1)


def front_page(title: str, validations: Sequence[Validation]) -> str:
    """Return the page that lists ``validations`` in the order given."""
    rows = "\n".join(
        f'<tr><td><a href="{html.escape(found.path)}">{html.escape(found.run_at)}</a></td>'
        f"<td>{html.escape(found.suite)}</td>"
        f'<td class="{"success" if found.success else "failure"}">{"holds" if found.success else "violated"}</td>'
        f"<td>{found.rules}</td><td>{found.held}</td></tr>"
        for found in validations
    )
    return _INDEX.format(title=html.escape(title), style=_STYLE, rows=rows)
