"""What changed between two dates, in numbers alone: alignment, radiometry, detectors, from-to classes.

Arrays in, values out: no file, no tile and no network is known here. What a job fits is fitted on the sample of
``geoseg.change.sample`` and kept as a value that is equal for equal samples; what it is applied to are single pixels.
"""
