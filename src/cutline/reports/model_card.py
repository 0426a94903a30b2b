"""What a model says of itself, as people read it: its card as Markdown."""

from collections.abc import Mapping
from typing import Any

from cutline.errors import ModelError

NOT_SAID = "not said"


def write_card(card: Mapping[str, Any]) -> str:
    """A model's card as Markdown; what it does not tell is said to be missing.

    Raises `ModelError` for a card whose parts are of other kinds than a card's.
    """
    try:
        return "\n\n".join(_tell(card)) + "\n"
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise ModelError(f"the model's card is none that can be read ({reason})") from None


def _tell(card: Mapping[str, Any]) -> list[str]:
    view, mixed = card.get("view", {}), card.get("mixed", [])
    size, encoder = view.get("size", "?"), card.get("encoder", {})
    made = _list(card.get("versions", {})) or "versions not said"
    return [
        f"# {card.get('title', 'A captioner')}",
        f"Paper: {card.get('paper', 'none named')}",
        f"Recipe: `{card.get('command', NOT_SAID)}` ({made}; epoch {card.get('epoch', '?')} was "
        "the best on validation)",
        *([f"Mixed: the mean of the weights of {len(mixed)} models"] if mixed else []),
        f"Encoder's weights: {encoder.get('weights', NOT_SAID)}",
        f"View: {view.get('fit', NOT_SAID)} to {size} x {size} pixels",
        f"Data: {_list({**card.get('source', {}), **card.get('data', {})}) or NOT_SAID}",
        _tell_scores(card.get("scores", {})),
        _tell_confidence(card.get("calibration")),
        _tell_precision(card),
        f"Licence: {card.get('licence', NOT_SAID)}",
        f"What it gets wrong: {card.get('limits', NOT_SAID)}",
    ]


def _list(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _tell_scores(scores: Mapping[str, Any]) -> str:
    lines = [
        f"- {split}: "
        + ", ".join(f"{name} {100 * value:.1f}" for name, value in report["scores"].items())
        + f"  \n  `{report['signature']}`"
        for split, report in scores.items()
    ]
    return "Scores:\n" + "\n".join(lines) if lines else "Scores: none"


def _tell_confidence(calibration: Mapping[str, Any] | None) -> str:
    if not calibration:
        return "Confidence: not calibrated; it ranks captions and is no share of good ones"
    return (
        f"Confidence: the share of good captions among those with that confidence, fitted on "
        f"{calibration['split']}; {calibration['rule']}. Expected calibration error: "
        f"{calibration['error']:.3f}"
    )


def _tell_precision(card: Mapping[str, Any]) -> str:
    precision, cost = card.get("precision", "fp32"), card.get("precision_cost")
    told = {
        "fp32": "in single precision",
        "fp16": "in single precision, from weights in half precision",
        "int8": "in 8 bits (softmax, gates and log-probabilities in single precision)",
    }[precision]
    if not cost:
        return f"Computes {told}"
    before, after = (100 * cost[name] for name in ("fp32", precision))
    return (
        f"Computes {told}; {cost['metric']} on {cost['split']}: {after:.1f}, "
        f"in single precision {before:.1f}"
    )
