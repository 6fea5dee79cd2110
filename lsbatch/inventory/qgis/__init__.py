"""The survey as a QGIS project, and the QGIS styles of its layers."""
