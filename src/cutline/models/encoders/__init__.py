"""Encoders: pixels (rows, 3, height, width) in, regions (rows, regions, width) out.

A region is the feature vector of one part of the image. Each module is one family of networks. An
encoder declares the `width` of its regions as an attribute, takes RGB values between 0 and 255 and
normalises them itself. In eval mode the result for an image does not depend on the rest of the
batch.
"""

ENCODERS = {
    "mosaic": "cutline.models.encoders.mosaic:Mosaic",
    "resnet": "cutline.models.encoders.resnet:ResNet",
}
