import pytest
import torch

from indi.devices import Precision
from indi.training.arithmetic import Arithmetic

CPU = torch.device("cpu")


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
