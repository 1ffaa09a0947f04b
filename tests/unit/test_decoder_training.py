import pytest
import torch

from certibayes.decoder_training import BATCH, build_autoencoder, fit_decoder
from certibayes.process import Interrupted
from certibayes.seeding import generator

IMAGES = torch.randint(0, 256, (3 * BATCH + 10, 20), generator=generator("images")).byte()
EPOCHS = 3


class Kept:
    """A checkpoint in memory."""

    def __init__(self):
        self.state = None

    def save(self, state):
        self.state = {
            name: {key: _copy(value) for key, value in part.items()}
            if isinstance(part, dict)
            else part
            for name, part in state.items()
        }

    def load(self):
        return self.state


def _copy(value):
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return value.clone()


class After:
    """An interruption that comes at the nth look."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def requested(self):
        self.looks -= 1
        return self.looks == 0


def fit(model, checkpoint, looks=-1):
    told = {}
    result = fit_decoder(
        model,
        IMAGES,
        EPOCHS,
        checkpoint=checkpoint,
        interruption=After(looks),
        report=lambda step, values: told.update({step: values["decoder/elbo"]}),
    )
    return result, told


@pytest.fixture(scope="module")
def whole():
    model = build_autoencoder(2, 20)
    result, told = fit(model, Kept())
    return model, result, told


def test_the_incomplete_batch_counts_and_the_bound_rises(whole):
    _, result, told = whole
    assert result.steps == 4 * EPOCHS
    assert list(told) == [4, 8, 12]
    assert told[12] > told[4]


@pytest.mark.parametrize("looks", [1, 4, 7, 11])
def test_a_resumed_training_equals_an_uninterrupted_one(whole, looks):
    model, _, told = whole
    kept = Kept()
    with pytest.raises(Interrupted, match=f"decoder stopped at step {looks} of 12; state saved"):
        fit(build_autoencoder(2, 20), kept, looks)
    resumed = build_autoencoder(2, 20)
    result, told_later = fit(resumed, kept)
    assert result.steps == 12
    for name, value in model.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    assert told_later == {step: told[step] for step in told if step > looks}


def test_equal_seeds_whatever_was_drawn_before():
    torch.manual_seed(5)
    one = build_autoencoder(2, 20)
    torch.rand(3)
    for a, b in zip(one.parameters(), build_autoencoder(2, 20).parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_bound_that_is_not_finite_ends_the_training():
    model = build_autoencoder(2, 20)
    with torch.no_grad():
        model.encoder[0].bias[0] = torch.inf
    with pytest.raises(FloatingPointError, match=r"decoder/elbo: got .* at step 0 of 12"):
        fit(model, Kept())
