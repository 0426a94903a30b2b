"""Sources: where pairs of pictures and captions come from.

Each file is one alternative. A source promises: iterating yields `Example`s, each picture once; the
image files exist (they are listed, not opened); captions are not empty, except that pictures
published without captions may stand in the split `test` with none; the order is fixed; the splits
are disjoint. What breaks a promise is told by file and line: iterating raises `DataError` with the
first problem and the count of the others, `validation.check` lists them all.
"""

SOURCES = {
    "coco": "cutline.datasets.coco:Coco",
    "flickr8k": "cutline.datasets.flickr8k:Flickr8k",
    "folder": "cutline.datasets.folder:Folder",
    "shapes": "cutline.datasets.shapes:Shapes",
}

BESIDE = {
    "sentences": "cutline.datasets.sentences:Sentences",
    "labels": "cutline.datasets.labels:Labels",
}
"""What only a mixture can take, `[[source]]`: captions without pictures, pictures with labels."""
