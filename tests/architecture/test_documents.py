import ast
import re
import tomllib

from orchestrator.domain.pool.transitions import draw

HEADINGS = ["Status", "Context", "Decision", "Consequences"]


def table_after(text, heading):
    """Give the rows of the first table under a heading, its header first, as lists of cells."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [cells[0], *cells[2:]]


def assigned(path, name):
    """Give what a module assigns to a name, as syntax."""
    return next(
        statement.value
        for statement in ast.parse(path.read_text("utf-8")).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name
    )


def claims(root):
    """Give the table of claims."""
    return table_after((root / "docs" / "claims.md").read_text("utf-8"), "What is claimed")


class TestClaims:
    def test_are_each_shown_by_a_make_target_that_exists(self, root, targets):
        header, *rows = claims(root)

        assert header == ["claim", "command that shows it", "proved on", "not proved"]
        assert rows
        commands = [re.fullmatch(r"`make ([a-z-]+)[^`]*`", row[1]) for row in rows]
        assert [row for row, match in zip(rows, commands, strict=True) if not match] == []
        assert {match[1] for match in commands if match} <= targets.keys()

    def test_say_what_they_were_proved_on_and_what_is_left(self, root):
        _, *rows = claims(root)

        assert [row for row in rows if not all(row)] == []

    def test_count_what_the_tests_count(self, root):
        text = (root / "docs" / "claims.md").read_text("utf-8")
        apps = tomllib.loads((root / "tests/worker_verdicts/apps.toml").read_text("utf-8"))
        faults = assigned(root / "tests/integration/doctor/test_doctor.py", "SEEDED")
        histories = assigned(root / "tests/sdk_fixtures/test_sdk_fixtures.py", "MODULES")

        assert f"each of {len(faults.elts)} seeded faults" in text
        assert f"{sum(one.value for one in histories.values)} histories" in text
        assert f"on {len(apps)} small apps" in text

    def test_are_linked_from_the_readme(self, root):
        assert "(docs/claims.md)" in (root / "README.md").read_text("utf-8")


class TestRoutes:
    def test_stand_beside_every_word(self, root):
        _, *rows = table_after(
            (root / "docs" / "routes.md").read_text("utf-8"), "Which words are which route"
        )

        assert rows
        assert [row for row in rows if "/api/" not in row[1]] == []


class TestArchitecture:
    def test_draws_the_phases_as_the_pool_knows_them(self, root):
        """`python -m orchestrator.domain.pool.transitions` prints the drawing."""
        assert f"```mermaid\n{draw()}\n```" in (root / "ARCHITECTURE.md").read_text("utf-8")


class TestDocuments:
    def test_names_only_make_targets_that_exist(self, root, tracked, targets):
        unknown = [
            (str(path), name)
            for path in tracked
            if path.suffix == ".md"
            for name in re.findall(
                r"(?m)(?:`|^)make ([a-z][a-z-]*)", (root / path).read_text("utf-8")
            )
            if name not in targets
        ]

        assert unknown == []


class TestMakefile:
    def test_describes_every_target(self, targets):
        assert targets
        assert [name for name, description in targets.items() if description is None] == []

    def test_declares_every_target_phony(self, root, targets):
        text = (root / "Makefile").read_text("utf-8")
        phony = re.search(r"(?m)^\.PHONY: (.*)$", text)

        assert phony
        assert sorted(phony[1].split()) == sorted(targets)

    def test_keeps_to_make_3_81(self, root):
        text = (root / "Makefile").read_text("utf-8")

        # Later inventions, in the order of their versions 3.82, 4.0, 4.0, 4.0 and 4.2.
        for feature in (r"^\.ONESHELL", r"::=", r"^\w+\s*!=", r"\$\(file ", r"\.SHELLSTATUS"):
            assert not re.search(feature, text, re.MULTILINE), feature


class TestMarkdown:
    def test_links_only_to_files_that_exist(self, root, tracked):
        broken = []
        for path in tracked:
            if path.suffix != ".md":
                continue
            text = re.sub(r"(?s)```.*?```|`[^`\n]*`", "", (root / path).read_text("utf-8"))
            for target in re.findall(r"\]\(([^)\s]+)\)", text):
                if re.match(r"[a-z]+:|#", target):
                    continue
                if not (root / path.parent / target.split("#")[0]).exists():
                    broken.append(f"{path}: {target}")

        assert broken == []


class TestDecisionRecords:
    def test_are_numbered_without_gaps(self, root):
        records = sorted((root / "docs" / "decisions").glob("*.md"))

        assert [record.name[:5] for record in records] == [
            f"{number:04d}-" for number in range(1, len(records) + 1)
        ]

    def test_have_a_title_and_the_four_headings(self, root):
        for record in sorted((root / "docs" / "decisions").glob("*.md")):
            text = record.read_text("utf-8")

            assert text.startswith(f"# {int(record.name[:4])}. "), record.name
            assert re.findall(r"(?m)^## (.*)$", text) == HEADINGS, record.name
