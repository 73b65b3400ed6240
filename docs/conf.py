"""The documentation site: Markdown pages, and a reference made from docstrings. ``make docs`` builds it."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "toto_aio"
release = version = version_of("toto-aio")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "generated"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"toto_aio {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
smartquotes = False

# Blocks of text, JSON and HTTP are output and diagrams, which nobody types. Of a Python session, only the
# code is copied, without its prompts.
copybutton_selector = ":not(.highlight-text, .highlight-json, .highlight-http) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
