"""The HTML report of a survey: landslides, accuracy, map, failures and provenance.

- ``page``: the content of the page, its rendering, and the reduction that writes ``report/report.html``.
- ``figures``: receipts, plan, inventory and scores as plain rows.
- ``statistics``: completeness, size frequencies and the assessed sample.
- ``accuracy_section``: the accuracy section and the table by area.
- ``size_chart``: the chart of size frequencies.
- ``training_blocks``: the training, validation and test blocks of the map.
- ``overview_map``: the map of the region, from the thumbnails of the tiles.
- ``thumbnails``: the stage that makes them.
- ``quicklooks``: images of single landslides.
- ``landslide_table``: the table of landslides.
- ``images``: pixels to images.
- ``years_page``: the page that compares annual surveys.
"""
