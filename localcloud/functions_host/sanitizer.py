"""What Azure's host would cut out of an error text, orchestration state included.

When a function raises, the Functions host replaces everything from such a mark to the next quote
by ``[Hidden Credential]``. An orchestrator that raises carries its state in that text, which then
no longer parses. So none of this may stand in an orchestration's inputs and outputs.
"""

import re

_MARKS = re.compile(
    r"Token=|DefaultEndpointsProtocol=http|AccountKey=|Data Source=|Server=|Password=|pwd=|"
    r"[&?](?:amp;)?sig=|[&?](?:amp;)?code=|SharedAccessKey=|\bkey=|://[^/\s\"'@]+:[^/\s\"'@]+@",
    re.IGNORECASE,
)


def find_credential_mark(text: str | None) -> str | None:
    """Find the first mark of a credential; None if there is none.

    Returns:
        The mark alone, never what follows it.
    """
    if not text:
        return None
    found = _MARKS.search(text)
    if found is None:
        return None
    return "user:password@" if found[0].startswith("://") else found[0]
