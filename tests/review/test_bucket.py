"""The page of a survey in object storage: the same tiles and records as on disk, and answers are stored there."""

from pathlib import Path

import obstore
import pytest

from lsbatch.catalog.survey import Survey
from lsbatch.pipeline import national_maps
from lsbatch.review import Case, Site
from lsbatch.storage import journal, objects
from tests import fake_survey, servers
from tests.fake_survey import Fake
from tests.review.page_server import ID


@pytest.mark.slow
def test_a_survey_in_a_bucket_is_shown_and_reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = fake_survey.make(tmp_path, Fake(landslides=8, truth=False))
    national_maps.apply(disk, disk.config)
    with servers.s3() as bucket:
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        store, root = bucket.store(), disk.workspace.root
        for path in sorted(root.rglob("*")):
            if path.is_file():
                obstore.put(store, f"norway/{path.relative_to(root)}", path.read_bytes())
        output = objects.path_of("s3://surveys/norway")
        config = disk.config.model_copy(update={"output": output})
        remote = Survey(config, disk.grid, disk.positions)
        ours, theirs = (Site(Case(one)) for one in (disk, remote))
        assert ours.get("survey") == theirs.get("survey")
        assert ours.get("landslides") == theirs.get("landslides")
        assert len(theirs.case.frame) > 3
        for name in ("records/0", "pictures/1", "series/0", "outlines/0/12/2144/1189"):
            assert ours.get(name) == theirs.get(name), name
        for name in ("mask", "probability", "after"):
            for z, x, y in ((11, 1072, 594), (12, 2144, 1189), (13, 4289, 2378)):
                assert ours.get(f"images/{name}/{z}/{x}/{y}") == theirs.get(f"images/{name}/{z}/{x}/{y}")
        said = {ID: theirs.case.frame[ID].iat[0], "state": "rejected", "reviewer": "Ola", "comment": "", "count": 0}
        assert theirs.case.keep(said)[0]
        assert [one["reviewer"] for one in journal.read(remote.workspace.answers)] == ["Ola"]
        assert not disk.workspace.answers.exists()
