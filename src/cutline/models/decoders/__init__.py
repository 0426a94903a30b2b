"""Decoders: regions and the words so far in, the next word's log-probabilities out.

Each file is one alternative. All answer the same two questions: `forward` scores whole captions at
once (training; several captions of a picture follow each other, and it is given once), `start` and
`step` read them word by word (search). Both must agree.
"""

DECODERS = {
    "concept-attention": "cutline.models.decoders.concept_attention:ConceptAttention",
    "show-and-tell": "cutline.models.decoders.show_and_tell:ShowAndTell",
    "transformer": "cutline.models.decoders.transformer:Transformer",
    "show-attend-tell": "cutline.models.decoders.show_attend_tell:ShowAttendTell",
}
