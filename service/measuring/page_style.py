"""The style of a page: one look for all of them, on a light and on a dark screen."""

from pathlib import Path
from string import Template

from service.measuring.chart import Colours

_STYLE = Path(__file__).parent / "templates" / "page.css"


def page_style(colours: Colours) -> str:
    """Return the style of a page whose lines have these colours."""
    light, dark = (" ".join(f"--{name}: {each[shade]};" for name, each in colours.items()) for shade in range(2))
    classes = "\n".join(f".{name} {{ color: var(--{name}); }}" for name in colours)
    return Template(_STYLE.read_text(encoding="utf-8")).substitute(light=light, dark=dark, classes=classes)
