"""The model card as Markdown."""

from collections.abc import Mapping
from typing import Any

from cutline.errors import ModelError, plural

NOT_STATED = "not stated"


def format_card(card: Mapping[str, Any]) -> str:
    """Format a model's card as Markdown; missing entries read "not stated".

    Raises `ModelError` for a card with entries of the wrong types.
    """
    try:
        return "\n\n".join(_format_sections(card)) + "\n"
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{type(error).__name__}: {str(error)[:100]}"
        raise ModelError(f"the model's card is malformed ({reason})") from None


def _format_sections(card: Mapping[str, Any]) -> list[str]:
    view, averaged = card.get("view", {}), card.get("mixed", [])
    size, encoder = view.get("size", "?"), card.get("encoder", {})
    versions = _list(card.get("versions", {})) or "versions not stated"
    return [
        f"# {card.get('title', 'A captioner')}",
        f"Paper: {card.get('paper', 'none named')}",
        f"Recipe: `{card.get('command', NOT_STATED)}` ({versions}; "
        f"epoch {card.get('epoch', '?')} was the best on validation)",
        *(
            [f"Averaged: the mean of the weights of {plural(len(averaged), 'model')}"]
            if averaged
            else []
        ),
        f"Encoder's weights: {encoder.get('weights', NOT_STATED)}",
        f"View: {view.get('fit', NOT_STATED)} to {size} x {size} pixels",
        f"Data: {_list({**card.get('source', {}), **card.get('data', {})}) or NOT_STATED}",
        _format_scores(card.get("scores", {})),
        _format_confidence(card.get("calibration")),
        _format_precision(card),
        f"Licence: {card.get('licence', NOT_STATED)}",
        f"Limitations: {card.get('limits', NOT_STATED)}",
    ]


def _list(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items())


def _format_scores(scores: Mapping[str, Any]) -> str:
    lines = [
        f"- {split}: "
        + ", ".join(f"{name} {100 * value:.1f}" for name, value in report["scores"].items())
        + f"  \n  `{report['signature']}`"
        for split, report in scores.items()
    ]
    return "Scores:\n" + "\n".join(lines) if lines else "Scores: none"


def _format_confidence(calibration: Mapping[str, Any] | None) -> str:
    if not calibration:
        return "Confidence: not calibrated; it ranks captions but is not the share of good ones"
    return (
        f"Confidence: the share of good captions among those with that confidence, fitted on "
        f"{calibration['split']}; {calibration['rule']}. Expected calibration error: "
        f"{calibration['error']:.3f}"
    )


def _format_precision(card: Mapping[str, Any]) -> str:
    precision, cost = card.get("precision", "fp32"), card.get("precision_cost")
    arithmetic = {
        "fp32": "in single precision",
        "fp16": "in single precision, from weights in half precision",
        "int8": "in 8 bits (softmax, gates and log-probabilities in single precision)",
    }[precision]
    if not cost:
        return f"Computes {arithmetic}"
    before, after = (100 * cost[name] for name in ("fp32", precision))
    return (
        f"Computes {arithmetic}; {cost['metric']} on {cost['split']}: {after:.1f}, "
        f"in single precision {before:.1f}"
    )
