from pathlib import Path

import azure.durable_functions as df
import pytest

from localcloud.functions_host.errors import HostStoppingError
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.worker import Worker


@pytest.fixture
def worker():
    app = df.DFApp()

    @app.activity_trigger(input_name="value")
    def plain(value): ...

    @app.activity_trigger(input_name="value")
    async def asynchronous(value): ...

    worker = Worker(index_app(app), Path(), threads=1)
    worker.start("")
    yield worker
    worker.stop()


class TestWorker:
    @pytest.mark.parametrize("name", ["plain", "asynchronous"])
    def test_takes_no_call_once_it_is_stopped(self, worker, name):
        worker.stop()

        with pytest.raises(HostStoppingError):
            worker.submit(worker.app.activities[name], {"value": None})

    def test_names_an_orchestrator_or_entity_that_is_gone(self, worker):
        with pytest.raises(LookupError, match="no orchestrator named 'Gone' is registered"):
            worker.call_orchestrator("Gone", "{}")
        with pytest.raises(LookupError, match="no entity named 'Gone' is registered"):
            worker.call_entity("Gone", "{}")
