"""What a model says of itself, as people read it: its card as Markdown."""

from collections.abc import Mapping
from typing import Any


def write_card(card: Mapping[str, Any]) -> str:
    """A model's card as Markdown."""
    scores = [
        f"- {split}: "
        + ", ".join(f"{name} {100 * value:.1f}" for name, value in report["scores"].items())
        + f"  \n  `{report['signature']}`"
        for split, report in card["scores"].items()
    ]
    data = ", ".join(
        f"{name} {value}" for name, value in {**card["source"], **card["data"]}.items()
    )
    made = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    mixed = card.get("mixed", [])
    parts = [
        f"# {card.get('title', 'A captioner')}",
        f"Paper: {card.get('paper', 'none named')}",
        f"Recipe: `{card['command']}` ({made}; epoch {card['epoch']} was the best on validation)",
        *([f"Mixed: the mean of the weights of {len(mixed)} models"] if mixed else []),
        f"Encoder's weights: {card['encoder']['weights']}",
        f"View: {card['view']['fit']} to {card['view']['size']} x {card['view']['size']} pixels",
        f"Data: {data}",
        "Scores:\n" + "\n".join(scores),
        _tell_confidence(card.get("calibration")),
        _tell_precision(card),
        f"Licence: {card.get('licence', 'not said')}",
        f"What it gets wrong: {card.get('limits', 'not said')}",
    ]
    return "\n\n".join(parts) + "\n"


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
