"""Decoders: image regions and the words so far in, log-probabilities of the next word out.

Each module is one architecture, and all have the same interface. `forward` scores whole captions
at once, for training; the captions of one image are consecutive rows, and its regions are passed
once. `start` and `step` read one word at a time, for search (`search.StepDecoder`). Both give the
same log-probabilities, in single precision whatever the network computes in.
"""

DECODERS = {
    "concept-attention": "cutline.models.decoders.concept_attention:ConceptAttention",
    "show-and-tell": "cutline.models.decoders.show_and_tell:ShowAndTell",
    "transformer": "cutline.models.decoders.transformer:Transformer",
    "show-attend-tell": "cutline.models.decoders.show_attend_tell:ShowAttendTell",
}
