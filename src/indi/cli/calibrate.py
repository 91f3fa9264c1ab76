"""The command that makes intervals hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.progress import TimeRemainingColumn

from indi.cli.app import app
from indi.cli.options import WHOLE, Device, Json, Realism, Sampler, Seed, Task, Threads, Times, Whole, times_of
from indi.cli.terminal import bar_of, print_json, say
from indi.config import RATE, SAMPLES
from indi.devices import set_threads
from indi.process import DEFAULT_STEPS

if TYPE_CHECKING:
    from indi.restoration.uncertainty import Calibration, IntensityClass


@app.command
def calibrate(
    *,
    model: Path,
    clean: Path | None = None,
    degraded: Path | None = None,
    task: Task = None,
    group: str | None = None,
    rate: float = RATE,
    samples: Whole = SAMPLES,
    steps: Annotated[
        int | None, WHOLE, Parameter(help=f"of the restorations; by default {DEFAULT_STEPS}, 1 for a model that draws")
    ] = None,
    resample: Annotated[bool, Parameter(negative="")] = False,
    seed: Seed = 0,
    times: Times = "uniform",
    sampler: Sampler = None,
    realism: Realism = None,
    device: Device = "auto",
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Find out how wide the intervals of a run must be, on pairs it was not trained on.

    Writes calibration.json and calibration.png into the run folder. From then on indi restore with as many samples and
    steps writes an interval for each pixel.

    Args:
        model: the run folder
        clean: folder of clean images; without any folder, the pairs that the run kept from training
        degraded: folder of degraded images, with the names of the clean ones
        group: pattern whose match names an image's scene; by default that of the run
        rate: share of the pixels that intervals are to hold
        samples: restorations of each image
        resample: bring degraded images of a lower size to the clean grid
    """
    from indi.evaluation.calibrate import calibrate as calibrated
    from indi.models.checkpoint import CALIBRATION_FILE

    set_threads(threads)
    with bar_of(TimeRemainingColumn()) as bar:
        shown = bar.add_task("calibrating", total=1.0)
        found = calibrated(
            model,
            clean=clean,
            degraded=degraded,
            task=task,
            resample=resample,
            group=group,
            rate=rate,
            samples=samples,
            steps=steps,
            times=times_of(times),
            sampler=sampler,
            realism=realism,
            seed=seed,
            device=device,
            progress=lambda share: bar.update(shown, completed=share),
        )
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        for line in _told(found):
            print(line)
        say(f"see {model / CALIBRATION_FILE} and {model / 'calibration.png'}")
    return 0


def _told(found: "Calibration") -> list[str]:
    """Return what was found, in lines."""
    from indi.data import count
    from indi.evaluation.scenes import needed_scenes

    scenes = count(found.scenes, "scene")
    needed = needed_scenes(found.rate)
    kind = "with the guarantee of conformal risk control"
    if found.guaranteed is None:
        kind = f"plain: a guarantee needs {needed} scenes (--clean and --degraded take others than those kept)"
        if found.scenes >= needed:
            kind = "plain: no width gives a guarantee; some errors lie where all samples agree"
    lines = [
        f"intervals for {found.rate:.0%} of the pixels, from {scenes}, {kind}",
        f"half width: {_factor(found)} times hypot(spread, {found.least:.2g}), {found.half_width:.4f} on average",
        *_by_class(found),
    ]
    for name in ("plain", "guaranteed"):
        held = found.check.get(name)
        if held is not None:
            splits = f"{found.check['splits']} random halvings"
            lines.append(
                f"{name} intervals held {held['mean']:.1%} +- {held['deviation']:.1%} on scenes left out, {splits}"
            )
    lines += _bounds(found)
    if found.scenes < 2:
        lines.append("one scene alone: whether they hold on others could not be looked at")
    area = found.sparsification["area"]
    lines.append(f"sparsification: area {area:.3f} between the ranking by spread and the best (0 is perfect)")
    return lines


def _factor(found: "Calibration") -> str:
    return "factor (by intensity, below)" if found.classes else f"{found.factor:.3g}"


def _by_class(found: "Calibration") -> list[str]:
    """Return a table of the classes of intensity: its factor, the shares held on scenes left out, and the bias."""
    if not found.classes:
        return []
    ways = {"one_factor": "one for all", "plain": "plain", "guaranteed": "guaranteed"}
    head = f"{'intensity of the mean':>23}  {'pixels':>6}  {'factor':>6}"
    lines = ["".join([head, *(f"  {name:>11}" for name in ways.values()), "  bias"])]
    for one, held in zip(found.classes, found.check["classes"], strict=True):
        shares = "".join(f"  {'-' if held[name] is None else f'{held[name]:.1%}':>11}" for name in ways)
        bounds = f"{one.low:.4g} to {one.high:.4g}"
        lines.append(f"{bounds:>23}  {one.pixels / found.pixels:>6.1%}  {one.factor:>6.3g}{shares}  {_bias(one)}")
    lines.append(
        "  held on scenes left out by one factor for all intensities, and by one of each: plain and guaranteed"
    )
    return lines


def _bias(one: "IntensityClass") -> str:
    if one.bias is None:
        return "-"
    return f"{one.bias:+.1%}" + (f" +- {one.bias_error:.1%}" if one.bias_error is not None else "")


def _bounds(found: "Calibration") -> list[str]:
    """Return what holds of images as a whole, and how much of them may be trusted."""
    from indi.evaluation.scenes import needed_scenes

    if found.bounds is None:
        return []
    held = {name: f" ({share:.0%} on scenes left out)" for name, share in found.bounds.check.items() if share}
    lines, rate = [], f"{found.rate:.0%}"
    if (margin := found.bounds.psnr_margin) is not None:
        of_scenes = f"for {rate} of scenes{held.get('psnr', '')}"
        lines.append(f"PSNR: at least {margin:+.1f} dB from what the spread makes of it, {of_scenes}")
    if (limit := found.bounds.trusted_up_to) is None:
        few = found.scenes < needed_scenes(found.rate)
        why = f"that needs {needed_scenes(found.rate)} scenes" if few else "samples agree on false detail"
        lines.append(f"no detail can be trusted at {rate}: {why}")
    else:
        trusted = f"{found.bounds.trusted:.1%} of the pixels; {rate} of them are true{held.get('trust', '')}"
        lines.append(f"detail is trusted where the disagreement is at most {limit:.2f}, {trusted}")
    return lines
