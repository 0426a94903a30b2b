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
        f"Weights stored as {card.get('weights_stored_as', 'fp32')}",
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
