import json

import azure.functions as func
import pytest
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st

from localcloud.functions_host import bindings
from localcloud.functions_host.loader import index_app

pairs = st.lists(st.tuples(st.sampled_from(["q", "Q", "other"]), st.sampled_from(["", "1", "2"])))


def index_one(annotation, make):
    """Index an app of one function whose trigger's parameter is called ``value``."""
    app = func.FunctionApp()

    def take(value): ...

    take.__annotations__["value"] = annotation
    make(app)(take)
    return index_app(app).functions["take"]


def timer(app):
    return app.timer_trigger(arg_name="value", schedule="0 0 3 * * *")


def blob(app):
    return app.blob_trigger(arg_name="value", path="box/{name}", connection="Box")


class TestDecodeTrigger:
    @pytest.mark.parametrize("annotation", [str, bytes])
    def test_gives_a_timer_s_text_where_a_text_or_bytes_are_asked_for(self, annotation):
        datum = Datum(json.dumps({"IsPastDue": True}), "json")

        given_values = bindings.decode_trigger(index_one(annotation, timer), datum)

        assert given_values == {"value": '{"IsPastDue": true}'}

    def test_gives_a_timer_request_to_all_others(self):
        datum = Datum(json.dumps({"IsPastDue": True}), "json")

        given_values = bindings.decode_trigger(index_one(func.TimerRequest, timer), datum)

        assert given_values["value"].past_due

    @pytest.mark.parametrize("annotation", [str, bytes])
    def test_gives_a_blob_s_bytes_where_a_text_or_bytes_are_asked_for(self, annotation):
        given_values = bindings.decode_trigger(index_one(annotation, blob), Datum(b"1", "bytes"))

        assert given_values == {"value": b"1"}


class TestToHttpDatum:
    def build(self, headers=(), query=()):
        return bindings.to_http_datum("GET", "http://x", headers, query, {}, b"").value

    @given(pairs)
    def test_joins_the_values_of_a_name_and_drops_empty_ones(self, query):
        built = self.build(query=query)["query"]

        joined = ",".join(value for name, value in query if name.lower() == "q")
        found = [datum.value for name, datum in built.items() if name.lower() == "q"]
        assert found == ([joined] if joined else [])

    def test_joins_headers_under_their_lower_cased_name(self):
        built = self.build(headers=[("X-A", "1"), ("x-a", "2")])["headers"]

        assert {name: datum.value for name, datum in built.items()} == {"x-a": "1,2"}
