"""Encoders: pixels in, regions out: (rows, 3, height, width) -> (rows, regions, width).

Each file is one family of networks. An encoder declares the `width` of its regions, takes raw RGB
values between 0 and 255, normalises them itself, and in eval mode looks at each picture alone.
"""

ENCODERS = {
    "mosaic": "cutline.models.encoders.mosaic:Mosaic",
    "resnet": "cutline.models.encoders.resnet:ResNet",
}
