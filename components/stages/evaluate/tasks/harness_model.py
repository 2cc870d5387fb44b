"""Our network as a model of lm-evaluation-harness: its HF backend's log-likelihoods, token by token, sooner."""

from typing import Any

from lm_eval import utils
from lm_eval.api.model import TemplateLM

from components.stages.evaluate.tasks.scoring import LanguageModel
from components.tokens.tokenizer import END_OF_TEXT
from components.training.likelihood import next_tokens, score


class HarnessModel(TemplateLM):
    """Scores requests as `lm_eval.models.huggingface.HFLM` does with its defaults."""

    backend = "causal"

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.language_model = model

    @property
    def eot_token_id(self) -> int:
        """Token that stands for an empty prompt, and begins a text without one."""
        return END_OF_TEXT

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **options: Any) -> list[int]:
        """Ids of a text, after the separator unless told otherwise: as by the model's tokenizer.json."""
        ids = self.language_model.encode(string)
        return ids[1:] if add_special_tokens is False else ids

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], **options: Any
    ) -> list[tuple[float, bool]]:
        model = self.language_model
        rows = [
            next_tokens((context + ending)[-model.context - 1 :], min(len(ending), model.context))
            for _, context, ending in requests
        ]
        return [(scores.total, bool(scores.hit.all())) for scores in score(model.model, rows)]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, in windows of the context that overlap in one token."""
        windows, owners = [], []
        for number, request in enumerate(requests):
            pieces = utils.get_rolling_token_windows(
                self.tok_encode(request.args[0]), self.prefix_token_id, self.language_model.context, context_len=1
            )
            for context, ending in map(utils.make_disjoint_window, pieces):
                windows.append((None, context, ending))
                owners.append(number)
        totals = [0.0] * len(requests)
        for number, (logp, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[number] += logp
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Not offered: `harness.load` refuses tasks that ask for text."""
        raise NotImplementedError
