"""What a training node learns from: the lists that are connected to it, or a data set."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.training import TrainingSet
from ...scedit_core.training.job.parts import MOST_CONTROLS
from ..sockets import HostedDataset
from .examples import to_training_set
from .stored import stored_training_set


@dataclass(frozen=True)
class Material:
    """The lists of LATENT and CONDITIONING, or the data set, that came in; None for what is not connected."""

    latents: Sequence[dict[str, Any]] | None
    positive: Sequence[list[Any]] | None
    empty: Sequence[list[Any]] | None
    datasets: Sequence[HostedDataset] | None

    @classmethod
    def taken(cls, inputs: MutableMapping[str, list[Any]]) -> Material:
        """What is to be learnt from, taken out of a node's inputs: the rest are its widgets."""
        return cls(*(inputs.pop(name, None) for name in ("latents", "positive", "empty", "dataset")))

    @property
    def models(self) -> list[Any]:
        """Models of the host that are needed during the training: the data set's text encoder."""
        return [dataset.clip.patcher for dataset in self.datasets or ()]

    def training_set(
        self, model: Any, hints: Sequence[Sequence[Tensor]] | None, buckets: bool
    ) -> TrainingSet:
        """Examples for a MODEL: for a style if `hints` is None, else for controls, whose lists they are.

        SCEditError if a data set and lists came in, neither, or what does not fit the model.
        """
        lists = {"latents": self.latents, "positive": self.positive, "hints": hints or None}
        connected = [name for name, each in lists.items() if each is not None]
        if not self.datasets:
            self._check_lists(lists, hints is not None)
            pictures = (self.latents or (), self.positive or ())
            return to_training_set(model, pictures, hints or (), self.empty, buckets)
        if connected or len(self.datasets) > 1:
            what = f"{' and '.join(connected)} too" if connected else f"{len(self.datasets)} of them"
            raise SCEditError(
                f"a data set holds all that is learnt from, and {what} came in; connect one data set alone, "
                "or lists alone"
            )
        (dataset,) = self.datasets
        data = stored_training_set(
            model, dataset.stored, dataset.clip, has_hints=hints is not None, buckets=buckets
        )
        if data.examples.hints > MOST_CONTROLS:
            raise SCEditError(
                f"the data set has {data.examples.hints} kinds of hint, of which this node trains at most "
                f"{MOST_CONTROLS} together; prepare one with fewer"
            )
        return data

    def _check_lists(self, lists: Mapping[str, Any], is_control: bool) -> None:
        missing = [name for name in ("latents", "positive") if lists[name] is None]
        if missing:
            raise SCEditError(
                f"there is nothing to train on: connect {' and '.join(missing)}, such as those of 'Training "
                "Folder', or a dataset of 'Prepare Dataset'"
            )
        if is_control and lists["hints"] is None:
            raise SCEditError(
                "no hints came in: connect a list of hint images; on 'Training Folder' choose what they show"
            )
