"""The snippets of docs/FRONTS.md, which are run as they stand there, but for the server's URL and the key."""

import re

from parts import ROOT

URL = "http://127.0.0.1:4747"


def of(heading: str, language: str) -> list[str]:
    """The snippets of a protocol in a language."""
    page = (ROOT / "docs" / "FRONTS.md").read_text()
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def meant_for(server, snippet: str, declare: str = "") -> str:
    """A snippet that speaks to a server; declare begins the line that says what KEY is."""
    return f'{declare}KEY = "{server.key}";\n' + snippet.replace(URL, server.url)
