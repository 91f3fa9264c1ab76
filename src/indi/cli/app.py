"""The app that every command is added to."""

from cyclopts import App

from indi.version import __version__

app = App(
    name="indi",
    help="Restore images by Inversion by Direct Iteration: train on pairs, restore any size, see what each step buys.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
