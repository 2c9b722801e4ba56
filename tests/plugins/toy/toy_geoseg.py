"""A camera and a rule: a sensor and a head for geoseg."""

from geoseg.heads import HeadOutput
from geoseg.scenes import Sensor

SENSOR = Sensor(
    "toy",
    "Toy camera: 200 is white, 9 is nothing",
    "reflectance",
    {"red": ("R",), "green": ("G",), "blue": ("B",)},
    scale=1 / 200,
    nodata=9,
    rgb=("red", "green", "blue"),
)


class Brightness:
    """Class 1 where the mean of all bands is above a limit, else class 0; sure to 90 %."""

    def __init__(self, network):
        self.class_table = network.spec.classes
        self.limit = network.spec.head_settings["limit"]

    def __call__(self, chips):
        values = chips.inputs["image"][:, 0]  # (batch, band, y, x)
        bright = values.mean(dim=1) > self.limit
        scores = values.new_full((len(values), 2, *bright.shape[1:]), 0.1)
        scores[:, 1][bright] = scores[:, 0][~bright] = 0.9
        return HeadOutput(scores)
