"""The command that shows the method on two sets of points: toy."""

from pathlib import Path

from rich.progress import TimeRemainingColumn

from indi.cli.app import app
from indi.cli.options import Json, Seed, Whole
from indi.cli.terminal import bar_of, print_json, print_table, say
from indi.devices import set_threads


@app.command
def toy(*, out: Path = Path("toy"), seed: Seed = 0, threads: Whole = 1, json: Json = False) -> int:
    """Show on two sets of points that small steps cure regression to the mean: the paper's Figure 1, in a minute.

    Trains small networks, and holds them against the exact answer. Writes toy.json, toy.png and toy.gif.

    Args:
        out: folder for them
        threads: CPU threads; networks as small as these gain nothing from more than one
    """
    from indi import toy as toy_sets
    from indi.io.atomic import check_place
    from indi.report import toy_rows

    set_threads(threads)
    check_place(out)
    with bar_of(TimeRemainingColumn()) as bar:
        shown = bar.add_task("training", total=1.0)
        table = toy_sets.demonstrate(out, seed=seed, progress=lambda share: bar.update(shown, completed=share))
    if json:
        print_json(table)
    else:
        print_table(toy_rows(table))
        say(f"mse: squared error; hit: draws within 0.05 of a clean point; see {out / 'toy.png'} and toy.gif")
    return 0
