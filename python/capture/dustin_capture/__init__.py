"""Calibration captures: what models' attention saw, recorded for the search of head subsets.

`divergence` measures what verification sets do to a model's output distribution.

The layout of what is written, and what the command's options mean, is docs/calibration.md.
"""
