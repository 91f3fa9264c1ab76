import numpy as np
import pytest
import torch
from pydantic import ValidationError

from indi.data.normalization import Normalisation, Scale
from indi.models.checkpoint import Card
from indi.restoration.restorer import Restorer
from problems import tiny_model


def test_what_is_offset_becomes_0_and_a_scale_above_it_1() -> None:
    scale = Scale(offset=(0.1, 0.2), scale=(0.5, 0.25))
    images = torch.tensor([[0.1, 0.6], [0.2, 0.45]]).reshape(1, 2, 1, 2)
    torch.testing.assert_close(scale.apply(images).flatten(), torch.tensor([0.0, 1.0, 0.0, 1.0]))
    torch.testing.assert_close(scale.undo(scale.apply(images)), images)


def test_it_is_undone_exactly_for_every_16_bit_value() -> None:
    model = tiny_model(1, epsilon=0.0)
    for weight in model.network.parameters():
        weight.zero_()  # the network answers with the state: what comes out is what went in
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for offset, width in ((0.003, 0.04), (-0.2, 1.7), (0.5, 0.001)):
        scale = Scale(offset=(offset,), scale=(width,))
        card = model.card.model_copy(
            update={"normalisation": Normalisation(kind="deviation", clean=scale, degraded=scale)}
        )
        restorer = Restorer(type(model)(card, model.network), precision="float32")
        restored = restorer.restore(values, steps=1)
        assert np.abs(restored.astype(int) - values).max() == 0, (offset, width)


@pytest.mark.parametrize(("offset", "scale"), [((0.0,), (0.0,)), ((0.0,), (-1.0,)), ((0.0, 0.0), (1.0,))])
def test_a_scale_needs_a_value_a_channel_above_0(offset: tuple[float, ...], scale: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="above 0"):
        Scale(offset=offset, scale=scale)


def test_a_card_of_before_its_kind_was_noted_is_read() -> None:
    model = tiny_model(1)
    scale = Scale(offset=(0.1,), scale=(0.5,))
    card = model.card.model_copy(update={"normalisation": Normalisation(clean=scale, degraded=scale)})
    text = card.model_dump_json().replace('"kind":null,', "")
    assert "kind" not in text
    assert Card.model_validate_json(text) == card
