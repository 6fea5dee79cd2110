"""Accuracy assessment of an inventory from a reviewed random sample.

- ``strata``: three strata of the surveyed ground.
- ``draw``: a stratified random sample of points.
- ``page``: an HTML page with images of each sample point.
- ``answers``: reading and checks of the answered sample.
- ``assess``: accuracy, landslide area, intervals and warnings.
"""
