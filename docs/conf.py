"""The site of the documentation: ``make docs``. Its pages are Markdown, its reference is the docstrings'."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "toto_aio"
release = version = version_of("toto-aio")
extensions = ["myst_parser", "sphinx.ext.autodoc", "generated"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"toto_aio {release}"
html_copy_source = False
html_show_copyright = False
smartquotes = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
