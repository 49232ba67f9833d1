"""HTML of the page's templates. Whatever comes from outside is escaped there, all of it."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mnist_cnn.web.page.texts import phrase, plain


def _shown(value: Any) -> Markup:
    return value if isinstance(value, Markup) else plain(str(value))


ENVIRONMENT = Environment(
    loader=PackageLoader("mnist_cnn.web.page"),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.globals["phrase"] = phrase


def html(template: str, **values: Any) -> str:
    """`templates/TEMPLATE.html`, filled in."""
    return ENVIRONMENT.get_template(f"{template}.html").render(values)
