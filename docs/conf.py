"""Settings of the site: ``make site`` builds it with Sphinx from the Markdown that stands here."""

from indi.version import __version__

project = "indi"
author = "The indi authors"
project_copyright = "the indi authors, MIT licence"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["results/*"]
html_theme = "furo"
html_title = "indi"
html_copy_source = False
myst_heading_anchors = 3
html_theme_options = {"light_css_variables": {"color-brand-primary": "#c2410c", "color-brand-content": "#c2410c"}}
