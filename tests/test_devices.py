import os
from pathlib import Path

import pytest
import torch

from indi.devices import Arithmetic, Precision, _quota, choose_device, choose_precision, cores, set_threads
from indi.errors import DeviceError

CPU = torch.device("cpu")


def machine(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")]
)
def test_auto_takes_the_best(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, best: str) -> None:
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert choose_device() == torch.device(best)


def test_one_of_several_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == CPU
    with pytest.raises(DeviceError, match="no device cuda:2 on this machine; it has 2"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cpu:-1", "CUDA"])
def test_unknown_devices_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    machine(monkeypatch, cuda=1)
    with pytest.raises(DeviceError, match="unknown device"):
        choose_device(name)


def test_a_missing_device_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, mps=True)
    with pytest.raises(DeviceError, match="no cuda device on this machine; it has mps, cpu"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("says", "dtype"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: says)
    assert choose_precision("auto", CPU) == dtype
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize(("generation", "dtype"), [(7, torch.float32), (8, torch.bfloat16), (9, torch.bfloat16)])
def test_cards_before_ampere_only_emulate_it(
    monkeypatch: pytest.MonkeyPatch, generation: int, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert choose_precision("auto", torch.device("cuda")) == dtype
    assert choose_precision("auto", torch.device("mps")) == torch.float32


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == torch.get_num_threads() == 1
        assert set_threads(None) == 1  # never more than torch was told to use
        with pytest.raises(DeviceError, match="threads is 0"):
            set_threads(0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "cores"), [("200000 100000\n", 2), ("150000 100000\n", 2), ("max 100000\n", None), ("", None)]
)
def test_a_containers_quota_counts(tmp_path: Path, text: str, cores: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert _quota(file) == cores
    assert _quota(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("capability", "precision", "said"),
    [
        (9, "auto", "bfloat16, TF32, fastest convolutions"),
        (7, "auto", "float16, TF32, fastest convolutions"),
        (6, "auto", "float32, TF32, fastest convolutions"),
        (9, "float32", "float32, deterministic convolutions"),
        (7, "bfloat16", "bfloat16, TF32, fastest convolutions"),
    ],
)
def test_training_computes_in_what_the_card_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capability: int, precision: Precision, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (capability, 0))
    assert str(Arithmetic.choose(precision, torch.device("cuda"))) == said


def test_on_a_cpu_the_arithmetic_is_its_type() -> None:
    assert str(Arithmetic.choose("bfloat16", CPU)) == "bfloat16"
    assert str(Arithmetic.choose("float32", CPU)) == "float32"


@pytest.mark.parametrize("exact", [True, False])
def test_the_switches_of_a_card_are_set_for_training_and_given_back(exact: bool) -> None:
    def switches() -> tuple[object, ...]:
        cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
        return cudnn.deterministic, cudnn.benchmark, products.fp32_precision

    before = switches()
    with Arithmetic(torch.float32, exact, torch.device("cuda")).used():
        assert switches() == ((True, False, "ieee") if exact else (False, True, "tf32"))
    assert switches() == before
    with Arithmetic(torch.float32, exact, CPU).used():
        assert switches() == before


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
