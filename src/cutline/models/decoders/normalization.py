"""Standardised input features for every decoder, and an open forget gate for its LSTM."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

ROWS_AT_ONCE = 2**14
"""Feature vectors summed together."""


class Standardised(nn.Module):
    """Standardises input features by the mean and standard deviation of the training images.

    Raw features differ by orders of magnitude, and a linear layer learns slowly from them. The
    buffers `middle` and `spread` hold the mean and the standard deviation.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))

    def standardise(self, features: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
        """Subtract the mean and divide by the standard deviation."""
        return (features - self.middle) / self.spread

    def adapt(self, regions: Float[Tensor, "pictures regions width"]) -> None:
        """Take mean and standard deviation from the training images, for `standardise`."""
        self.measure(regions.flatten(0, 1))

    @torch.no_grad()
    def measure(self, features: Float[Tensor, "rows width"]) -> None:
        """Set mean and standard deviation to those of these features."""
        total = torch.zeros(2, features.shape[1], dtype=torch.float64)
        for some in features.split(ROWS_AT_ONCE):
            total += torch.stack([some.float().sum(dim=0), some.float().square().sum(dim=0)])
        mean, mean_square = total / len(features)
        self.middle.copy_(mean)
        self.spread.copy_((mean_square - mean.square()).clamp(min=0).sqrt().clamp(min=1e-2))


@torch.no_grad()
def open_forget_gate(cell: nn.LSTMCell) -> None:
    """Set the forget gate's bias to 1 (Jozefowicz et al. 2015).

    With sigmoid(1) = 0.73, 4 % of the cell's content survive ten words; with a bias of 0, 0.1 %.
    """
    hidden = cell.hidden_size
    cell.bias_ih[hidden : 2 * hidden] = 1.0
    cell.bias_hh[hidden : 2 * hidden] = 0.0
