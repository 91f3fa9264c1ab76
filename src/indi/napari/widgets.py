"""The widgets: fields, and work in a thread that can be followed and stopped."""

import logging
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from magicgui import widgets as fields
from napari import current_viewer
from napari.layers import Layer as ViewerLayer
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QTimer

from indi.errors import ConfigError, IndiError
from indi.models.checkpoint import MODEL_FILE
from indi.models.pretrained import pretrained_names
from indi.napari.layers import StoppedError, restored_layers, train_on_layers
from indi.networks import NETWORKS
from indi.process.methods import METHODS
from indi.process.sampling import Sampling
from indi.restoration.restorer import load

Work = Callable[..., Any]  # takes ``progress``, which hears the share that is done and, where there are some, words

_EVERY = 100  # milliseconds between two looks at how far the work is
_MOST_STEPS, _MOST_SAMPLES = 100, 64
_runs: list[Path] = []  # trained since napari was started, the last one last


class _Job(logging.Handler):
    """Work in a thread of its own: how far it is, what it warned of, and what came of it."""

    def __init__(self, work: Work, done: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self.share, self.note, self.result = 0.0, "", None
        self.error: IndiError | None = None
        self.warnings: list[str] = []
        self.worker = create_worker(self._run, work, _start_thread=False)
        self.worker.finished.connect(done)
        self.worker.start()

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage().removeprefix("warning: "))

    def _run(self, work: Work) -> None:
        log = logging.getLogger("indi")
        log.addHandler(self)
        try:
            self.result = work(progress=self._hear)
        except IndiError as error:
            self.error = error
        except StoppedError:
            self.note = "cancelled"
        finally:
            log.removeHandler(self)

    def _hear(self, share: float, note: str = "") -> None:
        self.share, self.note = share, note
        if self.worker.abort_requested:
            raise StoppedError


class _Panel(fields.Container):  # type: ignore[misc]
    """Fields, and below them what starts, shows and cancels the work.

    Args:
        asked: Fields to fill in.
        verb: What the work is called.
    """

    def __init__(self, asked: list[Any], verb: str) -> None:
        self._start, self._cancel = fields.PushButton(text=verb), fields.PushButton(text="Cancel", enabled=False)
        self._bar, self._note = fields.ProgressBar(min=0, max=1000), fields.Label()
        buttons = fields.Container(widgets=[self._start, self._cancel], layout="horizontal", labels=False, label="")
        super().__init__(widgets=[*asked, buttons, self._bar, self._note])
        self._job: _Job | None = None
        self._timer = QTimer(self.native)
        self._timer.timeout.connect(self._show)
        self._start.clicked.connect(self.start)
        self._cancel.clicked.connect(self.cancel)
        self.native.destroyed.connect(lambda: self.leave())  # as it keeps this object until then

    @abstractmethod
    def work(self) -> Work:
        """Return the work as the fields say."""

    @abstractmethod
    def finish(self, result: Any) -> None:
        """Show what came of the work."""

    def start(self) -> None:
        """Start the work, unless the fields say what cannot be."""
        try:
            work = self.work()
        except IndiError as error:
            show_error(str(error))
            return
        self._start.enabled, self._cancel.enabled = False, True
        self._job = _Job(work, self._end)
        self._timer.start(_EVERY)

    def cancel(self) -> None:
        """Stop the work at the next good place."""
        if self._job is not None:
            self._job.worker.quit()

    def leave(self) -> None:
        """Drop the work, as there is nothing left to show it."""
        self.cancel()
        self._job = None

    def _show(self) -> None:
        if self._job is not None:
            self._bar.value = round(1000 * self._job.share)
            self._note.value = self._job.note

    def _end(self) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        self._timer.stop()
        self._start.enabled, self._cancel.enabled = True, False
        self._bar.value, self._note.value = 0, job.note
        for warning in job.warnings:
            show_warning(warning)
        if job.error is not None:
            show_error(str(job.error))
        elif job.result is not None:
            self.finish(job.result)


class RestoreWidget(_Panel):
    """Restores the chosen image layer by the chosen model, and adds what becomes of it as layers."""

    opened: ClassVar["set[RestoreWidget]"] = set()

    def __init__(self) -> None:
        self.image = fields.create_widget(annotation="napari.layers.Image", label="image")
        names = pretrained_names()
        self._models: dict[Any, str] = {name: name for name in names} | {run: run.name for run in _runs}
        self.model = fields.ComboBox(label="model", choices=self._choices)
        self.file = fields.FileEdit(
            label="or a run", filter=f"run or model file (*{Path(MODEL_FILE).suffix})", nullable=True
        )
        self.file.tooltip = f"{MODEL_FILE} of a run folder, the folder itself, or any model file"
        self.realism = fields.FloatSpinBox(label="realism", min=0, max=1, step=0.1, tooltip="0: least error; 1: a draw")
        self.steps = fields.SpinBox(label="steps", min=1, max=_MOST_STEPS, tooltip="1: least error; more: sharper")
        self.samples = fields.SpinBox(label="samples", min=1, max=_MOST_SAMPLES, value=1)
        self.samples.tooltip = "2 or more: their mean, how far they part, and where they disagree"
        self.shown = fields.CheckBox(label="", text="only the plane shown")
        asked = [self.image, self.model, self.file, self.realism, self.steps, self.samples, self.shown]
        super().__init__(asked, "Restore")
        self.model.value = _runs[-1] if _runs else "denoise" if "denoise" in names else names[0]
        self._load(self.model.value)
        self.model.changed.connect(self._load)
        self.file.changed.connect(self._open)
        self.samples.changed.connect(self._suggest)
        self.opened.add(self)

    def leave(self) -> None:
        """As of every panel; a training has no choice to offer here any more."""
        super().leave()
        self.opened.discard(self)

    def choose(self, run: Path) -> None:
        """Choose the model of a run, which joins those that can be chosen."""
        self._models[run] = run.name
        self.model.reset_choices()
        self.model.value = run

    def _choices(self, _: Any) -> list[tuple[str, Any]]:
        return [(name, model) for model, name in self._models.items()]

    def _open(self, file: Path | None) -> None:
        if file is not None and (file.is_file() or (file / MODEL_FILE).is_file()):  # and is not being typed still
            self.choose(file.parent if file.name == MODEL_FILE else file)  # a run is calibrated, a file is not

    def _load(self, model: str | Path) -> None:
        self._restorer = None
        try:
            self._restorer = load(model)
        except IndiError as error:
            show_error(str(error))
            return
        draws = self._restorer.method.draws
        self.realism.visible, self.steps.visible = draws, not draws and not self._restorer.method.one_step
        self.steps.value = self._restorer.default_steps
        self._suggest()

    def _suggest(self) -> None:
        """Set the realism that is best for one image, or for samples."""
        if self._restorer is not None:
            self.realism.value = self._restorer.default_realism if self.samples.value == 1 else 1.0

    def work(self) -> Work:
        """Return the restoration of the layer."""
        layer, viewer = self.image.value, current_viewer()
        if layer is None or viewer is None:
            raise ConfigError("no image layer is chosen; open an image first")
        if self._restorer is None:
            raise ConfigError("no model is loaded; choose another")
        sampling = Sampling(
            steps=self.steps.value if not self._restorer.method.draws else None,
            realism=self.realism.value if self._restorer.method.draws else None,
            samples=self.samples.value if self.samples.value > 1 else None,
        )
        only = None
        if self.shown.value:
            before = np.round(layer.world_to_data(viewer.dims.point))[:-2].astype(int)
            shape = layer.data[0].shape if layer.multiscale else layer.data.shape
            only = tuple(int(np.clip(place, 0, count - 1)) for place, count in zip(before, shape, strict=False))
        self._chosen = viewer, layer
        return partial(restored_layers, self._restorer, layer.as_layer_data_tuple(), sampling, only=only)

    def finish(self, result: Any) -> None:
        """Add the layers that were made."""
        viewer, source = self._chosen
        for layer in result:
            viewer.add_layer(ViewerLayer.create(*layer))
        source.visible = False  # which lies under what became of it


class TrainWidget(_Panel):
    """Trains on a clean and a degraded layer of one shape into a run folder."""

    def __init__(self) -> None:
        self.clean = fields.create_widget(annotation="napari.layers.Image", label="clean")
        self.degraded = fields.create_widget(annotation="napari.layers.Image", label="degraded")
        self.run = fields.FileEdit(label="run folder", mode="d", tooltip="a new or empty folder")
        self.minutes = fields.FloatSpinBox(label="minutes", min=0.1, max=10000, value=10, step=1)
        self.size = fields.ComboBox(label="size", choices=list(NETWORKS["unet"].sizes), value="small")
        self.method = fields.ComboBox(label="method", choices=list(METHODS), value="indi")
        self.method.tooltip = "distributional: samples whose disagreement tells where to doubt"
        super().__init__([self.clean, self.degraded, self.run, self.minutes, self.size, self.method], "Train")

    def work(self) -> Work:
        """Return the training."""
        clean, degraded = self.clean.value, self.degraded.value
        if clean is None or degraded is None:
            raise ConfigError("two image layers are needed, clean and degraded; open them first")
        if self.run.value == Path():
            raise ConfigError("no run folder is chosen; choose a new or empty one")
        return partial(
            train_on_layers,
            clean.as_layer_data_tuple(),
            degraded.as_layer_data_tuple(),
            self.run.value,
            minutes=self.minutes.value,
            size=self.size.value,
            method=self.method.value,
        )

    def finish(self, result: Any) -> None:
        """Choose the run wherever there is something to restore."""
        _runs.append(result)
        for widget in RestoreWidget.opened:
            widget.choose(result)
        show_info(f"{result}: trained; its model can be chosen under Restore")
