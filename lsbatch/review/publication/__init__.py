"""Publish a finished survey as a folder of files that any web server with byte ranges can serve.

The page is that of `lsbatch view`, without answers and without a server of its own: `data.js` reads files where the
view's reads from its server.

- ``finished``: whether the survey is finished, and what it observed.
- ``folder``: the folder is written aside and renamed.
- ``downloads``, ``geojson_sequence``: inventory without reviewers, and maps; ``tile_archives``: PMTiles.
- ``records``: list, records and images of landslides; ``about``: licence, citation, contact, method, limits.
- ``publish``: all of it.
- ``pmtiles.js``: PMTiles in the browser, of others; its licence lies beside it.
"""

from lsbatch.review.publication.publish import publish

__all__ = ["publish"]
