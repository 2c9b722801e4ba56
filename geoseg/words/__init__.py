"""Classes in words: prompts, image features and phrases on one scale, and how they become a map. No torch here."""

from geoseg.words.features import FeatureCache, Features
from geoseg.words.interface import TextImage
from geoseg.words.plan import LAYERS, Example, WordsPlan
from geoseg.words.prompts import Prompt, parse_prompts
from geoseg.words.settings import STEPS, WordSettings

__all__ = [
    "LAYERS",
    "STEPS",
    "Example",
    "FeatureCache",
    "Features",
    "Prompt",
    "TextImage",
    "WordSettings",
    "WordsPlan",
    "parse_prompts",
]
