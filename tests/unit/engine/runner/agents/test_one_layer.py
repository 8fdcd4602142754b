"""One layer of retries: the libraries ask once, and one that does not is found."""

from typing import Any

import pytest
from perdure_engine.runner.agents import models, one_layer


@pytest.mark.parametrize("provider", sorted(models.URLS))
async def test_a_model_that_is_down_is_asked_once(provider: str) -> None:
    assert await one_layer.times_asked(provider) == 1


async def test_a_library_that_tries_again_by_itself_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = models.model_of

    def forgetful(choice: models.Choice, http: Any) -> Any:
        model: Any = right(choice, http)
        model.client.max_retries = 1
        return model

    monkeypatch.setattr(models, "model_of", forgetful)
    monkeypatch.setattr(one_layer, "_assured", set[str]())
    with pytest.raises(one_layer.RetriesBelow, match="2 times where it must ask once"):
        await one_layer.assure_one_layer()


async def test_it_is_looked_at_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_layer, "_assured", set[str]())
    await one_layer.assure_one_layer()

    async def never(provider: str) -> int:
        raise AssertionError(provider)

    monkeypatch.setattr(one_layer, "times_asked", never)
    await one_layer.assure_one_layer()
