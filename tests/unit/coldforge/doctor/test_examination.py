import threading

import pytest

from coldforge.doctor.deadline import run_within
from coldforge.doctor.errors import (
    DeniedError,
    NoAnswerError,
    NotLoggedInError,
    NotThereError,
)
from coldforge.doctor.examination import Examination, ExaminationOptions
from coldforge.doctor.facts import AgentAnswer, Host
from coldforge.doctor.report import choose_exit_code, summarise, to_json
from coldforge.exit_codes import ExitCode
from tests.fakes.doctor_probes import (
    DEPLOYMENT,
    SETTINGS,
    FakeAccountProbes,
    FakeAppProbes,
    FakeMachineProbes,
    running,
)


def examine(account=None, app=None, machines=None, **options):
    """Examine a deployment that is well but for what is given; the outcomes by check."""
    examination = Examination(
        deployment=DEPLOYMENT,
        account=account or FakeAccountProbes(),
        app=app or FakeAppProbes(),
        machines=machines or FakeMachineProbes(),
        options=ExaminationOptions(limit_s=5.0, **options),
    )
    return {outcome.check: outcome for outcome in examination.run()}


def codes(outcomes):
    return [finding.code for outcome in outcomes.values() for finding in outcome.findings]


class TestExamination:
    def test_finds_nothing_where_all_is_well(self):
        outcomes = examine()

        assert codes(outcomes) == []
        assert choose_exit_code(outcomes.values()) is ExitCode.OK

    def test_does_not_look_at_what_stands_on_a_fault(self):
        outcomes = examine(FakeAccountProbes(login=NotLoggedInError("az is not there")))

        assert codes(outcomes) == ["login.none"]
        assert outcomes["roles on storage"].verdict == "skipped"
        assert "'login'" in outcomes["roles on storage"].note

    def test_makes_the_other_checks_whatever_goes_wrong_with_one(self):
        outcomes = examine(FakeAccountProbes(skew_s=KeyError("secret")))

        assert outcomes["clock"].verdict == "unknown"
        assert "KeyError" in outcomes["clock"].note
        assert "secret" not in outcomes["clock"].note
        assert outcomes["login"].verdict == "ok"

    def test_does_not_blame_the_login_for_the_clock(self):
        outcomes = examine(FakeAccountProbes(skew_s=900.0, login=NotLoggedInError("expired")))

        assert codes(outcomes) == ["clock.skewed"]
        assert "clock" in outcomes["login"].note

    def test_says_what_could_not_be_looked_at_and_why(self):
        outcomes = examine(app=FakeAppProbes(containers=DeniedError("no role for blobs")))

        assert outcomes["storage content"].verdict == "unknown"
        assert outcomes["storage content"].note == "no role for blobs"
        assert choose_exit_code(outcomes.values()) is ExitCode.UNREACHABLE

    def test_looks_at_the_functions_host(self):
        outcomes = examine(app=FakeAppProbes(host=Host(state="Error", errors=("No storage.",))))

        assert codes(outcomes) == ["host.unwell"]
        assert outcomes["host"].findings[0].message.endswith("is Error: No storage.")

    def test_does_not_ask_the_host_of_storage_that_it_has_no_role_on(self):
        outcomes = examine(FakeAccountProbes(granted=False))

        assert outcomes["host"].verdict == "skipped"

    def test_gives_up_on_a_question_that_takes_too_long(self):
        over = threading.Event()
        examination = Examination(
            deployment=DEPLOYMENT,
            account=FakeAccountProbes(providers=over.wait),
            app=FakeAppProbes(),
            machines=FakeMachineProbes(),
            # The others have to answer within it, on a busy machine, too.
            options=ExaminationOptions(limit_s=1.0),
        )

        outcomes = {outcome.check: outcome for outcome in examination.run()}

        over.set()
        assert outcomes["providers"].verdict == "unknown"
        assert "1 s" in outcomes["providers"].note
        assert outcomes["budget"].verdict == "ok"

    @pytest.mark.parametrize(
        ("probe", "code"),
        [
            ("site", "app.missing"),
            ("endpoints", "storage.account_missing"),
        ],
    )
    def test_names_what_does_not_exist(self, probe, code):
        outcomes = examine(app=FakeAppProbes(**{probe: NotThereError("404")}))

        assert codes(outcomes) == [code]

    def test_does_not_see_the_subscription(self):
        outcomes = examine(FakeAccountProbes(subscription=NotThereError("404")))

        assert codes(outcomes) == ["subscription.not_seen"]

    def test_tells_which_check_it_is_at(self):
        begun = []
        examination = Examination(
            deployment=DEPLOYMENT,
            account=FakeAccountProbes(),
            app=FakeAppProbes(),
            machines=FakeMachineProbes(),
        )

        seen = [(begun[-1], outcome.check) for outcome in examination.run(begun.append)]

        assert seen
        assert all(announced == check for announced, check in seen)

    def test_wakes_a_vm_only_when_asked(self):
        app = FakeAppProbes()

        outcomes = examine(app=app)

        assert outcomes["wake"].verdict == "skipped"
        assert app.phase == "deallocated"

    def test_asks_the_agent_of_the_vm_that_it_woke(self):
        machines = FakeMachineProbes(vm=running())

        outcomes = examine(machines=machines, wakes=True)

        assert outcomes["wake"].verdict == "ok"
        assert outcomes["agents"].note == "gpu-0 ready"
        assert machines.token == SETTINGS["GPU_AGENT_TOKEN"]

    def test_takes_the_token_from_the_key_vault_where_the_setting_refers_to_it(self):
        reference = "@Microsoft.KeyVault(SecretUri=https://v.invalid/secrets/gpu-agent-token)"
        machines = FakeMachineProbes(vm=running())

        outcomes = examine(
            app=FakeAppProbes(settings={**SETTINGS, "GPU_AGENT_TOKEN": reference}),
            machines=machines,
        )

        assert codes(outcomes) == []
        assert machines.token == "secret of the vault"

    def test_needs_no_token_of_an_agent_that_it_can_not_reach(self):
        app = FakeAppProbes(
            settings={
                **SETTINGS,
                "GPU_AGENT_TOKEN": "@Microsoft.KeyVault(SecretUri=https://v.invalid/secrets/x)",
            },
            secret=DeniedError("closed to this network"),
            phase="ready",
        )

        outcomes = examine(
            app=app, machines=FakeMachineProbes(vm=running(), door=AgentAnswer.SILENT)
        )

        assert outcomes["agents"].verdict == "skipped"

    @pytest.mark.parametrize(
        ("phase", "code"),
        [("broken", "vm.broken"), ("no_capacity", "wake.no_capacity"), ("warming", "wake.timed")],
    )
    def test_says_why_no_vm_woke_up(self, phase, code):
        app = FakeAppProbes(wakes_to=phase, reason="QuotaExceeded")

        found = codes(examine(app=app, wakes=True))

        assert len(found) == 1
        assert found[0].startswith(code)

    def test_does_not_call_an_agent_lost_that_only_the_app_can_see(self):
        machines = FakeMachineProbes(vm=running(), door=AgentAnswer.SILENT)

        seen = examine(app=FakeAppProbes(phase="ready"), machines=machines)
        unseen = examine(app=FakeAppProbes(phase="warming"), machines=machines)

        assert codes(seen) == []
        assert seen["agents"].verdict == "skipped"
        assert codes(unseen) == ["agent.unreachable"]

    def test_holds_a_port_that_refuses_against_the_agent_whatever_the_pool_says(self):
        machines = FakeMachineProbes(vm=running(), door=AgentAnswer.CLOSED)

        assert codes(examine(app=FakeAppProbes(phase="ready"), machines=machines)) == [
            "agent.unreachable"
        ]


class TestReport:
    def test_counts_what_is_not_ok(self):
        outcomes = examine(FakeAccountProbes(granted=False)).values()

        assert summarise(outcomes) == "16 ok, 7 faults, 4 skipped"
        assert choose_exit_code(outcomes) is ExitCode.JOB_FAILED

    def test_lists_all_findings_at_one_place_for_programs(self):
        body = to_json(examine(FakeAccountProbes(granted=False)).values())

        assert body["healthy"] is False
        assert [finding["code"] for finding in body["findings"]] == [
            "role.storage",
            "role.vm",
            "role.vm_itself",
            "role.vm_jobs",
            "role.vm_key_vault",
            "role.vm_key_vault",
            "role.key_vault",
        ]


class TestRunWithin:
    def test_gives_the_result_and_the_error_of_what_it_runs(self):
        assert run_within(lambda: 7, 5.0) == 7
        with pytest.raises(KeyError):
            run_within(lambda: {}["x"], 5.0)

    def test_gives_up(self):
        over = threading.Event()

        with pytest.raises(NoAnswerError):
            run_within(over.wait, 0.01)

        over.set()
