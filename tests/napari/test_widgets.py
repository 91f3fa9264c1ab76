"""The widgets in a real napari, whose window is not shown: make test-napari."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# By a module of it, as this folder is called so too.
pytest.importorskip("napari.viewer", reason="napari is not installed: make test-napari")
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("napari draws with OpenGL, which needs a display: xvfb-run", allow_module_level=True)

import napari
import npe2
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from indi.models.checkpoint import MODEL_FILE, save_model
from indi.napari import restore_widget, train_widget, widgets
from indi.napari.layers import StoppedError
from indi.restoration.restorer import load
from problems import tiny_calibration, tiny_model

pytestmark = [pytest.mark.medium, pytest.mark.filterwarnings("default")]  # napari's own are not ours

CLEAN = np.kron(np.random.default_rng(0).integers(40, 200, (3, 5, 6)), np.ones((8, 8))).astype(np.uint8)


@pytest.fixture
def viewer() -> Iterator[napari.Viewer]:
    viewer = napari.Viewer(show=False)
    viewer.add_image(CLEAN, name="cells", scale=(2, 0.5, 0.5), units=("um",) * 3, colormap="green")
    viewer.add_image(CLEAN // 2, name="dark", scale=(2, 0.5, 0.5))
    yield viewer
    viewer.close()
    widgets._runs.clear()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    save_model(tiny_model(1, epsilon=0.05), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return what notifications say, by their kind."""
    found: list[tuple[str, str]] = []
    for kind in ("error", "warning", "info"):
        monkeypatch.setattr(widgets, f"show_{kind}", lambda text, kind=kind: found.append((kind, text)))
    return found


def docked(viewer: napari.Viewer, make: Callable[[], Any], model: Path | None = None) -> Any:
    widget = make()
    viewer.window.add_dock_widget(widget)
    if model is not None:
        widget.file.value = model / MODEL_FILE
        widget.image.value = viewer.layers["cells"]
    return widget


def wait(widget: Any, until: Callable[[], bool] = lambda: False) -> None:
    end = time.monotonic() + 60
    while widget._job is not None and not until():
        assert time.monotonic() < end
        QApplication.processEvents()
        time.sleep(0.01)


def test_napari_opens_the_widgets_by_their_manifest(viewer: napari.Viewer) -> None:
    manager = npe2.PluginManager.instance()
    if "indi" not in manager:  # which is found where it is installed
        manager.register(npe2.PluginManifest.from_file(Path(widgets.__file__).with_name("napari.yaml")))
    for name, kind in (("Restore", widgets.RestoreWidget), ("Train", widgets.TrainWidget)):
        _, widget = viewer.window.add_plugin_dock_widget("indi", name)
        assert isinstance(widget, kind)
        assert viewer.layers["cells"] in widget[0].choices


def test_a_layer_is_restored_as_the_library_does(viewer: napari.Viewer, run: Path, said: list[Any]) -> None:
    widget = docked(viewer, restore_widget, run)
    assert widget.model.value == run  # the folder, whose calibration counts, and not the file
    assert widget.realism.native.isHidden()
    assert not widget.steps.native.isHidden()
    widget.steps.value = 2
    widget.start()
    assert not widget._start.enabled
    wait(widget)
    restored = viewer.layers["cells restored"]
    wanted = np.stack([load(run).restore(plane, steps=2, plane=number) for number, plane in enumerate(CLEAN)])
    np.testing.assert_array_equal(restored.data, wanted)
    source = viewer.layers["cells"]
    np.testing.assert_array_equal(restored.scale, source.scale)
    assert restored.units == source.units
    assert restored.colormap.name == "green"
    assert restored.contrast_limits == source.contrast_limits
    assert not source.visible
    assert said == []
    assert widget._start.enabled
    assert not widget._cancel.enabled


def test_samples_of_a_calibrated_model_bring_their_layers(viewer: napari.Viewer, run: Path, said: list[Any]) -> None:
    calibration = tiny_calibration(weights=load(run).fingerprint, samples=3, steps=2)
    (run / "calibration.json").write_text(calibration.model_dump_json())
    widget = docked(viewer, restore_widget, run)
    widget.steps.value, widget.samples.value = 2, 3
    widget.start()
    wait(widget)
    names = [layer.name for layer in viewer.layers]
    assert names[2:] == ["cells restored", "cells lower", "cells upper", "cells disagreement"]
    widget.samples.value = 2
    widget.start()
    wait(widget)
    assert "cells spread" in viewer.layers
    assert said == [("warning", "no intervals: calibrated for samples 3, not 2")]


def test_the_plane_shown_alone(viewer: napari.Viewer, run: Path) -> None:
    widget = docked(viewer, restore_widget, run)
    viewer.dims.set_current_step(0, 2)
    widget.steps.value, widget.shown.value = 2, True
    widget.start()
    wait(widget)
    restored = viewer.layers["cells restored"]
    np.testing.assert_array_equal(restored.data, load(run).restore(CLEAN[2], steps=2, plane=2)[None])
    np.testing.assert_array_equal(restored.translate, [4, 0, 0])


def test_a_model_that_draws_has_its_dial(viewer: napari.Viewer, tmp_path: Path) -> None:
    save_model(tiny_model(1, name="distributional"), tmp_path / "draws")
    widget = docked(viewer, restore_widget, tmp_path / "draws")
    assert widget.steps.native.isHidden()
    assert not widget.realism.native.isHidden()
    assert widget.realism.value == load(tmp_path / "draws").default_realism
    widget.samples.value = 4
    assert widget.realism.value == 1.0
    widget.samples.value, widget.realism.value = 1, 0.25
    widget.start()
    wait(widget)
    wanted = load(tmp_path / "draws").restore(CLEAN[0], realism=0.25)
    np.testing.assert_array_equal(viewer.layers["cells restored"].data[0], wanted)


def test_errors_are_one_line_and_the_next_try_works(viewer: napari.Viewer, run: Path, said: list[Any]) -> None:
    widget = docked(viewer, restore_widget, run)
    viewer.add_image(np.zeros((20, 20), np.int32), name="counts")
    widget.image.value = viewer.layers["counts"]
    widget.start()
    wait(widget)
    widget.file.value = run / "config.txt"  # which is not there, as when it is being typed
    (run / MODEL_FILE).write_bytes(b"cut")
    widget.model.value = "denoise"
    widget.model.value = run
    widget.start()
    train = docked(viewer, train_widget)
    train.start()
    assert [kind for kind, _ in said] == ["error"] * 4
    assert all("\n" not in text and "Traceback" not in text for _, text in said)
    assert said[0][1].startswith("counts: plane 1 of 1: pixels are int32; convert them")
    assert "not a model of indi, or damaged" in said[1][1]
    assert said[2][1] == "no model is loaded; choose another"
    assert said[3][1] == "no run folder is chosen; choose a new or empty one"
    widget.model.value, widget.samples.value, widget.image.value = "denoise", 1, viewer.layers["cells"]
    widget.start()
    wait(widget)
    assert "cells restored" in viewer.layers
    viewer.layers.clear()
    widget.start()
    assert said[4][1] == "no image layer is chosen; open an image first"


def test_work_is_in_a_thread_can_be_followed_and_is_cancelled_between_tiles(
    viewer: napari.Viewer, run: Path, said: list[Any]
) -> None:
    widget = docked(viewer, restore_widget, run)
    held, threads, finished = threading.Event(), [], []

    def work(*, progress: Callable[..., None]) -> None:
        threads.append(threading.current_thread())
        logging.getLogger("indi").warning("warning: dim")
        progress(0.25, "half of a half")
        assert held.wait(30)
        progress(0.5)

    widget.work = lambda: work
    widget._timer.timeout.connect(lambda: finished.append(threading.current_thread()))
    widget.start()
    wait(widget, lambda: widget._note.value == "half of a half")
    assert widget._bar.value == 250
    widget.cancel()
    held.set()
    wait(widget)
    assert widget._note.value == "cancelled"
    assert threads != [threading.main_thread()]
    assert said == [("warning", "dim")]
    assert len(viewer.layers) == 2


def test_results_are_shown_by_the_thread_of_the_window(viewer: napari.Viewer, run: Path) -> None:
    widget = docked(viewer, restore_widget, run)
    threads = []
    widget.finish = lambda result: threads.append(threading.current_thread())
    widget.steps.value = 1
    widget.start()
    wait(widget)
    assert threads == [threading.main_thread()]


def test_a_widget_that_is_closed_meanwhile_does_no_harm(viewer: napari.Viewer, run: Path, said: list[Any]) -> None:
    widget = docked(viewer, restore_widget, run)
    held, stopped = threading.Event(), threading.Event()

    def work(*, progress: Callable[..., None]) -> None:
        assert held.wait(30)
        with pytest.raises(StoppedError):
            progress(0.5)
        stopped.set()

    widget.work = lambda: work
    widget.start()
    assert widget in widgets.RestoreWidget.opened
    widget.native.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    held.set()
    assert stopped.wait(30)
    QApplication.processEvents()
    assert widget not in widgets.RestoreWidget.opened


@pytest.mark.parametrize("is_stopped", [False, True])
def test_training_makes_a_run_that_restore_has_chosen(
    viewer: napari.Viewer, tmp_path: Path, said: list[Any], is_stopped: bool
) -> None:
    restore, train = docked(viewer, restore_widget), docked(viewer, train_widget)
    train.clean.value, train.degraded.value = viewer.layers["cells"], viewer.layers["dark"]
    train.run.value = tmp_path / "run"
    train.size.value, train.minutes.value = "tiny", 10 if is_stopped else 0.1
    train.start()
    if is_stopped:
        wait(train, lambda: train._note.value.startswith("iteration "))
        train.cancel()
    wait(train)
    assert said == [("info", f"{tmp_path / 'run'}: trained; its model can be chosen under Restore")]
    assert restore.model.value == tmp_path / "run"
    assert load(tmp_path / "run").card.iterations > 0
    assert docked(viewer, restore_widget).model.value == tmp_path / "run"
