import pytest

from localcloud.functions_host.errors import AppLoadError
from localcloud.functions_host.routes import RouteTable, compile_route


def match(template, path):
    return compile_route(template).match(path)


class TestCompileRoute:
    @pytest.mark.parametrize(
        ("template", "path", "values"),
        [
            ("jobs", "jobs", {}),
            ("jobs", "JOBS", {}),
            ("jobs", "jobs/1", None),
            ("jobs/{id}", "jobs/a-b", {"id": "a-b"}),
            ("jobs/{id}", "jobs", None),
            ("jobs/{id?}", "jobs", {}),
            ("jobs/{id:int?}", "jobs/12", {"id": "12"}),
            ("jobs/{id:int?}", "jobs/x", None),
            ("jobs/{id:int}", "jobs/99999999999", None),
            ("jobs/{id:long}", "jobs/99999999999", {"id": "99999999999"}),
            ("jobs/{id=7}", "jobs", {"id": "7"}),
            ("files/{*path}", "files/a/b/c.txt", {"path": "a/b/c.txt"}),
            ("files/{*path}", "files", {}),
            ("{name}.{kind}", "a.b.png", {"name": "a", "kind": "b.png"}),
            ("x/{v:guid}", "x/00000000-0000-0000-0000-000000000000", None),
            ("x/{v:length(2,3)}", "x/abcd", None),
            ("x/{v:range(1,5)}", "x/3", {"v": "3"}),
            ("x/{v:min(4)}", "x/3", None),
            ("x/{v:maxlength(2)}", "x/ab", {"v": "ab"}),
            ("x/{v:alpha}", "x/a1", None),
            ("x/{v:bool}", "x/True", {"v": "True"}),
            ("x/{v:datetime}", "x/2026-01-01", {"v": "2026-01-01"}),
            (r"x/{v:regex(^\d{{2}}$)}", "x/12", {"v": "12"}),
            (r"x/{v:regex(^\d{{2}}$)}", "x/123", None),
            ("a/{b}/c/{d?}", "a/1/c", {"b": "1"}),
        ],
    )
    def test_matches_as_asp_net_does(self, template, path, values):
        if template.startswith("x/{v:guid}"):
            values = {"v": path.removeprefix("x/")}

        assert match(template, path) == values

    @pytest.mark.parametrize("template", ["a/{b", "a/{}", "a/{b}/{b}", "a/{b:even}"])
    def test_refuses_what_it_cannot_read(self, template):
        with pytest.raises(AppLoadError, match="route"):
            compile_route(template)


class TestRouteTable:
    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("jobs/new", "literal"),
            ("jobs/12", "constrained"),
            ("jobs/abc", "parameter"),
            ("jobs/a/b", "rest"),
        ],
    )
    def test_prefers_the_most_specific_route(self, path, target):
        table = RouteTable()
        table.add("{*rest}", [], "rest")
        table.add("jobs/{id}", [], "parameter")
        table.add("jobs/{id:int}", [], "constrained")
        table.add("jobs/new", [], "literal")

        assert table.find("GET", path)[0] == target

    def test_looks_at_the_method(self):
        table = RouteTable()
        table.add("jobs", ["POST"], "create")
        table.add("jobs", ["GET"], "list")

        assert table.find("GET", "jobs")[0] == "list"
        assert table.find("DELETE", "jobs") is None
