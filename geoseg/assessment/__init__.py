"""What is known of a finished map: a stratified sample, its labels, and accuracy and areas with intervals."""

from geoseg.assessment.answers import find_design, read_labels
from geoseg.assessment.design import Design
from geoseg.assessment.estimators import Accuracy, Estimate, Strata, estimate_accuracy, ratio, share
from geoseg.assessment.finished import FinishedMap
from geoseg.assessment.judging import Assessment, Share, assess_map
from geoseg.assessment.labelling import Imagery, check_folder, write_sample
from geoseg.assessment.page import amount, unit_of, write_assessment
from geoseg.assessment.plan import Wish, plan_sample
from geoseg.assessment.sizes import allocate, sample_size

__all__ = [
    "Accuracy",
    "Assessment",
    "Design",
    "Estimate",
    "FinishedMap",
    "Imagery",
    "Share",
    "Strata",
    "Wish",
    "allocate",
    "amount",
    "assess_map",
    "check_folder",
    "estimate_accuracy",
    "find_design",
    "plan_sample",
    "ratio",
    "read_labels",
    "sample_size",
    "share",
    "unit_of",
    "write_assessment",
    "write_sample",
]
