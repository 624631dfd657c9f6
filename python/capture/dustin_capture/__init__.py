"""Calibration captures: what models' attention saw, recorded for the search of head subsets.

The layout of what is written, and what the command's options mean, is docs/calibration.md.
"""
