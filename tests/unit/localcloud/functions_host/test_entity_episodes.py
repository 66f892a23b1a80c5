import json
from datetime import UTC, datetime

import azure.durable_functions as df
import pytest
from azure.functions.meta import Datum

from localcloud.functions_host import bindings, episodes
from localcloud.functions_host.events import EventType, make

NOW = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")


def count(context):
    if context.operation_name == "explode":
        raise ValueError("boom")
    context.set_state(context.get_state(lambda: 0) + 1)


class FakeApp:
    """One entity, run through the real SDK."""

    def call_entity(self, name, context):
        handle = df.Entity.create(count)
        return handle(context=bindings.decode("entityTrigger", Datum(context, "json")))


def operation(name):
    message = {"op": name, "signal": True, "input": None, "id": name}
    return make(EventType.EVENT_RAISED, NOW, Name="op", Input=json.dumps(message))


class TestRunEntity:
    def test_logs_an_operation_that_fails(self, caplog):
        row = episodes.new_entity_row("@counter@k", NOW)

        episodes.run_entity(row, [operation("add"), operation("explode")], FakeApp(), NOW)

        (record,) = caplog.records
        assert record.message == 'the operation explode of the entity @counter@k failed: "boom"'
